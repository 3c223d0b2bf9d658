"""The budget: what replies under way may cost is set aside before they are asked for, so that no limit is passed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

from chatir.dialog import Dialog, Reply
from chatir.errors import InputError, StoppedRunError
from chatir.prompts.estimates import TYPICAL
from chatir.run.rows import Role
from chatir.simulate.loop.play import Play
from chatir.simulate.player import Player


def bound_of(player: Player, play: Play, seed: int) -> float:
    """US dollars that a player's reply to a play may cost at most; seed: of the run.

    An observer without `max_cost` is free. Raises InputError where another player lacks it, or its price is unknown.
    """
    if player.max_cost is None:
        if play.stage == "observe":
            return 0.0
        asked = "dialog, question" if play.stage == "answer" else "dialog"
        raise InputError(
            f"{player.shown}: has no max_cost(), so a cost limit cannot be enforced; give it a method "
            f"max_cost({asked}) that returns the US dollars that a reply can cost at most (0.0 if it is free)"
        )
    bound = player.max_cost(*play.asked_of(player, seed))
    if bound is None:
        raise InputError(unpriced(player.shown))
    if not 0 <= bound < math.inf:
        raise InputError(f"{player.shown}: its max_cost() returned {bound!r}, but must return US dollars, 0.0 or more")
    return float(bound)


def check_prices(players: Mapping[Role, Player], target: Dialog, seed: int) -> None:
    """Raise InputError, before anything is asked, for a player that cannot tell what its replies may cost at most."""
    for role, player in players.items():
        bound_of(player, Play(0, target, role, 0, question=TYPICAL.question if role == "answer" else None), seed)


def unpriced(name: str) -> str:
    """The line that refuses a player whose price is unknown in a run with a cost limit."""
    return (
        f"{name}: its price is unknown, so a cost limit cannot be enforced; "
        "set the options price_in and price_out, in US dollars per million tokens"
    )


class Budget:
    """Holds plays back while what is spent and set aside leaves too little for them.

    What a reply may cost at most, its player tells (`max_cost`); that much also counts as spent if the reply does not
    tell its cost. What costs nothing always passes, and without a limit everything does.
    """

    def __init__(
        self,
        limit: float | None,
        players: Mapping[Role, Player],
        seed: int,
        spent: Callable[[], float],
        untold: float = 0.0,
    ) -> None:
        """limit: US dollars, None for none. seed: of the run.

        players: by the stage that they serve. spent: US dollars so far. untold: US dollars that the replies of earlier
        sessions which do not tell their cost can have cost at most.
        """
        self._limit = limit
        self._players = players
        self._seed = seed
        self._told = spent
        self._reserved = 0.0
        self.untold = untold
        """US dollars that replies which do not tell their cost can have cost at most."""
        self._under_way = 0
        self._held: list[tuple[list[Play], list[float]]] = []

    def _spent(self) -> float:
        return self._told() + self.untold

    def affordable(self, batches: Iterable[list[Play]]) -> Iterator[list[Play]]:
        """The batches that may be asked now, those held back before among them.

        Raises StoppedRunError when nothing is under way and nothing more can be afforded, and InputError for a
        player whose price nobody knows.
        """
        if self._limit is None:
            yield from batches
            return
        waiting = [*self._held, *[(batch, self._bounds(batch)) for batch in batches]]
        self._held = []
        for batch, bounds in waiting:
            if any(bounds) and self._spent() + self._reserved + sum(bounds) > self._limit:
                self._held.append((batch, bounds))
                continue
            for play, bound in zip(batch, bounds, strict=True):
                play.reserved = bound
            self._reserved += sum(bounds)
            self._under_way += len(batch)
            yield batch
        if self._held and not self._under_way:
            needed = min(sum(bounds) for _, bounds in self._held)
            raise StoppedRunError(
                f"the next reply may cost up to ${needed:.2g}, which could pass the cost limit of ${self._limit:g}, "
                f"of which ${self._spent():.4f} are spent",
                "the same command with a higher --cost-limit goes on",
            )

    def _bounds(self, batch: list[Play]) -> list[float]:
        return [bound_of(self._players[play.stage], play, self._seed) for play in batch]

    def settle(self, plays: Iterable[Play]) -> None:
        """Replies have come back, or failed: what was set aside for them is free again."""
        if self._limit is None:
            return
        for play in plays:
            self._reserved -= play.reserved
            self._under_way -= 1
        if not self._under_way:
            self._reserved = 0.0  # or rounding would add up

    def lost(self, plays: Iterable[Play]) -> None:
        """A call has come to nothing and told nothing: each reply counts with the most that it can have cost."""
        for play in plays:
            self.untold += play.reserved
            play.reserved = 0.0

    def note(self, play: Play, reply: Reply) -> None:
        """A reply has come: where it does not tell its cost, it counts with the most that it can have cost."""
        if reply.cost is None:
            self.lost([play])
        play.reserved = 0.0
