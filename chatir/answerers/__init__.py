"""Answerers: they see the image, and answer one question about it."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

from chatir.dialog import Dialog, Reply

__all__ = ["Answerer", "Reply"]


class Answerer(Protocol):
    """Answers a question about each dialog's image.

    `answer` may be plain or `async`, and a player may have the attributes that are listed at
    `chatir.questioners.Questioner`; `max_cost(dialog, question)` gets the question too. One that `replays` is refused,
    before anything is asked, with a questioner that asks anything else than people did.
    """

    def answer(
        self, dialogs: Sequence[Dialog], questions: Sequence[str]
    ) -> Sequence[Reply] | Awaitable[Sequence[Reply]]:
        """Give one reply a question, in order: an answer of one line, or `Reply.failed(kind, message)`.

        Raising a ChatirError stops the run. Any other exception fails the dialog; of a call with several, each is tried
        once more on its own first (not with `deterministic`, whose batches are fixed).
        """
        ...
