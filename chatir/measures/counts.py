"""What is counted in each dialog: repeated questions, distinct tokens, words; and the means of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chatir.dialog import Dialog
from chatir.measures.defects import DEFECTS, round_defects
from chatir.measures.questions import normalised_question, repeated
from chatir.measures.retrieval import Figures

REPETITION = (
    "repeats_per_dialog",
    "exact_repeats_per_dialog",
    "dialogs_with_repeats",
    "unique_questions_per_dialog",
    "onset_round",
)
"""Figures of every run's repetition, by their names in JSON."""
LANGUAGE = (
    "unique_question_tokens_per_dialog",
    "unique_answer_tokens_per_dialog",
    "words_per_question",
    "words_per_answer",
)
"""Figures of every run's language, by their names in JSON."""
QUERIES = "most rounds hold no question: this is probably a file of rewritten queries, one whole text a round"
"""What to say of such a file."""
NO_MARKS = "most rounds hold no '?', so that their questions cannot be told from their answers"
"""What to say of such a file that a run of chatir wrote."""

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class DialogCounts:
    """Figures of each dialog, all [dialogs].

    - `rounds`: how many it has
    - `repeats`: rounds minus distinct questions, over normalised questions; `exact_repeats`: over the questions as they
      stand
    - `onset`: round of the first repeat, from 1, nan where there is none
    - `unique_question_tokens`, `unique_answer_tokens`: distinct white-space tokens of normalised texts
    - `question_words`, `answer_words`: words of the texts as they stand
    - `near_duplicates`: questions that are close to an earlier one, None unless they were looked for
    """

    rounds: Counts
    repeats: Counts
    exact_repeats: Counts
    onset: Figures
    unique_question_tokens: Counts
    unique_answer_tokens: Counts
    question_words: Counts
    answer_words: Counts
    near_duplicates: Counts | None = None


def dialog_counts(dialogs: Sequence[Dialog], near_duplicates: Counts | None = None) -> DialogCounts:
    """Count in every dialog. near_duplicates: what was counted of these [dialogs], None if nothing was."""
    rows = np.array([_counts(dialog) for dialog in dialogs], dtype=np.float64).reshape(-1, 8)
    onset = rows[:, 3]
    rounds, repeats, exact, _, *others = np.nan_to_num(rows).astype(np.int64).T
    return DialogCounts(rounds, repeats, exact, onset, others[0], others[1], others[2], others[3], near_duplicates)


def _counts(dialog: Dialog) -> tuple[float, ...]:
    asked = [one.question for one in dialog.rounds]
    answered = [one.answer for one in dialog.rounds]
    again = [number > 0 for number in repeated(asked)]
    return (
        len(asked),
        sum(again),
        len(asked) - len(set(asked)),
        again.index(True) + 1 if any(again) else np.nan,
        _distinct_tokens(asked),
        _distinct_tokens(answered),
        sum(len(text.split()) for text in asked),
        sum(len(text.split()) for text in answered),
    )


def _distinct_tokens(texts: Iterable[str]) -> int:
    return len({token for text in texts for token in normalised_question(text).split()})


def most_lack_questions(defects: Mapping[str, int], rounds: int) -> bool:
    """Whether more than half of so many rounds hold no question: such a file is no dialogs, but probably queries."""
    return 2 * defects["missing_question_mark"] > rounds


def repetition(counts: DialogCounts) -> dict[str, float | None]:
    """How a run repeats itself: means over dialogs; `dialogs_with_repeats` is a share, 0 to 1.

    `onset_round` is the mean round of the first repeat over the dialogs that have one, None where none has.
    """
    repeated = counts.repeats > 0

    def mean(figures: Counts | NDArray[np.bool_]) -> float:
        return float(np.mean(figures))

    told: dict[str, float | None] = {
        "repeats_per_dialog": mean(counts.repeats),
        "exact_repeats_per_dialog": mean(counts.exact_repeats),
        "dialogs_with_repeats": mean(repeated),
        "unique_questions_per_dialog": mean(counts.rounds - counts.repeats),
        "onset_round": float(counts.onset[repeated].mean()) if repeated.any() else None,
    }
    if counts.near_duplicates is not None:
        told["near_duplicates_per_dialog"] = mean(counts.near_duplicates)
    return told


def language(counts: DialogCounts) -> dict[str, float | None]:
    """What a run's texts are like: distinct tokens, means over dialogs; words, means over rounds (None without one)."""

    def mean(figures: Counts) -> float:
        return float(np.mean(figures))

    rounds = mean(counts.rounds)
    return {
        "unique_question_tokens_per_dialog": mean(counts.unique_question_tokens),
        "unique_answer_tokens_per_dialog": mean(counts.unique_answer_tokens),
        "words_per_question": mean(counts.question_words) / rounds if rounds else None,
        "words_per_answer": mean(counts.answer_words) / rounds if rounds else None,
    }


def defects(dialogs: Iterable[Dialog]) -> dict[str, int]:
    """Rounds that have each kind of defect, zeros too."""
    counts = dict.fromkeys(DEFECTS, 0)
    for dialog in dialogs:
        for one in dialog.rounds:
            for kind in round_defects(str(one)):
                counts[kind] += 1
    return counts
