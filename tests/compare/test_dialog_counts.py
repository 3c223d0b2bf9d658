"""What is counted in dialogs: by hand on small ones, and on the released files by a count written here."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from chatir import Dialog
from chatir.compare import compare
from chatir.datasets.lint import lint
from chatir.dialog import Round
from chatir.measures.counts import defects, dialog_counts, language, repetition


def talk(*rounds: str) -> Dialog:
    return Dialog("a.jpg", "a caption", tuple(map(Round.parse, rounds)))


def test_repeats_are_rounds_minus_distinct_normalised_questions() -> None:
    found = dialog_counts([talk("Is it RED? yes", "is it red? no", "is it  red ?yes", "is it blue? no")])
    assert found.repeats.tolist() == [2]
    assert found.exact_repeats.tolist() == [0]
    assert found.onset.tolist() == [2]


def test_exact_repeats_are_of_the_question_whatever_the_answer() -> None:
    assert dialog_counts([talk("is it red? yes", "is it red? no")]).exact_repeats.tolist() == [1]


def test_a_dialog_without_repeats_has_no_onset() -> None:
    found = dialog_counts([talk("a? b", "c? d")])
    assert np.isnan(found.onset).tolist() == [True]
    assert repetition(found)["onset_round"] is None


def test_the_onset_is_the_mean_over_the_dialogs_that_repeat() -> None:
    found = dialog_counts([talk("a? b", "a? b"), talk("a? b", "c? d", "e? f", "c? d"), talk("a? b")])
    assert repetition(found) == {
        "repeats_per_dialog": pytest.approx(2 / 3),
        "exact_repeats_per_dialog": pytest.approx(2 / 3),
        "dialogs_with_repeats": pytest.approx(2 / 3),
        "unique_questions_per_dialog": pytest.approx(5 / 3),
        "onset_round": 3.0,
    }


def test_tokens_are_distinct_over_a_dialog_and_words_are_all_counted() -> None:
    found = dialog_counts([talk("Is it red? yes, it is", "is it blue? No - it is not")])
    assert found.unique_question_tokens.tolist() == [4]
    assert found.unique_answer_tokens.tolist() == [5]
    assert language(found)["words_per_question"] == 3.0
    assert language(found)["words_per_answer"] == 4.0


def test_dialogs_without_rounds_are_counted_as_such() -> None:
    found = dialog_counts([talk(), talk()])
    assert repetition(found)["repeats_per_dialog"] == 0
    assert language(found)["words_per_question"] is None


def plain(text: str) -> str:
    """A normalised question, otherwise than chatir makes it: what is no punctuation."""
    text = unicodedata.normalize("NFKC", text).lower().strip()
    label = re.search(r"(?<!^)\b(answer|question)\s*:", text)
    return " ".join(re.sub(r"[^\w\s$+<=>^`|~°]|_", "", text[: label.start()] if label else text).split())


def counted(file: Path) -> dict[str, float]:
    """Figures of a released file, from its JSON alone."""
    entries = json.loads(file.read_text())
    repeats = exact = tokens = words = with_repeats = 0
    onsets = []
    counts = dict.fromkeys(("leaked_label", "missing_question_mark", "multiple_question_marks", "empty_answer"), 0)
    for entry in entries:
        questions, answers = [], []
        for text in entry["dialog"][1:]:
            before, mark, after = text.rpartition("?")
            questions.append(before + mark if mark else text)
            answers.append(after if mark else "")
            counts["leaked_label"] += bool(re.search(r"(?i)\b(answer|question)\s*:", text))
            counts["missing_question_mark"] += not mark
            counts["multiple_question_marks"] += text.count("?") > 1
            counts["empty_answer"] += bool(mark) and not after.strip()
        normal = [plain(question) for question in questions]
        repeats += len(normal) - len(set(normal))
        exact += len(questions) - len(set(questions))
        again = [place + 1 for place, question in enumerate(normal) if question in normal[:place]]
        with_repeats += bool(again)
        onsets += again[:1]
        tokens += len(set(" ".join(normal).split()))
        words += sum(len(answer.split()) for answer in answers)
    dialogs = len(entries)
    return counts | {
        "repeats_per_dialog": repeats / dialogs,
        "exact_repeats_per_dialog": exact / dialogs,
        "dialogs_with_repeats": with_repeats / dialogs,
        "onset_round": sum(onsets) / len(onsets) if onsets else None,
        "unique_question_tokens_per_dialog": tokens / dialogs,
        "words_per_answer": words / dialogs / 10,
    }


@pytest.mark.parametrize("name", ["ChatGPT_BLIP2", "FLAN_ALPACA_XXL_BLIP2", "VisDial_v1.0_queries_val"])
def test_the_released_files_count_as_an_independent_count_has_it(shared: Path, name: str) -> None:
    file = shared / "data" / "chatir" / "dialogues" / f"{name}.json"
    (run,) = compare([file]).runs
    told = {**run.repetition, **run.language, **run.defects}
    expected = counted(file)
    assert {figure: told[figure] for figure in expected} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ChatGPT_BLIP2", {"leaked_label": 151, "multiple_question_marks": 140, "empty_answer": 1}),
        ("FLAN_ALPACA_XXL_BLIP2", {"leaked_label": 13547, "missing_question_mark": 55, "empty_answer": 431}),
    ],
)
def test_the_known_defects_of_the_released_files_are_told_by_lint_and_compare(
    shared: Path, name: str, expected: dict[str, int]
) -> None:
    file = shared / "data" / "chatir" / "dialogues" / f"{name}.json"
    (run,) = compare([file]).runs
    for told in (run.defects, lint(file).defects):
        assert {kind: told[kind] for kind in expected} == expected


def test_defects_are_counted_by_round() -> None:
    found = defects([talk("a? b? c", "no mark", "what?"), talk("what? Answer: red", "how? I can't assist with that.")])
    assert found == {
        "missing_question_mark": 1,
        "leaked_label": 1,
        "multiple_question_marks": 1,
        "empty_question": 0,
        "empty_answer": 1,
        "soft_refusal": 1,
    }
