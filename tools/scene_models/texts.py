"""The texts that the models are given, the same in training and in measuring."""

from __future__ import annotations

from chatir.dialog import Dialog
from chatir.prompts import load_prompt

ANSWER_PROMPT = "Question: {} Short answer:"
"""What BLIP-2's authors ask it, in LAVIS's configurations for visual question answering."""

QUESTION_PROMPT = load_prompt("scenes")


def joined(dialog: Dialog, rounds: int) -> str:
    """A caption and its first rounds as one text, joined by ", " as the paper's own evaluation does."""
    return "".join(joined_pieces(dialog)[: 1 + rounds])


def joined_pieces(dialog: Dialog) -> list[str]:
    """What `joined` joins: the caption, and each round after its comma."""
    return [dialog.caption, *(f", {turn}" for turn in dialog.rounds)]


def prompt_pieces(dialog: Dialog) -> list[str]:
    """What `QUESTION_PROMPT` tells before it asks for a question: the caption, and each round."""
    told = [f"Question: {turn.question} Answer: {turn.answer} " for turn in dialog.rounds]
    return [f"Caption: {dialog.caption} ", *told]
