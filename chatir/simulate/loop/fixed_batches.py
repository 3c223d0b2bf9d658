"""Fixed batches, for runs that must not depend on the order in which replies come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import lcm

from chatir.run.rows import Role
from chatir.simulate.loop.play import Play


class FixedBatches:
    """Batches that depend on nothing but the targets' order: consecutive targets, at the same point.

    A group of `sizes[stage]` consecutive targets goes through a stage together. Dialogs that ended leave
    their group; one whose reply was unusable is asked again before the others of its group go on.
    """

    def __init__(self, sizes: dict[Role, int]) -> None:
        self.block = lcm(*sizes.values())
        """Targets that have to be in flight together."""
        self._sizes = sizes
        self._alive: dict[int, Play] = {}
        self._waiting: set[int] = set()

    def ready(self, arrived: Iterable[Play], ended: Iterable[Play]) -> Iterator[list[Play]]:
        """The batches that are complete now that plays have `arrived` before their stage and others `ended`."""
        arrived, ended = list(arrived), list(ended)
        for play in arrived:
            self._alive[play.position] = play
            self._waiting.add(play.position)
        for play in ended:
            self._alive.pop(play.position, None)
        touched = [play.position for play in (*arrived, *ended)]
        for stage, size in self._sizes.items():
            for group in sorted({position // size for position in touched}):
                members = range(group * size, (group + 1) * size)
                plays = [self._alive[position] for position in members if position in self._alive]
                step = min((play.step for play in plays), default=-1)
                batch = [play for play in plays if play.step == step]
                if batch and batch[0].stage == stage and self._waiting.issuperset(play.position for play in batch):
                    self._waiting.difference_update(play.position for play in batch)
                    yield batch
