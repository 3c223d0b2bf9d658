"""Replies in which a model thinks before it speaks, and what is left of them."""

from __future__ import annotations

import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatir.prompts.cleaning import clean_answer, clean_question
from chatir.prompts.cleaning.thoughts import all_questions, without_thoughts

HARMONY = "<|channel|>analysis<|message|>A number is wanted.<|end|>"
FINAL = "<|start|>assistant<|channel|>final<|message|>two"

SPOKEN: list[tuple[str, str]] = [
    # Marks
    ("<think>\nTwo boats.\n</think>\n\ntwo", "two"),
    ("Two boats.</think>two", "two"),
    ("Two boats.</think>", ""),
    ("one<think>a</think>b</think>", ""),
    ("<think></think>two", "two"),
    ("<think/>two", "two"),
    ("<think>a<think>b</think>c</think>two", "two"),
    ("<think>a<think>b</think>two", "two"),
    ("<think>a</think>one<think>b</think>two", "two"),
    ("two<think>Is it?</think>", "two"),
    ("two <think>\nhmm", "two"),
    ("<think>a[/THINK]two", "two"),
    ("\u25c1think\u25b7Two.\u25c1/think\u25b7two", "two"),
    ("<\uff5cbegin\u2581of\u2581thinking\uff5c>Two.<\uff5cend\u2581of\u2581thinking\uff5c>two", "two"),
    ("<seed:think>a<seed:cot_budget_reflect>b</seed:cot_budget_reflect>c</seed:think>two", "two"),
    ('<details type="reasoning" done="true">\n<summary>Thought for 3 s</summary>\nTwo.\n</details>\ntwo', "two"),
    ("<details><summary>Thinking</summary>Two.</details>two", "two"),
    ("<div class='thinking'>Two.</div>two", "two"),
    ("```thinking\nTwo.\n```python\nx\n```\nso\n```\ntwo", "two"),
    ("```thinking Two. ```two", "two"),
    ("<unused94>thought\nTwo.<unused95>two", "two"),
    ("<unused94>thought\nTwo.", ""),
    ("thought\ntwo", "two"),
    ("<|inner_prefix|>I count<|inner_suffix|>two", "two"),
    ("<|inner_prefix|>I count", ""),
    ("<ctrl94>thought\nI count<ctrl95>two", "two"),
    ("&lt;think&gt;I count&lt;/think&gt;two", "two"),
    ("[Reasoning: I count]\ntwo", "two"),
    ("<!-- I count -->two", "two"),
    ("Thinking...\nI count.\n...done thinking.\n\ntwo", "two"),
    ("Thinking...\nI count.", ""),
    ("> **Thought for 3s**\n> I count\n\ntwo", "two"),
    ("> Reasoning\n> I count\n> and more\n\ntwo", "two"),
    # Channels
    (HARMONY + FINAL, "two"),
    (f"<|start|>assistant{HARMONY}{FINAL}<|return|>", "two"),
    (HARMONY + FINAL.removeprefix("<|start|>assistant"), "two"),
    (HARMONY.removeprefix("<|channel|>") + FINAL, "two"),
    (HARMONY.removesuffix("<|end|>") + FINAL, "two"),
    (HARMONY + "two", "two"),
    ("final<|message|>two", "two"),
    (HARMONY, ""),
    ("<|channel|>commentary to=functions.x <|constrain|>json<|message|>{}<|call|>", ""),
    ("<|channel|>commentary to=functions.x<|constrain|>json<|message|>{}<|call|>" + FINAL, "two"),
    (HARMONY + FINAL + "<|end|><|start|>user<|message|>Is it?<|end|>" + FINAL.replace("two", "three"), "two"),
    ("<|channel|>analysis\nTwo.<|channel|>final\ntwo", "two"),
    ("<|channel>thought\nTwo.<channel|>two boats", "two boats"),
    ("<|channel>thought\nTwo.<|channel>two", "two"),
    ("<|channel>thought<channel|>two", "two"),
    ("<|channel>thought\nTwo.", ""),
    ("Two.<channel|>two", "two"),
    ("Two.<channel|>", ""),
    ("analysisA number is wanted.assistantfinaltwo", "two"),
    ("analysis\nA number\nassistant\nfinal\ntwo", "two"),
    ("analysisA number.assistantcommentaryHm.assistantfinaltwo", "two"),
    ("A number.assistantfinaltwo", "two"),
    ("analysisWe need a number", ""),
    ("analysis\nWe need a number", ""),
    # Responses
    ("<think>a</think><answer>two</answer>", "two"),
    ("There are two. <answer>two</answer> Bye!", "two"),
    ("<answer>one</answer><answer>two</answer><answer> </answer>", "two"),
    ("I see boats.<answer>two", "two"),
    ("I see boats. <answer> two", "two"),
    ("two</answer>", "two"),
    ("<think>Two. <answer>two</answer>", "two"),
    ("<think>In <answer></answer> tags", ""),
    ("<|begin_of_thought|>a<|end_of_thought|>\n<|begin_of_solution|>two<|end_of_solution|>", "two"),
    ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>two<|END_RESPONSE|>", "two"),
    ("a [BEGIN FINAL RESPONSE]two[END FINAL RESPONSE]", "two"),
    ("a <|begin_of_box|>two<|end_of_box|>", "two"),
    ("\u3010\u601d\u8003\u3011a\u3010/\u601d\u8003\u3011\u3010\u56de\u7b54\u3011two\u3010/\u56de\u7b54\u3011", "two"),
    ("```answer\ntwo\n```", "two"),
    (r"\boxed{two}", "two"),
    ("There are two.\n\n$\\boxed{\\text{two}}$.", "two"),
    (r"It is \boxed{two}.", "It is two."),
    ("<content>two</content>", "two"),
    ("<assistant>two</assistant>", "two"),
    # Headings
    ("Here are my reasoning steps: a", ""),
    ("Here are my reasoning steps:\na", ""),
    ("Thinking Process:\na", ""),
    ("Thinking Process: a", ""),
    ("Thought:\na", ""),
    ("Reasoning:\na", ""),
    ("**Thinking:** a", ""),
    ("Thought: a", ""),
    ("Chain of thought: a", ""),
    ("Here is my thought process: a\nHere is my response: two", "two"),
    ("Here's my thought process:\na\n\n**Here\u2019s my response:**\ntwo", "two"),
    ("Here is my thought process:\na", ""),
    ("Reasoning: a\nAnswer: two", "two"),
    ("**Thought:** a\n**Final answer:** two", "two"),
    ("## Reasoning\na\n\n## Answer\ntwo", "two"),
    ("Chain of thought: a\nb\nResponse:\n\ntwo", "two"),
    ("Analysis: a\nAnswer: one\nb\nFinal answer: two", "two"),
    ("Thinking: a\nNext question: Is it?", "Is it?"),
    ("Thought: a\ntwo", "two"),
    ("Reasoning: a\nAnswer:", ""),
]


@pytest.mark.parametrize(("raw", "spoken"), SPOKEN)
def test_what_is_spoken(raw: str, spoken: str) -> None:
    assert without_thoughts(raw) == spoken


ORDINARY = [
    "",
    "two",
    "a man who is thinking",
    "deep in thought",
    "(thinking) face",
    "(thoughtful) man",
    "The sign reads '<think>'",
    'says "[THINK]"',
    "it says \u201c</think>\u201d",
    "the shirt says <think>",
    "is the word <think> on it?",
    "[thinking face emoji]",
    "a [thinking] emoji",
    "Stop! [Thinking] is written on it",
    "the \u00abthinking\u00bb of a man",
    "analysis of the image",
    "analysis",
    "a statue, The Thinker",
    "press <answer> to go on",
    "a <box> and <b>two</b> and <tool_response>x</tool_response>",
    "<|box_start|>(1,2)<|box_end|>",
    "Analysis: two",
    "a &lt;b&gt; -->",
    "Answer: yes\nQuestion: is it new?\nAnswer: no",
    "1 < 2 > 0, {x} [y] (z)",
    "two<|end|>",
    "```python\nx\n```",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays(text: str) -> None:
    assert without_thoughts(text) == text
    assert without_thoughts(f"<think>\nWhat now?\n</think>\n{text}") == text


def test_a_role_chooses_among_marked_questions_and_answers() -> None:
    raw = "<question>Is it red?</question>\n<answer>yes</answer>"
    assert (clean_question(raw), clean_answer(raw)) == ("Is it red?", "yes")
    raw = "Reasoning: a\nQuestion: Is it red?\nAnswer: yes\nQuestion: Is it new?\nAnswer: no"
    assert (clean_question(raw), clean_answer(raw)) == ("Is it red?", "yes")
    assert clean_answer("Reasoning: a\nQuestion: Is it red?") is None
    assert all_questions("<question>a?</question> <question>b?</question>") == "a?\nb?"


BRACKETS = [
    "<>",
    "[]",
    "{}",
    "\u25c1\u25b7",
    "\u3010\u3011",
    "\u3008\u3009",
    "\u27e8\u27e9",
    "\uff1c\uff1e",
    "\u00ab\u00bb",
]
BRACKETS += ["<<>>", "[[]]", "<||>", "<\uff5c\uff5c>"]
NAMES = ["think", "thinking", "thought", "thoughts", "reasoning", "analysis", "reflection", "scratchpad", "cot"]
NAMES += ["rationale", "inner_monologue", "pensamiento", "r\u00e9flexion", "\u00dcberlegung"]
NAMES += ["\u601d\u8003", "\u63a8\u7406\u8fc7\u7a0b", "\uc0dd\uac01", "\u043c\u044b\u0441\u043b\u044c"]
SPACES = ["{}", "seed:{}", "longcat_{}", "ns.{}", "{}_fast", "deep-{}", "x_{}_1"]
PAIRS = [("{}", "/{}"), ("{}", "{}/"), ("begin_of_{}", "end_of_{}"), ("START_{}", "STOP_{}"), (" {} ", " / {} ")]
PAIRS += [("{}", "\\{}"), ('{} type="x"', "/{}")]
CASES = [str, str.upper, str.title]
FINALS = [
    "two",
    "two boats (in all)",
    "a man who is thinking",
    "Is it [red] or <b>?",
    'The sign reads "<think>"',
    "\u662f",
]
FINALS += ["the shirt says <think>", "analysis of it", "{x}", "Answer", "1 > 0"]
thoughts = st.lists(st.sampled_from(["Two", " ", "\n", "boats.", "so", "(a)", "Is it?", "'s", "<b>", "Answer: 3", "]"]))


@st.composite
def marks(draw: st.DrawFn) -> tuple[str, str]:
    """An opening mark and the closing one."""
    bracket, space, name = (draw(st.sampled_from(choices)) for choices in (BRACKETS, SPACES, NAMES))
    half = len(bracket) // 2
    case = draw(st.sampled_from(CASES))
    opening, closing = (case(mark.format(space.format(name))) for mark in draw(st.sampled_from(PAIRS)))
    return f"{bracket[:half]}{opening}{bracket[half:]}", f"{bracket[:half]}{closing}{bracket[half:]}"


@given(marks(), thoughts.map("".join), st.sampled_from(FINALS), st.sampled_from(["", "\n", "\n\n", " "]))
def test_a_thought_goes_and_what_follows_stays(mark: tuple[str, str], thought: str, final: str, gap: str) -> None:
    opening, closing = mark
    assert without_thoughts(f"{gap}{opening}{gap}{thought}{gap}{closing}{gap}{final}") == final
    assert without_thoughts(f"{opening}{thought}\n{opening}{thought}{closing}{thought}{closing}\n{final}") == final
    assert without_thoughts(f"{opening}\n{thought}") == ""


@given(marks(), thoughts.map("".join))
def test_an_answer_is_cleaned_of_thoughts(mark: tuple[str, str], thought: str) -> None:
    opening, closing = mark
    assert clean_answer(f"{opening}{thought}{closing}\n**two boats**") == "two boats"
    assert clean_question(f"{opening}Is it? {thought}{closing}\nIs it red?") == "Is it red?"
    assert clean_answer(f"{opening}\n{thought}") is clean_question(f"{opening}\n{thought}") is None


@given(st.text() | st.lists(st.sampled_from([*"<>[](){}/|`'\" \n", "think", "channel", "answer", "a"])).map("".join))
def test_no_reply_is_too_odd(raw: str) -> None:
    assert without_thoughts(raw) == without_thoughts(raw).strip()


UNITS = [
    "<think>",
    "</think>",
    "[THINK]",
    "((thinking)) ",
    "(thinking)(/thinking)",
    "<",
    "(",
    "'<think>' ",
    "```thinking\n",
]
UNITS += ["<answer>", "<|channel|>analysis<|message|>", "assistant \n", "analysis", "\\boxed{", "\\boxed{a}", "\n", " "]
UNITS += ["Answer:\n", "here is my thought process: ", "<details type='reasoning'>", "<a b=", "[/"]
UNITS += ["<!--", "-->", "&lt;think&gt;", "> thought\n", "...done thinking\n", "Thinking...\n", "[Reasoning: "]


def seconds(text: str) -> float:
    """The shortest of three runs, without garbage collection."""
    return min(timeit.repeat(lambda: without_thoughts(text), number=1, repeat=3))


@pytest.mark.parametrize("unit", UNITS)
def test_the_time_grows_with_the_length_of_the_reply(unit: str) -> None:
    for before in ("", "Thought: ", "so "):
        short, long = (seconds(before + unit * (length // len(unit))) for length in (20_000, 200_000))
        assert long < 30 * short + 0.05
