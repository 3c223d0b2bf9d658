"""Rounds, dialogs and replies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatir import Dialog, Reply, Round
from chatir.dialog import text_problem


@pytest.mark.parametrize(
    ("text", "question", "answer"),
    [
        ("is it sunny? yes", "is it sunny?", "yes"),
        ("What is it like? Is it sunny or cloudy? sunny", "What is it like? Is it sunny or cloudy?", "sunny"),
        ("Is it calm?\nAnswer: calm a man surfing", "Is it calm?", "\nAnswer: calm a man surfing"),
        ("no mark at all", "no mark at all", ""),
        ("is it red?", "is it red?", ""),
        ("is it red? ", "is it red?", " "),
        ("is it red?  two  spaces ", "is it red?", "  two  spaces "),
        ("", "", ""),
        ("? yes", "?", "yes"),
    ],
)
def test_a_question_ends_at_the_last_mark_and_the_rest_is_the_answer(text: str, question: str, answer: str) -> None:
    turn = Round.parse(text)
    assert (turn.question, turn.answer, turn.text) == (question, answer, text)


@given(st.text(alphabet=st.sampled_from("ab? \n\té.")) | st.text())
def test_parsing_loses_nothing(text: str) -> None:
    assert str(Round.parse(text)) == text


@given(st.text(alphabet=st.sampled_from("ab? \n")))
def test_replaying_question_and_answer_gives_the_text_back_wherever_a_space_parts_them(text: str) -> None:
    turn = Round.parse(text)
    glued = turn.answer[:1].strip() and not text.startswith(f"{turn.question} ")
    if not glued:
        assert str(Round(turn.question, turn.answer)) == text


def test_a_dialog_is_known_by_its_image_unless_it_has_an_id() -> None:
    assert Dialog("a.jpg", "a cat").id == "a.jpg"
    assert Dialog("a.jpg", "a cat", id="a.jpg#1").id == "a.jpg#1"
    assert Dialog("a.jpg", "a cat", [Round("is it?", "yes")]).rounds == (Round("is it?", "yes"),)  # type: ignore[arg-type]


def test_a_reply_is_a_text_or_a_failure_and_never_both_or_neither() -> None:
    assert Reply("is it red?").failure is None
    failed = Reply.failed("refused", "will not say", raw="I cannot")
    assert failed.text is None
    assert failed.failure is not None
    assert failed.failure.kind == "refused"
    with pytest.raises(ValueError, match="either a text or a failure"):
        Reply(None)


def test_ordinary_texts_have_no_problem() -> None:
    assert text_problem("ünï çode\nand more") is None
    assert text_problem("\ud800") == "holds a lone surrogate, which is no character"
