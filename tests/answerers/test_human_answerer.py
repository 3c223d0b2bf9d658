"""`human` answers by replay."""

from __future__ import annotations

import pytest
from players import said

from chatir import Dialog
from chatir.answerers.human import Human
from chatir.errors import InputError

TARGET = Dialog("a.jpg", "a cat", said=said("is it black? no", "is it small?  yes ", "is it black? well, yes"))


def test_it_replays_the_answer_to_the_letter() -> None:
    asked = [Dialog("a.jpg", "a cat", TARGET.said[:n], TARGET.said) for n in range(3)]
    replies = Human().answer(asked, [turn.question for turn in TARGET.said])
    assert [reply.text for reply in replies] == ["no", "  yes ", "well, yes"], "each round has its own answer"


def test_a_question_that_people_asked_in_another_round_is_answered() -> None:
    assert Human().answer([TARGET], ["is it small?"])[0].text == "  yes "


def test_it_refuses_what_nobody_asked_and_names_who_can_answer() -> None:
    with pytest.raises(
        InputError, match=r"nobody asked 'is it tame\?' about 'a\.jpg'; .* free questions: .*nearest-human"
    ):
        Human().answer([TARGET], ["is it tame?"])
