"""Answerers: they see the image, and answer one question about it."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

from chatir.dialog import Dialog, Reply

__all__ = ["Answerer", "Reply"]


class Answerer(Protocol):
    """Answers a question about each dialog's image; optional attributes as `chatir.questioners.Questioner`."""

    def answer(
        self, dialogs: Sequence[Dialog], questions: Sequence[str]
    ) -> Sequence[Reply] | Awaitable[Sequence[Reply]]:
        """Give one reply a question, in order: an answer of one line, or `Reply.failed(kind, message)`.

        Raising a ChatirError stops the run; any other exception fails the dialogs of this call.
        """
        ...
