"""What people say of a scene: a vague caption, then ten distinct questions with true answers."""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice

import pytest

from chatir.datasets.scenes.language import understood
from chatir.datasets.scenes.people import captioned, heard, people_dialog, spoken
from chatir.datasets.scenes.world import scenes
from chatir.dialog import Round
from chatir.measures.questions import repeats

SCENES = list(islice(scenes(8), 500))
DIALOGS = [people_dialog(scene, f"{n}.png", random.Random(n)) for n, scene in enumerate(SCENES)]


def test_every_round_is_a_question_of_this_world_and_its_true_answer() -> None:
    for scene, dialog in zip(SCENES, DIALOGS, strict=True):
        for turn in dialog.rounds:
            question = understood(turn.question)
            assert question is not None, turn
            assert heard(turn.answer) == question.answer(scene)


def test_ten_rounds_ask_ten_different_things() -> None:
    for dialog in DIALOGS:
        assert len({understood(turn.question) for turn in dialog.rounds}) == len(dialog.rounds) == 10
        assert repeats(turn.question for turn in dialog.rounds) == 0


def test_there_is_enough_to_ask_for_more_rounds() -> None:
    dialog = people_dialog(SCENES[0], "x.png", random.Random(0), rounds=20)
    assert len({understood(turn.question) for turn in dialog.rounds}) == 20


def test_people_ask_what_a_thing_is_like_only_once_they_know_of_it() -> None:
    for dialog in DIALOGS:
        told = dialog.caption
        for turn in dialog.rounds:
            question = understood(turn.question)
            assert question is not None
            if question.kind in ("color", "size", "place"):
                assert question.about in told
                assert "there is no" not in turn.answer
            told += f" {turn}"


def test_a_round_reads_back_from_a_dialogue_file_as_it_was() -> None:
    for dialog in DIALOGS:
        for turn in dialog.rounds:
            read = Round.parse(str(turn))
            assert (read.question, read.answer) == (turn.question, turn.answer)


def test_captions_are_vague_many_scenes_share_one() -> None:
    captions = Counter(dialog.caption for dialog in DIALOGS)
    assert len(captions) < 72
    assert captions.most_common(1)[0][1] > 10


def test_a_caption_is_true_and_names_one_thing() -> None:
    for number, scene in enumerate(SCENES):
        caption, named = captioned(scene, random.Random(number))
        assert scene.thing(named)
        assert named in caption
        assert ("light" in caption) == (scene.background in ("beige", "cyan", "white"))


def test_the_same_person_says_the_same_of_the_same_scene() -> None:
    assert people_dialog(SCENES[0], "x.png", random.Random(1)) == people_dialog(SCENES[0], "x.png", random.Random(1))


@pytest.mark.parametrize(
    "answer", ["yes", "no", "two", "red", "big", "top left", "navy", "nothing", "a small red star"]
)
def test_what_is_meant_is_heard_however_it_is_said(answer: str) -> None:
    said = {spoken(answer, random.Random(n)) for n in range(50)}
    assert {heard(text) for text in said} == {answer}
    assert answer in said
