"""Questioners: they see the dialog so far, never the image, and ask."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

from chatir.dialog import Dialog, Reply

__all__ = ["Questioner", "Reply"]


class Questioner(Protocol):
    """Asks the next question of each dialog.

    `ask` may be a plain method (a local model: it runs in the player's own thread) or an `async` one (an API). A
    player may have these attributes too:

    - `name`: what it is called in files (default: its class's name)
    - `batch_size`: dialogs a call, at most (1)
    - `concurrency`: calls in flight, at most (1); a plain method is then called from as many threads
    - `config`: plain data that fixes the replies (`{}`); a run goes on only with the same
    - `uses_said`: whether it is shown what people said, `Dialog.said` (False)
    - `replays`: whether it only asks what people asked, or only answers what people were asked (False); an answerer
      that replays needs a questioner that does, or that declares `uses_said`
    - `needs_images`: whether it looks at the images (False)
    - `image_folder`: where it looks, None if it was given no folder; a run is refused that means another one
    - `ready()`: called before a run; raises InputError for want of a key, say
    - `check(target, rounds)`: raises InputError for a target that it cannot play for so many rounds
    - `max_cost(dialog)`: US dollars that the next reply can cost at most, 0.0 if it is free; a run with a cost limit
      is refused where a player has none, or it returns None (unknown)
    - `estimate(dialog, rounds)`: a `chatir.prompts.estimates.Estimate` of the rounds that the dialog still lacks
    - `adapted`, `adapt(changes)`: options that it had to change while it played, by name, as plain data; `config` holds
      them. A run that goes on calls `adapt` with what its earlier sessions recorded
    - `provenance`: plain data for the record, as the model that replied; it may grow while it plays
    - `close()`: called at the end of a run, awaited if it is async; the player must still be usable in another
    """

    def ask(self, dialogs: Sequence[Dialog]) -> Sequence[Reply] | Awaitable[Sequence[Reply]]:
        """Give one reply a dialog, in order: a question of one line, or `Reply.failed(kind, message)`.

        Raising a ChatirError stops the run. Any other exception fails the dialog; of a call with several, each is tried
        once more on its own first (not with `deterministic`, whose batches are fixed).
        """
        ...
