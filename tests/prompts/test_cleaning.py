"""Replies of models as they come, and the one line that is kept of each."""

from __future__ import annotations

import timeit
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from chatir import Round
from chatir.measures.questions import LEAKED_LABEL
from chatir.prompts.cleaning import clean_answer, clean_question
from chatir.prompts.cleaning.quotes import quoted
from chatir.simulate import read_dialogs

RED = "Is the car red?"

QUESTIONS: list[tuple[str, str | None]] = [
    # A completion of the bare `Question:` line
    ("Is the car red?", RED),
    (" Is the car red?\n", RED),
    ("\n\n  Is the car red?", RED),
    ("Is the car red?\nAnswer: yes\nQuestion: Is it new?\nAnswer: no", RED),
    ("Is the car red? Answer: yes Question: Is it new? Answer: no", RED),
    ("Is the car red?Answer: yes", RED),
    ("Is the car red? answer : yes", RED),
    ("Is the car red? Q: Is it new?", RED),
    ("Is the car red?\n\nCaption: a dog\nQuestion: is it old?", RED),
    ("is the car red Answer: yes Question: is it new?", "is the car red?"),
    ("is the car red Next question: is it new?", "is the car red?"),
    ("yes\nQuestion: Is the car red?", RED),
    ("Answer: yes\nQuestion: Is the car red?", None),
    ("Caption: a dog on a beach\nQuestion: is it wet?", None),
    ("\n\nAnswer: yes, it is red", None),
    ("Human: no", None),
    # Labels
    ("Question: Is the car red?", RED),
    ("question : Is the car red?", RED),
    ("QUESTION:\nIs the car red?", RED),
    ("Q: Is the car red? A: yes Q: Is it new? A: no", RED),
    ("Q3: Is the car red?", RED),
    ("Question 3: Is the car red?", RED),
    ("Question #3: Is the car red?", RED),
    ("Question 4 of 10: Is the car red?", RED),
    ("New question: Is the car red?", RED),
    ("Follow-up question: Is the car red?", RED),
    ("Questioner: Is the car red?", RED),
    ("Assistant: Question: Is the car red?", RED),
    ("Question: Is the car red?\nAnswer:", RED),
    ("Question: Question: Is the car red?", RED),
    ("Question: is the car red Answer: yes", "is the car red?"),
    ("Question\uff1a Is the car red?", RED),
    # What chat models put before the question and after it
    ("Sure! Here's a question:\n\nIs the car red?", RED),
    ("Sure! Here's a question: Is the car red?", RED),
    ("Sure, here is a new question for you: Is the car red?", RED),
    ("Certainly! Is the car red?", RED),
    ("Here is a question based on the caption:\n\nIs the car red?", RED),
    ("My next question would be: Is the car red?", RED),
    ("The question is: Is the car red?", RED),
    ("A good question to tell this image from others could be:\n\n**Is the car red?**", RED),
    ("Here is my question:\n\n> Is the car red?\n\nThis helps to tell the image from others.", RED),
    ("Is the car red? This helps to tell the image from others.", RED),
    ("Is the car red? (yes/no)", RED),
    ("Is the car red?\n\nLet me know if you need more questions!", RED),
    ("<think>\nWhat was asked? Is the car red was not.\n</think>\n\nIs the car red?", RED),
    ("What was asked? Nothing.\n</think>\nIs the car red?", RED),
    ("<think>\nWhat was asked? Is the car", None),
    # Numbers, letters, bullets
    ("1. Is the car red?", RED),
    ("1) Is the car red?", RED),
    ("(1) Is the car red?", RED),
    ("12: Is the car red?", RED),
    ("1.Is the car red?", RED),
    ("(a) Is the car red?", RED),
    ("a) Is the car red?", RED),
    ("B. Is the car red?", RED),
    ("1. Question: Is the car red?", RED),
    ("Question: 1. Is the car red?", RED),
    ("- Is the car red?", RED),
    ("-Is the car red?", RED),
    ("* Is the car red?", RED),
    ("\u2022 Is the car red?", RED),
    ("\u2013 Is the car red?", RED),
    ("### Is the car red?", RED),
    ("...Is the car red?", RED),
    ("1. Is the car red?\n2. Is it new?\n3. Is it parked?", RED),
    ("1. Is the car red? 2. Is it new? 3. Is it parked?", RED),
    ("2 cars or 3?", "2 cars or 3?"),
    ("3D or flat?", "3D or flat?"),
    # Markdown and quotes
    ("**Is the car red?**", RED),
    ("**Question:** Is the car red?", RED),
    ("**Question**: Is the car red?", RED),
    ("__Question:__ *Is the car red?*", RED),
    ("## Question\n\nIs the car red?", RED),
    ("_Is the car red?_", RED),
    ("`Is the car red?`", RED),
    ("Is the car **red**?", RED),
    ('"Is the car red?"', RED),
    ("'Is the car red?'", RED),
    ("\u201cIs the car red?\u201d", RED),
    ("\u2018Is the car red?\u2019", RED),
    ("\u201eIs the car red?\u201c", RED),
    ("\u00ab Is the car red? \u00bb", RED),
    ("\u300cIs the car red?\u300d", RED),
    ("``Is the car red?''", RED),
    ("\"'Is the car red?'\"", RED),
    ("\u201c'**Is the car red?**'\u201d", RED),
    ('1. "Is the car red?"', RED),
    ('"1. Is the car red?"', RED),
    ('"1. Is the car red?" would tell much.', RED),
    ('Question: "Is the car red?" Answer: "yes"', RED),
    ('"Is the car red?', RED),
    ('Is the car red?"', RED),
    ('"Is the car red"?', RED),
    ('"Is the car red?" would tell this image from others.', RED),
    ("'is the car red?' she asked", "is the car red?"),
    ("'is the man's car red?' she asked", "is the man's car red?"),
    ("what's the man's hat's color?", "what's the man's hat's color?"),
    ("'what's the man's hat's color?'", "what's the man's hat's color?"),
    ("\u2018what\u2019s the man\u2019s hat\u2019s color?\u2019", "what\u2019s the man\u2019s hat\u2019s color?"),
    ("Does the sign say 'stop'?", "Does the sign say 'stop'?"),
    ("\"Does the sign say 'stop'?\"", "Does the sign say 'stop'?"),
    ('Does the sign say "Who are you?"', 'Does the sign say "Who are you"?'),
    ('"stop" or "go"?', '"stop" or "go"?'),
    ("Is the car red (or blue?)", "Is the car red (or blue)?"),
    ("(Is the car red?)", RED),
    # Control tokens
    ("Is the car red?<|im_end|>", RED),
    ("Is the car red?</s>", RED),
    ("<s> Is the car red?</s>", RED),
    ("<pad> Is the car red?</s><pad><pad>", RED),
    ("Is the <unk> car red?</s>", RED),
    ("<extra_id_0> Is the car red?<extra_id_1>", RED),
    ("<|im_start|>assistant\nIs the car red?<|im_end|>\n<|im_start|>user\nyes", RED),
    ("<|start_header_id|>assistant<|end_header_id|>\n\nIs the car red?<|eot_id|>", RED),
    ("<start_of_turn>model\nIs the car red?<end_of_turn>", RED),
    ("<|turn>model\nIs the car red?<turn|>", RED),
    ("assistant\nIs the car red?", RED),
    ("Is the car red?<|endoftext|>Is it new?", RED),
    ("[INST] Is the car red? [/INST] yes", RED),
    ("is the car red<|im_end|>", "is the car red?"),
    # White space, zero-width and control characters
    ("Is\tthe   car\u00a0red?", RED),
    ("\ufeffIs the c\u200bar red?", RED),
    ("Is the\x00car\x07red?", RED),
    ("Is the car red\u00ad?", RED),
    ("Is the car red ?", RED),
    ("Is the car red??", RED),
    ("Is the car red? ?!", RED),
    # Kept whole
    ("What is the weather like? Is it sunny or cloudy?", "What is the weather like? Is it sunny or cloudy?"),
    ("There is a car. Is it red?", "There is a car. Is it red?"),
    ("Is the desk well-organized or cluttered?", "Is the desk well-organized or cluttered?"),
    ("Is it a 3-4 year old child - or older?", "Is it a 3-4 year old child - or older?"),
    ("Is the image black-and-white, e.g. a sketch?", "Is the image black-and-white, e.g. a sketch?"),
    ("What time is it, 5:30 or 6:00?", "What time is it, 5:30 or 6:00?"),
    ("Is it an M*A*S*H poster?", "Is it an M*A*S*H poster?"),
    ("Is snake_case on the screen?", "Is snake_case on the screen?"),
    ("The car: is it red?", "The car: is it red?"),
    # Without a mark
    ("is the car red", "is the car red?"),
    ("What color is the car.", "What color is the car?"),
    ("whats the color", "whats the color?"),
    ("aren't there people...", "aren't there people?"),
    ("isn\u2019t it red", "isn\u2019t it red?"),
    ("any people", "any people?"),
    # Other scripts
    ("\u8fd9\u4e2a\u4eba\u662f\u7537\u7684\u5417\uff1f", "\u8fd9\u4e2a\u4eba\u662f\u7537\u7684\u5417?"),
    ("1. \u8fd9\u662f\u4ec0\u4e48\uff1f\n2. \u662f\u5417\uff1f", "\u8fd9\u662f\u4ec0\u4e48?"),
    ("\u0647\u0644 \u0647\u0648 \u0623\u062d\u0645\u0631\u061f", "\u0647\u0644 \u0647\u0648 \u0623\u062d\u0645\u0631?"),
    ("\u00bfEs rojo el coche?", "\u00bfEs rojo el coche?"),
    (
        "\u041a\u0440\u0430\u0441\u043d\u0430\u044f \u043b\u0438?",
        "\u041a\u0440\u0430\u0441\u043d\u0430\u044f \u043b\u0438?",
    ),
    # Thoughts, and labels between quotation marks
    ("<|channel|>analysis<|message|>Is it?<|end|><|start|>assistant<|channel|>final<|message|>Is the car red?", RED),
    ("[THINK]Is it new?[/THINK]Is the car red?", RED),
    ("Thought: Is it new?\nNext question: Is the car red?", RED),
    ("Response: Is the car red?", RED),
    ('Does the sign say "Question: who"?', 'Does the sign say "Question: who"?'),
    ('Does the sign say "Question: who?"', 'Does the sign say "Question: who"?'),
    ("Is 'System: off' on the man's shirt?", "Is 'System: off' on the man's shirt?"),
    ("Is `System: off` on it?", 'Is "System: off" on it?'),
    ('The sign says "Question: who" or not?', 'The sign says "Question: who" or not?'),
    ('"Question: Is the car red?"', RED),
    ('{"question": "Is the car red?"}', RED),
    ('```json\n{"question": "Is the car red?"}\n```', RED),
    # No question
    ("", None),
    (" \n\t\n", None),
    ("?", None),
    ('"?!..."', None),
    ("...", None),
    ("Question:", None),
    ("**Question:**", None),
    ("<|im_end|>", None),
    ("The image shows a red car.", None),
    ("I'm sorry, but I cannot see the image.", None),
    ("What a lovely red car.", None),
    ("How lovely!", None),
    ("Do not ask about the color.", None),
    ("Which is why I ask the following:", None),
    ("Sure! Here's a question:", None),
    ("\u8fd9\u662f\u4e00\u8f86\u7ea2\u8272\u7684\u8f66\u3002", None),
]


@pytest.mark.parametrize(("raw", "question"), QUESTIONS)
def test_the_question_in_a_reply(raw: str, question: str | None) -> None:
    assert clean_question(raw) == question


ANSWERS: list[tuple[str, str | None]] = [
    ("yes", "yes"),
    (" yes\n", "yes"),
    ("\n\nyes", "yes"),
    ("no, it isn't", "no, it isn't"),
    ("a man and a woman sitting on a bench.", "a man and a woman sitting on a bench."),
    ("The answer is yes.", "The answer is yes."),
    ("2", "2"),
    ("2.", "2."),
    ("2.5 meters", "2.5 meters"),
    (".5", ".5"),
    ("-5", "-5"),
    ("100%", "100%"),
    ("#12", "#12"),
    ("10:30", "10:30"),
    ("5:30 a.m.", "5:30 a.m."),
    ("a.m.", "a.m."),
    ("6'2\"", "6'2\""),
    ("well-lit", "well-lit"),
    ("M*A*S*H", "M*A*S*H"),
    ("human", "human"),
    ("stop!", "stop!"),
    ("vitamin a: 20%", "vitamin a: 20%"),
    # Labels and what the model goes on with
    ("Answer: yes", "yes"),
    ("Short answer: yes", "yes"),
    ("The answer is: yes", "yes"),
    ("Final Answer: yes", "yes"),
    ("A: yes", "yes"),
    ("A1: yes", "yes"),
    ("Answerer: yes", "yes"),
    ("Assistant: yes", "yes"),
    ("Answer: Answer: yes", "yes"),
    ("yes Answer: yes", "yes"),
    ("yes\nQuestion: is it new?\nAnswer: no", "yes"),
    ("yes Question: is it new? Answer: no", "yes"),
    ("yes Q: is it new?", "yes"),
    ("yes\nUser: is it new?", "yes"),
    ("Question: is the car red? Answer: yes", "yes"),
    ("Question: is the car red? Short answer: yes", "yes"),
    ("Question: is the car red?\nAnswer: yes", "yes"),
    ("Q: is the car red? A: yes", "yes"),
    ("User: is the car red?\nAssistant: yes", "yes"),
    ("Question: is the car red?", None),
    # Numbers, letters, bullets, markdown, quotes
    ("1. yes", "yes"),
    ("1) yes", "yes"),
    ("(a) yes", "yes"),
    ("- a dog\n- a cat", "a dog"),
    ("* a dog", "a dog"),
    ("\u2022 a dog", "a dog"),
    ("**yes**", "yes"),
    ("**Answer:** yes", "yes"),
    ("**Answer**\n\nyes", "yes"),
    ("the **red** one", "the red one"),
    ('"stop"', "stop"),
    ("'stop'", "stop"),
    ("\u201cstop\u201d", "stop"),
    ("\"'stop'\"", "stop"),
    ('"yes', "yes"),
    ('it says "stop"', 'it says "stop"'),
    ('"stop" and "go"', '"stop" and "go"'),
    ("the dogs'", "the dogs'"),
    ("(2)", "2"),
    # Question marks
    ("yes?", "yes"),
    ("what? no", "what no"),
    ("I don't know ? maybe", "I don't know maybe"),
    ("\u662f\u7684\uff1f", "\u662f\u7684"),
    ("?", None),
    ("Answer?: yes", "yes"),
    # Control tokens, characters, thoughts
    ("yes</s>", "yes"),
    ("<pad> yes</s>", "yes"),
    ("yes<|im_end|>\n<|im_start|>user\nis it new?", "yes"),
    ("<|im_start|>assistant\nyes<|im_end|>", "yes"),
    ("assistant\nyes", "yes"),
    ("<think>The car is red.</think>\n\nyes", "yes"),
    ("\u200byes\ufeff", "yes"),
    ("ye\u00ads,\x07 it\tis", "yes, it is"),
    ("\u662f\u7684", "\u662f\u7684"),
    ("\u0646\u0639\u0645", "\u0646\u0639\u0645"),
    ("<thinking>\nTwo boats are drawn.\n</thinking>\n\ntwo", "two"),
    ("<thinking>\nTwo boats are", None),
    # Lead-ins
    ("Based on the image, the answer is: two boats", "two boats"),
    ("Based on the image, the answer is:\n\n**two boats**", "two boats"),
    ("two boats\nAnswer: two", "two"),
    ("There are two boats.\n\n**Answer**\n\ntwo", "two"),
    ("Answer: two\n\nFinal answer: two boats", "two boats"),
    ("The answer to your question is: two", "two"),
    ('The answer to "how many boats are there?" is: two', "two"),
    ("My answer would be: two", "two"),
    ("Here is the answer: two", "two"),
    ("Response: two", "two"),
    ("\u7b54\u6848\uff1a\u4e24", "\u4e24"),
    ("The image contains:\n1. a dog", "a dog"),
    ("The image contains\uff1a\n1. a dog", "a dog"),
    ("Answer: The image contains:\n- a dog", "a dog"),
    ("The image contains:", None),
    ("(The image contains:)", None),
    ("Sure!\ntwo", "two"),
    ("Great question!\n\nThe image contains:\n* a dog", "a dog"),
    ("Sure! Let me take a look at the image.\nThere are two.", "There are two."),
    ("Sure!", "Sure!"),
    ("Sure!\nQuestion: is it new?\nAnswer: no", "no"),
    ("yes<|im_end|>\n<|im_start|>user\nis it new? Answer: no", "yes"),
    ("Question:\nis it new?\nAnswer:\nno", "no"),
    # Headings
    ("## Answer\ntwo boats", "two boats"),
    ("### Final Answer\ntwo boats", "two boats"),
    ("## Response\ntwo boats", "two boats"),
    ("### Short answer\ntwo boats", "two boats"),
    ("> Answer\ntwo boats", "two boats"),
    ("- Answer\ntwo boats", "two boats"),
    ("1. Answer\ntwo boats", "two boats"),
    ("### My Answer\ntwo boats", "two boats"),
    ("The Answer\ntwo boats", "two boats"),
    ("## Question\nhow many?\n## Answer\ntwo boats", "two boats"),
    ("the answer", "the answer"),
    ("two boats<\uff5cend\u2581of\u2581sentence\uff5c>three", "two boats"),
    # Words that are no labels
    ("Vitamin A: 10%", "Vitamin A: 10%"),
    ("Team A: 3, Team B: 2", "Team A: 3, Team B: 2"),
    ("Gate A: closed", "Gate A: closed"),
    ("Exit A: left, exit B: right", "Exit A: left, exit B: right"),
    ("It says System: off", "It says System: off"),
    ("A poster with the caption: 'Hello'", "A poster with the caption: 'Hello'"),
    ("There is a sign with the caption: Keep out", "There is a sign with the caption: Keep out"),
    ("A login form with User: and Password: fields", "A login form with User: and Password: fields"),
    ("The screen says: System: off", "The screen says: System: off"),
    ("yes, it is. Q: is it new? A: no", "yes, it is."),
    ("is it red? A: yes Q: is it new? A: no", "yes"),
    ("yes. User: is it new?", "yes."),
    # More lead-ins, JSON, code fences
    ("Answer to question 1: two boats", "two boats"),
    ("Answer (short): two boats", "two boats"),
    ("Answer [1]: two boats", "two boats"),
    ("<b>Answer:</b> two boats", "two boats"),
    ("Based on the image: two boats", "two boats"),
    ("Here's what I see: two boats", "two boats"),
    ("it reads: open", "it reads: open"),
    ('```json\n{"answer": "two boats"}\n```', "two boats"),
    ('{"answer": "two boats"}', "two boats"),
    ('{"thought": "I count", "answer": "two boats"}', "two boats"),
    ('{"count": 2}', '{"count": 2}'),
    ("```text\ntwo boats\n```", "two boats"),
    ("```\ntwo boats\n```", "two boats"),
    # Labels between quotation marks
    ("The sign reads 'System: off'", "The sign reads 'System: off'"),
    ("the man's sign reads 'System: off'", "the man's sign reads 'System: off'"),
    ("the dogs' sign reads \u2018System: off\u2019", "the dogs' sign reads \u2018System: off\u2019"),
    ("it reads 'the man's Answer: x' twice", "it reads 'the man's Answer: x' twice"),
    ("the dogs' bowl Answer: two dogs' bowls", "two dogs' bowls"),
    ("it says \u00abQuestion: who\u00bb", "it says \u00abQuestion: who\u00bb"),
    ('it says "Question: who?" Answer: no', "no"),
    ('it says "Question: who?"', 'it says "Question: who"'),
    ("it says `System: off`", 'it says "System: off"'),
    ('"Answer: two"', "two"),
    ("\u201cThe answer is: two\u201d", "two"),
    ("'System: off'", "'System: off'"),
    ('"stop Answer: two', "two"),
    # Nothing said
    ("", None),
    (" \n ", None),
    ("...", None),
    ("Answer:", None),
    ("</s>", None),
    ("<think>The car is", None),
]


@pytest.mark.parametrize(("raw", "answer"), ANSWERS)
def test_the_answer_in_a_reply(raw: str, answer: str | None) -> None:
    assert clean_answer(raw) == answer


TRIANGLE = "can you see a triangle?"

ECHOES: list[tuple[str, str, str | None]] = [
    (TRIANGLE, TRIANGLE, None),
    ("Can you see a triangle", TRIANGLE, None),
    ("Can you see a triangle? Yes, one.", TRIANGLE, "Yes, one."),
    ("Can you see a triangle?\nYes, one.", TRIANGLE, "Yes, one."),
    ("Can you\n  see a triangle?\nYes, one.", TRIANGLE, "Yes, one."),
    ("Can you see a triangle - yes", TRIANGLE, "yes"),
    ("Question: Can you see a triangle? Answer: yes", TRIANGLE, "yes"),
    ("Question: Can you see a triangle? yes", TRIANGLE, "yes"),
    ("User: can you see a triangle?\nAssistant: yes", TRIANGLE, "yes"),
    ('"Can you see a triangle?" yes', TRIANGLE, "yes"),
    ("**Can you see a triangle?**\n\nyes", TRIANGLE, "yes"),
    ("1. Can you see a triangle", TRIANGLE, None),
    (f"{TRIANGLE} {TRIANGLE} yes", TRIANGLE, "yes"),
    (f"{TRIANGLE} yes {TRIANGLE} no", TRIANGLE, "yes"),
    ('You asked: "can you see a triangle?" Yes.', TRIANGLE, "Yes."),
    ("You asked: can you see a triangle", TRIANGLE, None),
    ("Sure! Can you see a triangle?\nYes.", TRIANGLE, "Yes."),
    ("Yes, one. Can you see a triangle?", TRIANGLE, "Yes, one."),
    ("Yes, one. Can you see a triangle?\nLet me know!", TRIANGLE, "Yes, one."),
    ("I don't know. Can you see a triangle?", TRIANGLE, "I don't know."),
    ("I don't know Question: can you see a triangle?", TRIANGLE, "I don't know"),
    ("Yes.\nCan you see a triangle?\nNo.", TRIANGLE, "Yes."),
    ("yes\nQuestion: can you see a triangle?\nAnswer: no", TRIANGLE, "yes"),
    ("Yes. Can you see a triangle", TRIANGLE, "Yes. Can you see a triangle"),
    ("Can you see a triangle in the corner, yes", TRIANGLE, "Can you see a triangle in the corner, yes"),
    ("can you see a triangle-shaped sign", TRIANGLE, "can you see a triangle-shaped sign"),
    ("Yes, I can see a triangle.", TRIANGLE, "Yes, I can see a triangle."),
    ("Can you see a triangle", "", "Can you see a triangle"),
    ("So, can you see a triangle?", TRIANGLE, None),
    ("So, can you see a triangle", TRIANGLE, None),
    ("Okay, can you see a triangle? Yes.", TRIANGLE, "Yes."),
    ("Sure, can you see a triangle?", TRIANGLE, None),
    ("Well, can you see a triangle?", TRIANGLE, None),
    ("Hmm, can you see a triangle?", TRIANGLE, None),
    ("You asked can you see a triangle?", TRIANGLE, None),
    ("can you see a triangle? can you see a triangle? can you see", TRIANGLE, None),
    ("black and white", "black and white?", "black and white"),
    ("black and white? yes", "black and white?", "yes"),
    ("the man is wearing a hat", "the man is wearing a hat?", "the man is wearing a hat"),
    ("indoors", "indoors?", "indoors"),
    ("indoors? indoors", "indoors?", "indoors"),
    ("A dog.", "a dog?", "A dog."),
    ("A dog?", "a dog?", None),
    ("A dog? No, a cat.", "a dog?", "No, a cat."),
    ("there is a dog? no", "a dog?", "there is a dog no"),
    (
        "\u4f60\u80fd\u770b\u5230\u4e09\u89d2\u5f62\u5417\uff1f\u662f\u7684",
        "\u4f60\u80fd\u770b\u5230\u4e09\u89d2\u5f62\u5417?",
        "\u662f\u7684",
    ),
    ("WHAT\u2019S the man's cafe\u0301?! red", "what's the man\u2019s caf\u00e9?", "red"),
]


@pytest.mark.parametrize(("raw", "question", "answer"), ECHOES)
def test_an_echo_of_the_question_is_no_answer(raw: str, question: str, answer: str | None) -> None:
    assert clean_answer(raw, question) == answer


LEADS = ["", "Question: ", "You asked: ", '"', "- ", "> ", "Q: ", "As for the question: ", "<think>hm</think>"]
BETWEEN = [" ", "\n", "\n\n", '" ', " - ", "\nAnswer: ", " The answer is: "]


@given(
    st.sampled_from([TRIANGLE, "how many boats are there?", "what's the man's hat made of?", "is it red, or blue?"]),
    st.sampled_from([str, str.upper, str.title, lambda text: text.replace(" ", "  "), lambda text: f"*{text}*"]),
    st.sampled_from(LEADS),
    st.sampled_from(BETWEEN),
    st.sampled_from(["two", "Yes, one.", "no, it is a 3D sign", "I can see it", "-5", "the answer"]),
    st.integers(1, 3),
)
def test_what_follows_an_echo_is_the_answer(
    question: str, case: Callable[[str], str], lead: str, between: str, answer: str, times: int
) -> None:
    echo = lead + " ".join([case(question)] * times)
    assert clean_answer(f"{echo}{between}{answer}", question) == answer
    assert clean_answer(echo, question) is None


@given(
    st.sampled_from(["Based on the image, ", "There are two boats.\n", "Sure! ", "I see:\n", "", "Look:\n\n", "So, "]),
    st.sampled_from(
        ["the answer is", "Answer", "**Final answer**", "My answer would be", "Response", "Here is the answer"]
    ),
    st.sampled_from([": ", ":\n", "\uff1a", ": **", " : ", ': "']),
    st.sampled_from(["two boats", "yes, 3", "The sign reads 'System: off'", "a man (old)", "6'2 or so"]),
    st.sampled_from(["", "\nQuestion: is it new?\nAnswer: no", "\nUser: thanks", "<|im_end|>", "\n\nI counted them."]),
)
def test_a_label_leads_to_the_answer(lead: str, label: str, colon: str, answer: str, rest: str) -> None:
    closing = colon.strip(":\uff1a \n")
    assert clean_answer(f"{lead}{label}{colon}{answer}{closing}{rest}") == answer


@pytest.mark.parametrize(("name", "spared"), [("VisDial_v1.0_queries_val", 0.999), ("ChatGPT_BLIP2", 0.999)])
def test_real_questions_need_no_cleaning_and_get_none(shared: Path, name: str, spared: float) -> None:
    dialogs = read_dialogs(shared / "data" / "chatir" / "dialogues" / f"{name}.json")
    questions = [turn.question for dialog in dialogs for turn in dialog.rounds]
    assert sum(clean_question(question) == question for question in questions) >= spared * len(questions)


def test_what_people_answer_needs_no_cleaning_and_gets_none(shared: Path) -> None:
    dialogs = read_dialogs(shared / "data" / "chatir" / "dialogues" / "VisDial_v1.0_queries_val.json")
    answers = [turn.answer for dialog in dialogs for turn in dialog.rounds]
    assert sum(clean_answer(answer) == answer for answer in answers) >= 0.999 * len(answers)


@pytest.mark.slow
def test_no_label_of_the_released_files_is_left(shared: Path) -> None:
    released = shared / "data" / "chatir" / "dialogues" / "FLAN_ALPACA_XXL_BLIP2.json"
    rounds = [turn for dialog in read_dialogs(released) for turn in dialog.rounds]
    leaking = [turn for turn in rounds if LEAKED_LABEL.search(str(turn))]
    assert len(leaking) == 13_547
    for turn in leaking:
        for text in (clean_question(turn.question), clean_question(str(turn)), clean_answer(turn.answer)):
            assert text is None or not LEAKED_LABEL.search(text)
    asked = [clean_question(turn.question) for turn in rounds if "?" in turn.question]
    assert None not in asked
    assert not [question for question in asked if question and question.count("?") > 1]


def test_a_long_reply_is_kept_whole() -> None:
    clause = "is the car that stands by the house red, "
    assert clean_question(clause * 1000 + "or not?") == clause * 1000 + "or not?"
    assert clean_answer("a red car and " * 1000 + "a dog") == "a red car and " * 1000 + "a dog"


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "unit", ["the ", "1. ", "(", '"', "_", "?", "question ", "question: ", "a' ", "- ", "x_", "\n"]
)
def test_a_model_caught_in_a_loop_costs_no_time(unit: str) -> None:
    for raw in (unit * 4000, "x" + unit * 4000 + "x", "is it " + unit * 4000 + "?"):
        clean_question(raw)
        clean_answer(raw)


def seconds(clean: Callable[[str], object], text: str) -> float:
    """The shortest of three runs, without garbage collection."""
    return min(timeit.repeat(lambda: clean(text), number=1, repeat=3))


UNITS = [
    "(1) ",
    '"1. ',
    "<think>",
    "[THINK]",
    "(",
    '"',
    "the answer is: ",
    "can you see a triangle? ",
    "Sure! ",
    "a' ",
    "<",
]
UNITS += [
    "((thinking)) ",
    "_",
    "x_",
    "a**",
    "\"'",
    "\u00ab",
    '? "',
    "Q: ",
    "question ",
    "you asked: ",
    "a\n",
    "`a: ",
    "1. ",
    "```\n",
    '{"answer": ',
    "So, ",
    "<b>",
    "# Answer\n",
    "A: ",
]


@pytest.mark.parametrize("unit", UNITS)
def test_the_time_grows_with_the_length_of_the_reply(unit: str) -> None:
    for clean in (clean_question, lambda text: clean_answer(text, TRIANGLE)):
        for before, after in (("", ""), ("is it ", "?")):
            short, long = (seconds(clean, before + unit * (size // len(unit)) + after) for size in (3_000, 30_000))
            assert long < 30 * short + 0.05


def test_a_repeated_question_is_left_as_it_is() -> None:
    assert clean_question("Is the car red? Is the car red?") == "Is the car red? Is the car red?"


PIECES = """
Is is what the car red yes 2 man's it's dogs' \u4eba sure Sure! short of
question Question: question answer Answer: answer: Q: A: q a caption: user user: human assistant assistant:
. .. ? ?? ! : ; , - -- * ** _ __ # > ( ) [ ] " ' ` \u201c \u201d \u2018 \u2019 \u00ab \u00bb \u300c \u300d
\u201e \uff1f \uff1a \u061f
1. 1) (a) a) \u2022 <|im_end|> <|im_start|> <| |> </s> <s> <unk> <think> </think> [INST] \u200b \u00ad \x00 e\u0301
"""
pieces = st.sampled_from(PIECES.split())
replies = st.text() | st.lists(pieces | st.sampled_from(["\n", " ", "\t", "\u2028"]), max_size=14).map("".join)
spaced_replies = replies | st.lists(pieces, max_size=14).map(" ".join)


def unquoted(text: str) -> str:
    """A text without what stands between quotation marks."""
    return "".join(" " if inside else c for c, inside in zip(text, quoted(text), strict=False))


@given(spaced_replies)
@example("\"Q:'")
@example("answer?: yes")
@example("<*|x|>?")
def test_a_clean_text_is_one_printable_line_that_stays_as_it_is(raw: str) -> None:
    for clean in (clean_question, clean_answer):
        text = clean(raw)
        if text is not None:
            assert text.isprintable()
            assert text == " ".join(text.split())
            assert any(c.isalnum() for c in text)
            assert not LEAKED_LABEL.search(unquoted(text))
            assert clean(text) == text


@given(spaced_replies, st.lists(pieces, min_size=1, max_size=5).map(" ".join))
def test_an_answer_stays_as_it_is_for_the_same_question(raw: str, question: str) -> None:
    for reply in (raw, f"{question}? {raw}", f"{raw} {question}"):
        text = clean_answer(reply, question)
        assume(text)
        assert clean_answer(text or "", question) == text


@given(spaced_replies)
def test_a_question_ends_in_its_mark_and_an_answer_holds_none(raw: str) -> None:
    assert (clean_question(raw) or "?").endswith("?")
    assert "?" not in (clean_answer(raw) or "")


@given(spaced_replies, spaced_replies)
def test_a_clean_round_is_read_back_from_a_file_as_it_was(asked: str, answered: str) -> None:
    question, answer = clean_question(asked) or RED, clean_answer(answered) or "yes"
    read = Round.parse(f"{question} {answer}")
    assert (read.question, read.answer) == (question, answer)
    assert str(Round(question, answer)) == f"{question} {answer}"
