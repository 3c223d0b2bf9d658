"""Replies that list questions, in the forms that models give them, and the list that is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chatir.prompts.cleaning import clean_question
from chatir.prompts.question_list import LONGEST, question_list
from chatir.simulate import read_dialogs

RED, NEW, BIG = ALL = ["Is the car red?", "Is it new?", "How big is it?"]
WEATHER = "What is the weather like? Is it sunny or cloudy?"
DESK = "Is the computer desk well-organized or cluttered?"

LISTS: list[tuple[str, str, list[str]]] = [
    ("1.", "1. Is the car red?\n2. Is it new?\n3. How big is it?", ALL),
    ("1)", "1) Is the car red?\n2) Is it new?\n3) How big is it?", ALL),
    ("(1)", "(1) Is the car red?\n(2) Is it new?\n(3) How big is it?", ALL),
    ("1:", "1: Is the car red?\n2: Is it new?\n3: How big is it?", ALL),
    ("1 -", "1 - Is the car red?\n2 - Is it new?\n3 - How big is it?", ALL),
    ("no space", "1.Is the car red?\n2.Is it new?\n3.How big is it?", ALL),
    ("#1", "#1 Is the car red?\n#2: Is it new?\n#3. How big is it?", ALL),
    ("Q1:", "Q1: Is the car red?\nQ2. Is it new?\nQ3) How big is it?", ALL),
    ("Question 1:", "Question 1: Is the car red?\nQuestion 2: Is it new?\nQuestion #3 - How big is it?", ALL),
    ("Question 1: above", "### Question 1\nIs the car red?\n\n**Question 2:**\n\nIs it new?", [RED, NEW]),
    ("Q: and A:", "Q: Is the car red?\nA: yes\n\nQ: Is it new?\nA: no", [RED, NEW]),
    ("Q: and A: on a line", "Q: Is the car red? A: yes Q: Is it new? A: no", [RED, NEW]),
    ("bold number", "**1.** Is the car red?\n**2.** Is it new?\n**3.** How big is it?", ALL),
    ("bold item", "1. **Is the car red?**\n**2. Is it new?**\n3. *How big is it?*", ALL),
    ("bold topic", "1. **Color**: What color is it?\n2. **Size:** How big is it?", ["What color is it?", BIG]),
    ("quoted item", '1. "Is the car red?"\n2. \u201cIs it new?\u201d\n3. How big is it?', ALL),
    ("keycap", "1\ufe0f\u20e3 Is the car red?\n2\ufe0f\u20e3 Is it new?", [RED, NEW]),
    ("circled", "\u2460 Is the car red?\n\u2461 Is it new?", [RED, NEW]),
    ("odd numbers", "1. Is the car red?\n1. Is it new?\n7. How big is it?", ALL),
    ("-", "- Is the car red?\n- Is it new?\n- How big is it?", ALL),
    ("- no space", "-Is the car red?\n-Is it new?\n-How big is it?", ALL),
    ("*", "* Is the car red?\n* Is it new?\n* How big is it?", ALL),
    ("bullet", "\u2022 Is the car red?\n\u2022 Is it new?\n\u2022 How big is it?", ALL),
    ("en dash", "\u2013 Is the car red?\n\u2013 Is it new?\n\u2013 How big is it?", ALL),
    ("checkbox", "- [ ] Is the car red?\n- [x] Is it new?", [RED, NEW]),
    ("quotation", "> 1. Is the car red?\n> 2. Is it new?", [RED, NEW]),
    ("a)", "a) Is the car red?\nb) Is it new?\nc) How big is it?", ALL),
    ("A.", "A. Is the car red?\nB. Is it new?\nC. How big is it?", ALL),
    ("(a)", "(a) Is the car red?\n(b) Is it new?\n(c) How big is it?", ALL),
    ("roman", "i. Is the car red?\nii. Is it new?\niii. How big is it?", ALL),
    ("full width", "\uff11\uff0e Is the car red\uff1f\n\uff12\uff0e Is it new\uff1f", [RED, NEW]),
    (
        "Chinese",
        "1\u3001\u8fd9\u662f\u4ec0\u4e48\uff1f2\u3001\u662f\u5417\uff1f",
        ["\u8fd9\u662f\u4ec0\u4e48?", "\u662f\u5417?"],
    ),
    ("Windows", "1. Is the car red?\r\n2. Is it new?\r\n", [RED, NEW]),
    ("byte order mark, one item", f"\ufeff1. {WEATHER}", [WEATHER]),
    ("byte order mark", "\ufeff1. Is the car red?\n\u200b2. Is it new?", [RED, NEW]),
    # All on one line
    ("inline 1.", "1. Is the car red? 2. Is it new? 3. How big is it?", ALL),
    ("inline 1)", "1) Is the car red? 2) Is it new? 3) How big is it?", ALL),
    ("inline 1.Is", "1.Is the car red?2.Is it new?3.How big is it?", ALL),
    ("inline after a preamble", "Here are three: 1. Is the car red? 2. Is it new? 3. How big is it?", ALL),
    (
        "inline without marks",
        "1. is it red 2. is it new 3. what color is it",
        ["is it red?", "is it new?", "what color is it?"],
    ),
    ("inline (a)", "(a) Is the car red? (b) Is it new? (c) How big is it?", ALL),
    ("inline bullets", "\u2022 Is the car red? \u2022 Is it new? \u2022 How big is it?", ALL),
    ("inline dashes", "- Is the car red? - Is it new? - How big is it?", ALL),
    ("one line", "Is the car red? Is it new? How big is it?", ALL),
    ("one line, no spaces", "Is the car red?Is it new?How big is it?", ALL),
    ("one line, small", "is it red? any people? color of car?", ["is it red?", "any people?", "color of car?"]),
    ("one line after a preamble", "Sure! Here you go:\n\nIs the car red? Is it new?", [RED, NEW]),
    ("one line, or", "Is the car red? Or blue? Is it new?", ["Is the car red? Or blue?", NEW]),
    ("one line in quotes", '"Is the car red?", "Is it new?"', [RED, NEW]),
    ("one line, a quoted question", 'Is "Who are you?" on it? Is it new?', ['Is "Who are you?" on it?', NEW]),
    ("Python's list", "['Is the car red?', \"Is it the man's?\"]", [RED, "Is it the man's?"]),
    # JSON
    ("JSON list", json.dumps(ALL), ALL),
    ("JSON object", json.dumps({"questions": ALL}), ALL),
    ("JSON objects", json.dumps([{"id": 1, "question": RED, "answer": "is red"}, {"question": NEW}]), [RED, NEW]),
    ("JSON by number", json.dumps({"1": RED, "2": NEW}), [RED, NEW]),
    ("JSON, another key", json.dumps({"items": [{"content": RED, "kind": "what"}]}), [RED]),
    ("JSON, whole items", json.dumps([WEATHER, RED]), [WEATHER, RED]),
    ("JSON of a numbered text", json.dumps({"questions": "1. Is the car red?\n2. Is it new?"}), [RED, NEW]),
    ("JSON, escapes", '["Is it the man\\u2019s?", "Is \\"Hi\\" on it?"]', ["Is it the man\u2019s?", 'Is "Hi" on it?']),
    ("JSON, bare quotes", '["Is "Hi" on it?", "Is it new?"]', ['Is "Hi" on it?', NEW]),
    ("JSON, last comma", '["Is the car red?", "Is it new?",]', [RED, NEW]),
    ("JSON lines", '{"question": "Is the car red?"}\n{"question": "Is it new?"}', [RED, NEW]),
    ("JSON in a fence", f"Sure!\n```json\n{json.dumps(ALL, indent=2)}\n```\nWould you like more?", ALL),
    ("JSON after a colon", f"Here you go: {json.dumps(ALL)} Enjoy!", ALL),
    ("JSON cut off", '{"questions": ["Is the car red?", "Is it new?", "How b', [RED, NEW]),
    ("JSON cut off late", '["Is the car red?", "Is it new?', [RED, NEW]),
    ("JSON after a list", f'1. {RED}\n2. {NEW}\n\nAs JSON it would be:\n["Is it?"]', [RED, NEW]),
    ("JSON without questions", '{"error": "no image"}', []),
    # Plain lines, headings, what stands around a list
    ("lines", "Is the car red?\nIs it new?\nHow big is it?", ALL),
    ("lines apart", "Is the car red?\n\nIs it new?\n\nHow big is it?\n", ALL),
    ("lines without marks", "is the car red\nis it new", ["is the car red?", "is it new?"]),
    (
        "lines between remarks",
        "Sure! Here are 2 questions:\nIs the car red?\nIs it new?\nI hope these help.",
        [RED, NEW],
    ),
    ("lines before an offer", "Is the car red?\nIs it new?\nWould you like me to write more?", [RED, NEW]),
    ("list between remarks", "Sure! Ready?\n\n1. Is the car red?\n2. Is it new?\n\nWould you like more?", [RED, NEW]),
    (
        "list without marks",
        "1. is the car red\n2. is it new\nLet me know if you need more!",
        ["is the car red?", "is it new?"],
    ),
    ("list begun in the prompt", " Is the car red?\n2. Is it new?\n3. How big is it?", ALL),
    ("list without marks, and an offer", "1. is it new\n\nwould you like more?", ["is it new?"]),
    ("lines with a stray bullet", "Is the car red?\n- Is it new?\nHow big is it?", ALL),
    ("headings", "Questions:\n\n**Color**\n- Is the car red?\n\n## Age\n- Is it new?", [RED, NEW]),
    ("numbered headings", "1. Color\nIs the car red?\nIs it new?\n2. Size\nHow big is it?", ALL),
    ("sub-bullets", "1. Color\n   - Is the car red?\n   - Is it new?\n2. Size\n   - How big is it?", ALL),
    ("table", "| # | Question |\n|---|---|\n| 1 | Is the car red? |\n| 2 | Is it new? |", [RED, NEW]),
    ("thoughts", "<think>\n1. What if?\n2. Is it?\n</think>\n1. Is the car red?\n2. Is it new?", [RED, NEW]),
    ("thoughts in other marks", "[THINK]1. What if?[/THINK]\n1. Is the car red?\n2. Is it new?", [RED, NEW]),
    ("thoughts in a channel", f"<|channel|>analysis<|message|>{BIG}<|end|><|channel|>final<|message|>{RED}", [RED]),
    ("thoughts that never end", "<thinking>\n1. Is the car red?", []),
    ("thoughts under a heading", f"Reasoning: {BIG}\nQuestions:\n1. {RED}\n2. {NEW}", [RED, NEW]),
    ("marked", f"<question>{RED}</question>\n<question>{NEW}</question>", [RED, NEW]),
    ("a quoted label", 'Does it say "My Question: who"?\nIs it new?', ['Does it say "My Question: who"?', NEW]),
    ("turns", "<s><|im_start|>assistant\n1. Is the car red?<|im_end|>\n<|im_start|>user\n2. Is it new?", [RED]),
    ("repeats", "1. Is it new?\n2. Is the car red?\n3. Is it new?", [NEW, RED, NEW]),
    # Items that say more than their question, or go on
    ("answers", "1. Is the car red? Answer: yes\n2. Is it new? - no\n3. How big is it? (2 m)", ALL),
    ("answers below", "1. Is the car red?\n   Answer: yes\n2. Is it new?\n   - no", [RED, NEW]),
    ("options", "1. Is the car red?\nA. Yes\nB. No\n2. Is it new? A. Yes B. No", [RED, NEW]),
    ("reasons", "1. Is the car red?\n   *This tells the color.*\n2. Is it new? This tells the age.", [RED, NEW]),
    ("two sentences", f"1. {WEATHER}\n2. Is it new?", [WEATHER, NEW]),
    ("two sentences, one item", f"1. {WEATHER}", [WEATHER]),
    ("two sentences on a line", f"{WEATHER}\nIs it new?", [WEATHER, NEW]),
    ("wrapped", "1. Is the\n   car red?\n2. Is it\nnew?\n3. How big is it?", ALL),
    ("wrapped before a name", "1. Is the man by\nBob tall?\n2. Is it new?", ["Is the man by Bob tall?", NEW]),
    ("wrapped before a verb", "1. As to the man,\nis he tall?\n2. Is it new?", ["As to the man, is he tall?", NEW]),
    ("wrapped without markers", "Is the computer desk\nwell-organized or cluttered?\nIs it new?", [DESK, NEW]),
    ("wrapped at a hyphen", "1. Is the computer desk well-\norganized or cluttered?", [DESK]),
    (
        "wrapped before a dash",
        "1. Is there a shirt\n- or a hat - here?\n2. Is it new?",
        ["Is there a shirt - or a hat - here?", NEW],
    ),
    ("wrapped before a number", "1. Are there\n2. or 3 dogs?\n2. Is it new?", ["Are there 2. or 3 dogs?", NEW]),
    ("thoughts", "1. Is the car red? <think>x</think>\n2. Is it new? <think>y</think>\n3. How big is it?", ALL),
    ("thoughts before", "<think>Is it?</think>Is the car red?\n<think>y</think>Is it new?", [RED, NEW]),
    ("draft", "1. Is it?\n2. Was it?\n</think>1. Is the car red?\n2. Is it new?", [RED, NEW]),
    ("Ollama", "Thinking...\n1. Is it?\n...done thinking.\n\n1. Is the car red?\n2. Is it new?", [RED, NEW]),
    # No questions
    ("empty", "", []),
    ("blank", " \n\t\n", []),
    ("refusal", "I'm sorry, but I cannot see the image.", []),
    ("remark", "Sure! Here are 10 questions:", []),
    ("offer", "Would you like me to write more questions?", []),
    ("statements", "1. The car is red.\n2. It is new.", []),
    ("markers", "1.\n2.\n- \n(a)", []),
    ("marks", "? ?? ???", []),
]


@pytest.mark.parametrize(("raw", "questions"), [pytest.param(raw, kept, id=name) for name, raw, kept in LISTS])
def test_the_questions_in_a_reply(raw: str, questions: list[str]) -> None:
    assert question_list(raw) == questions


def one_a_line(marker: Callable[[int], str]) -> Callable[[list[str]], str]:
    return lambda questions: "\n".join(marker(i) + q for i, q in enumerate(questions, 1))


def on_one_line(marker: Callable[[int], str]) -> Callable[[list[str]], str]:
    return lambda questions: " ".join(marker(i) + q for i, q in enumerate(questions, 1))


NUMBERS: dict[str, Callable[[int], str]] = {
    "1.": lambda i: f"{i}. ",
    "1)": lambda i: f"{i}) ",
    "(1)": lambda i: f"({i}) ",
    "1:": lambda i: f"{i}: ",
    "**1.**": lambda i: f"**{i}.** ",
    "#1": lambda i: f"#{i} ",
    "Q1:": lambda i: f"Q{i}: ",
    "Question 1:": lambda i: f"Question {i}: ",
    "full width": lambda i: f"{i}\uff0e ",
}
BULLETS: dict[str, Callable[[int], str]] = {
    bullet: lambda _, bullet=bullet: bullet + " "  # type: ignore[misc]
    for bullet in ("-", "*", "+", "\u2022", "\u2013", "\u2014")
}
LETTERS: dict[str, Callable[[int], str]] = {
    "a)": lambda i: f"{chr(96 + i)}) ",
    "A.": lambda i: f"{chr(64 + i)}. ",
    "(b)": lambda i: f"({chr(96 + i)}) ",
}
FORMATS: dict[str, Callable[[list[str]], str]] = {
    **{name: one_a_line(marker) for name, marker in (NUMBERS | BULLETS | LETTERS).items()},
    **{f"inline {name}": on_one_line(marker) for name, marker in NUMBERS.items()},
    "lines": "\n".join,
    "lines apart": "\n\n".join,
    "table": lambda questions: "| No. | Question |\n|--|--|\n" + one_a_line(lambda i: f"| {i} | ")(questions),
    "JSON list": json.dumps,
    "JSON object": lambda questions: json.dumps({"questions": questions}, ensure_ascii=False),
    "JSON objects": lambda questions: json.dumps([{"id": "what", "question": q, "answer": "no"} for q in questions]),
    "JSON in a fence": lambda questions: f"```json\n{json.dumps(questions, indent=2)}\n```",
    "JSON cut off": lambda questions: json.dumps({"questions": questions})[:-3],
}
SETTINGS: list[Callable[[str], str]] = [
    lambda reply: reply,
    lambda reply: f"Sure! Here are the questions:\n\n{reply}\n\nLet me know if you need more!",
    lambda reply: f"<think>\nWhat now? 1. Is it?\n</think>\n\n{reply}<|im_end|>",
    lambda reply: reply.replace("\n", "\r\n"),
]

SANE = [
    *(RED, NEW, BIG, WEATHER, DESK),
    "Is it a black-and-white photo?",
    "Is there a T-shirt - or a jacket - on the chair?",
    "Is it a 2-door car?",
    "2-door car or 4-door car?",
    "3 - 4 people?",
    "Are there 2. or 3 dogs?",
    "How many people are in picture no. 2?",
    "How many people are in picture no. 2? 3 or more?",
    "Is it 10 a.m. or 10 p.m.?",
    "What time is it, 5:30 or 6:00?",
    "Is it a) red, b) blue or c) green?",
    "Is it 1) red or 2) blue?",
    "Is it #1 or #2?",
    "Is it vitamin A. or B. on the box?",
    "There is a car. Is it red?",
    "The car: is it red?",
    'Does the sign say "Stop"?',
    "What's the man's hat's color?",
    "Who stands by Mr. J. Smith?",
    "Is the street\u2013like path - on the left \u2014 wet?",
    "any people?",
    "color of the car?",
    "\u8fd9\u662f\u4ec0\u4e48?",
    "\u041a\u0440\u0430\u0441\u043d\u0430\u044f \u043b\u0438 \u043c\u0430\u0448\u0438\u043d\u0430?",
]
WORDS = """
the a car well-lit T-shirt - \u2013 2. 3 4) no. 2 a.m. or and, red (old) 'big' 10:30 man's e.g. {x} [y] a) I. Bob
"""
words = st.sampled_from(WORDS.split())


@st.composite
def made_questions(draw: st.DrawFn) -> str:
    start = draw(st.sampled_from(["Is", "What", "are", "how many", "Bob's"]))
    question = f"{start} {' '.join(draw(st.lists(words, max_size=8)))} thing?"
    assume(clean_question(question) == question)
    return question


sane_lists = st.lists(st.sampled_from(SANE) | made_questions(), min_size=2, max_size=12)


def test_sane_questions_are_those_that_need_no_cleaning() -> None:
    assert [clean_question(question) for question in SANE] == SANE


@pytest.mark.parametrize("name", FORMATS)
@given(questions=sane_lists, setting=st.sampled_from(SETTINGS))
def test_questions_come_back_from_each_format(name: str, questions: list[str], setting: Callable[[str], str]) -> None:
    assume(name != "JSON cut off" or not setting("").endswith("more!"))  # nothing comes after what is cut off
    assert question_list(setting(FORMATS[name](questions))) == questions


@given(st.lists(made_questions(), min_size=1, max_size=12))
def test_questions_come_back_from_one_line_without_markers(questions: list[str]) -> None:
    assert question_list(" ".join(questions)) == questions


@given(
    st.lists(st.sampled_from([q for q in SANE if q.split()[0] in ("Is", "Are", "What", "How", "There")]), min_size=1)
)
def test_questions_come_back_from_a_list_wrapped_after_a_word(questions: list[str]) -> None:
    wrapped = (q.replace(" ", "\n   ", 1) for q in questions)
    assert question_list("\n".join(f"{i}. {q}" for i, q in enumerate(wrapped, 1))) == questions


@pytest.mark.parametrize("name", FORMATS)
def test_real_questions_come_back_from_each_format(shared: Path, name: str) -> None:
    for file in ("VisDial_v1.0_queries_val", "ChatGPT_BLIP2"):
        dialogs = read_dialogs(shared / "data" / "chatir" / "dialogues" / f"{file}.json")
        for dialog in dialogs[::10]:
            questions = [q for turn in dialog.rounds if clean_question(q := turn.question) == q]
            assert question_list(FORMATS[name](questions)) == questions


@pytest.mark.parametrize("name", FORMATS)
def test_no_question_is_cut_at_a_hyphen(name: str) -> None:
    """As in a released file, where one turn asks `Is the computer desk well` and the next `or cluttered?`."""
    asked = [DESK, "Is the man in the T-shirt - the tall one - left-handed?", DESK]
    assert question_list(FORMATS[name](asked)) == asked


PIECES = """
Is is what the car red yes 2 man's sure Sure! question Question: Questions: answer Answer: Q: Q1: A: a short of
. .. ? ?? ! : ; , - -- * ** _ # ### > | ( ) [ ] { } " ' ` \\ \\" \\u ``` ```json "question": "answer":
\u201c \u201d \uff1f \uff1a
1. 2. 1) (1) #1 \uff11\uff0e 1\ufe0f\u20e3 (a) a) ii. \u2022 \u2013
<|im_start|> <|im_end|> </s> <think> </think> \u200b \x00 \ud800
"""
pieces = st.sampled_from(PIECES.split())
replies = (
    st.text()
    | st.lists(pieces | st.sampled_from(["\n", " ", "\t", "\r\n", "\u2028"]), max_size=20).map("".join)
    | st.lists(pieces | st.just("\n"), max_size=20).map(" ".join)
)


@given(replies)
def test_whatever_the_reply_the_list_holds_clean_questions_only(raw: str) -> None:
    for question in question_list(raw):
        assert clean_question(question) == question


@given(replies, sane_lists)
def test_a_clean_list_is_parsed_to_itself(raw: str, more: list[str]) -> None:
    questions = question_list(raw) + more
    assert question_list(FORMATS["1."](questions)) == questions


LOOPS = [
    "1. ",
    "?",
    "? ",
    "(",
    "[",
    "{",
    '{"a":',
    '["',
    '"',
    '\\"',
    "\\",
    "- ",
    "a? ",
    "Is it? ",
    "a) ",
    "Q: ",
    "1\n",
    "\n",
    " ",
]
LOOPS += ["[THINK]", "(1) ", '"1. ', "<|channel|>analysis<|message|>", "<question>", "question: ", "x_", "a' "]
LOOPS += ["1. is\n", "is it\na\n", "| ", "**", "# ", "<think>", "</s>", '?"', "is it red, ", ": ["]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("unit", LOOPS)
def test_a_model_caught_in_a_loop_costs_no_time(unit: str) -> None:
    loop = unit * (300_000 // len(unit))
    for raw in (loop, f'["{loop}', f"1. Is it {loop}?"):
        question_list(raw)


def test_an_endless_item_is_left_out_and_its_neighbours_stay() -> None:
    assert question_list(f"1. {RED}\n2. Is it {'very ' * LONGEST} new?\n3. {BIG}") == [RED, BIG]


def test_a_long_list_is_kept_whole() -> None:
    assert question_list(FORMATS["1."](SANE * 30)) == SANE * 30
