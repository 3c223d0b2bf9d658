"""Questioners: they see the dialog so far, never the image, and ask."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

from chatir.dialog import Dialog, Reply

__all__ = ["Questioner", "Reply"]


class Questioner(Protocol):
    """Asks the next question of each dialog.

    `ask` may be a plain method (a local model: it runs in the player's own thread) or an `async` one (an
    API). Optional attributes, with their defaults: `name` (the class's), `batch_size` (1; dialogs a
    call), `concurrency` (1; calls in flight; a plain method is then called from as many threads),
    `config` ({}; plain data that fixes the replies), `uses_said` (False), `needs_images` (False),
    `ready()` (before a run; raises InputError for want of a key, say), `check(target, rounds)` (raises
    InputError for a target that it cannot play), `max_cost(dialog)` (US dollars that the next reply can
    cost at most; None when nobody knows), `estimate(dialog, rounds)` (a
    `chatir.models.estimates.Estimate` of the rounds to come) and `close()` (at the end of a run; the
    player must still be usable in another).
    """

    def ask(self, dialogs: Sequence[Dialog]) -> Sequence[Reply] | Awaitable[Sequence[Reply]]:
        """Give one reply a dialog, in order: a question of one line, or `Reply.failed(kind, message)`.

        Raising a ChatirError stops the run; any other exception fails the dialogs of this call.
        """
        ...
