"""The normalised form that repeats are counted by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatir.measures.questions import normalised_question, repeats


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Is it RED?", "is it  red"),
        ("what's this?", "whats this"),
        ("What color is it? Answer: blue", "what color is it?"),
        ("Is it calm?\nanswer : calm", "is it calm"),
        ("\uff29s it \ufb01ne?", "is it fine?"),
        ("Straße?", "STRASSE"),
    ],
)
def test_questions_that_are_the_same(one: str, other: str) -> None:
    assert normalised_question(one) == normalised_question(other)


def test_a_label_that_starts_the_text_does_not_cut_it_to_nothing() -> None:
    assert normalised_question("Question: is it red?") == "question is it red"
    assert normalised_question("question: is it? Question: is it?") == "question is it"


def test_questions_that_differ() -> None:
    assert normalised_question("is it red?") != normalised_question("is it blue?")
    assert repeats(["is it red?", "Is it red", "is it blue?", "IS IT BLUE?", "is it green?"]) == 2


@given(st.text())
def test_normalising_twice_changes_nothing_but_labels(text: str) -> None:
    once = normalised_question(text)
    assert once == " ".join(once.split())
    assert normalised_question(once) == once or "answer" in once or "question" in once
