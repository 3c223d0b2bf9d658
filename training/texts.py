"""The texts that the models are given, the same in training and in measuring."""

from __future__ import annotations

from chatir.dialog import Dialog
from chatir.prompts import load_prompt

ANSWER_PROMPT = "Question: {} Short answer:"
"""What BLIP-2's authors ask it, in LAVIS's configurations for visual question answering."""

QUESTION_PROMPT = load_prompt("scenes")


def joined(dialog: Dialog, rounds: int) -> str:
    """A caption and its first rounds as one text, joined by ", " as the paper's own evaluation does."""
    return ", ".join([dialog.caption, *map(str, dialog.rounds[:rounds])])
