"""The language of scenes: every question is understood in all its wordings and has one true answer."""

from __future__ import annotations

from itertools import islice

import pytest

from chatir.datasets.scenes.language import KINDS, QUESTIONS, Question, described, understood, wordings
from chatir.datasets.scenes.world import COLORS, PLACES, SHAPES, SIZES, Scene, Thing, scenes
from chatir.measures.questions import normalised_question

SCENE = Scene("navy", (Thing("star", "red", "small", "top left"), Thing("heart", "blue", "big", "center")))
ALL_WORDINGS = [(q, text) for q in QUESTIONS for unseen in (False, True) for text in wordings(q, unseen=unseen)]


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("How many shapes are there?", "two"),
        ("what color is the background?", "navy"),
        ("is there a star?", "yes"),
        ("is there a circle?", "no"),
        ("is anything blue?", "yes"),
        ("is anything green?", "no"),
        ("what color is the star?", "red"),
        ("what color is the circle?", "there is no circle"),
        ("is the heart big or small?", "big"),
        ("is the circle big or small?", "there is no circle"),
        ("where is the heart?", "center"),
        ("where is the circle?", "there is no circle"),
        ("what is in the top left?", "a small red star"),
        ("what is in the bottom right?", "nothing"),
    ],
)
def test_a_question_has_its_true_answer(asked: str, answer: str) -> None:
    question = understood(asked)
    assert question is not None
    assert question.answer(SCENE) == answer


def test_there_are_43_questions_and_each_is_understood_in_each_of_its_wordings() -> None:
    assert len(set(QUESTIONS)) == 43
    assert all(understood(text) == question for question, text in ALL_WORDINGS)


def test_no_two_questions_share_a_wording() -> None:
    texts = [normalised_question(text) for _, text in ALL_WORDINGS]
    assert len(set(texts)) == len(texts)


def test_every_kind_has_wordings_for_training_and_others_kept_from_it() -> None:
    assert all(len(kind.wordings) == 4 and len(kind.unseen_wordings) == 2 for kind in KINDS.values())


@pytest.mark.parametrize("text", ["", "is there a dog?", "what color is it?", "is there a star? is there a heart?"])
def test_what_is_not_of_this_world_is_not_understood(text: str) -> None:
    assert understood(text) is None


def test_the_answers_together_give_the_scene_back() -> None:
    """No fact is lost in the language: from all true answers the whole content can be read off."""
    for scene in islice(scenes(7), 200):
        told = {question: question.answer(scene) for question in QUESTIONS}
        things = tuple(
            Thing(shape, told[Question("color", shape)], told[Question("size", shape)], place)
            for place in PLACES
            for shape in SHAPES
            if told[Question("place", shape)] == place
        )
        assert Scene(told[Question("background")], things) == scene
        assert [told[Question("content", thing.place)] for thing in things] == [described(thing) for thing in things]
        assert {color for color in COLORS if told[Question("any color", color)] == "yes"} == {t.color for t in things}
        assert all(thing.size in SIZES for thing in things)
