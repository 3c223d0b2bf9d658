"""What can be wrong with the text of one round: leaked labels, missing questions, missing answers, refusals."""

from __future__ import annotations

from chatir.dialog import Round
from chatir.measures.questions import LEAKED_LABEL
from chatir.measures.refusals import is_soft_refusal

DEFECTS = (
    "missing_question_mark",
    "leaked_label",
    "multiple_question_marks",
    "empty_question",
    "empty_answer",
    "soft_refusal",
)
"""The kinds of defect that a round can have, in the order in which they are told."""


def round_defects(text: str) -> list[str]:
    """The defects of one round, as its file holds it, in the order of `DEFECTS`.

    A round without a `?` has no answer to miss: it is `missing_question_mark`, not `empty_answer`.
    """
    one = Round.parse(text)
    marks = text.count("?")
    found = (
        marks == 0,
        LEAKED_LABEL.search(text) is not None,
        marks > 1,
        not one.question.replace("?", "").strip(),
        marks > 0 and not one.answer.strip(),
        is_soft_refusal(one.answer) or is_soft_refusal(one.question),
    )
    return [kind for kind, here in zip(DEFECTS, found, strict=True) if here]
