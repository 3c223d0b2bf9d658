"""`human`: replays what people answered, to the very questions they asked; needs targets that hold both."""

from __future__ import annotations

from collections.abc import Sequence

from chatir.dialog import Dialog, Reply
from chatir.errors import InputError
from chatir.plugins import Free, plugins


class Human(Free):
    """The answer that people gave to the very question, unaltered; it cannot answer any other."""

    uses_said = True
    replays = True
    batch_size = 1024

    def check(self, target: Dialog, rounds: int) -> None:
        """Raise InputError for a target about which people said nothing."""
        if not target.said:
            raise InputError(
                f"answerer 'human' has nothing to replay about {target.id!r}: people said nothing about it there"
            )

    def answer(self, dialogs: Sequence[Dialog], questions: Sequence[str]) -> list[Reply]:
        """Replay; raises InputError, which stops the run, for a question that nobody asked about that image.

        Of a question that was asked twice, the answer of the round at hand goes first, then the earliest.
        """
        return [Reply(self._replayed(dialog, question)) for dialog, question in zip(dialogs, questions, strict=True)]

    def _replayed(self, dialog: Dialog, question: str) -> str:
        # The same question may have been asked twice, and answered in two ways: the round at hand goes first.
        place = len(dialog.rounds)
        for turn in (*dialog.said[place : place + 1], *dialog.said):
            if turn.question == question:
                return turn.answer
        others = ", ".join(plugin.name for plugin in plugins("answerers") if plugin.name != "human")
        raise InputError(
            f"answerer 'human' only replays, and nobody asked {question!r} about {dialog.id!r}; "
            f"answerers for free questions: {others}"
        )
