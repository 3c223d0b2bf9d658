"""`human`: asks what people asked about the image, in their order; needs targets that hold it."""

from __future__ import annotations

from collections.abc import Sequence

from chatir.dialog import Dialog, Reply
from chatir.errors import InputError
from chatir.plugins import Free


class Human(Free):
    """The questions of the target's own dialog, unaltered."""

    uses_said = True
    replays = True
    batch_size = 1024

    def check(self, target: Dialog, rounds: int) -> None:
        """Raise InputError for a target about which people asked fewer than `rounds` questions."""
        if len(target.said) < rounds:
            way_out = f"--rounds {len(target.said)}, " if target.said else ""
            raise InputError(
                f"questioner 'human' needs {rounds} questions of people about {target.id!r}, but the targets hold "
                f"{len(target.said)}: use {way_out}other targets, or another questioner"
            )

    def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:
        """The question that people asked in the round at hand, of each dialog."""
        return [Reply(dialog.said[len(dialog.rounds)].question) for dialog in dialogs]
