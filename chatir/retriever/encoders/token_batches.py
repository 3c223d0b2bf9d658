"""Batches of like length under a budget; smaller ones while memory is short."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from chatir.errors import InputError
from chatir.models.local.batches import AtOnce

if TYPE_CHECKING:
    from torch import Tensor


class BudgetedBatches:
    """Batches whose size times their longest member is at most a budget, one member at least.

    The budget is less while memory is short.
    """

    def __init__(self, budget: int, unit: str, model: str, progress: Callable[[str], None]) -> None:
        """unit: what the budget counts, as the user reads it; model: what runs out of memory; progress: is told so."""
        self._unit = unit
        self._model = model
        self._at_once = AtOnce(budget, unit, model, progress)

    def run(self, costs: Sequence[int], encode: Callable[[list[int]], Tensor]) -> Tensor:
        """The vectors [n, d] of n >= 1 things in order, of which `encode` takes places.

        Raises InputError where there is not enough memory for a single one, and StoppedRunError for an error after
        which every later call of this process would fail too.
        """
        import torch

        order = sorted(range(len(costs)), key=lambda place: costs[place], reverse=True)
        waiting, done = order, list[torch.Tensor]()
        while waiting:
            longest = costs[waiting[0]]
            batch = waiting[: max(1, self._at_once.limit // longest)]
            vectors = self._at_once.attempt(len(batch) * longest, partial(encode, batch), alone=len(batch) == 1)
            if vectors is not None:
                done.append(vectors)
                waiting = waiting[len(batch) :]
            elif len(batch) == 1:
                told = f"out of memory with {longest} {self._unit} at once: use another device or precision"
                raise InputError(f"{self._model}: {told}")
        sorted_vectors = torch.cat(done)
        vectors = torch.empty_like(sorted_vectors)
        vectors[order] = sorted_vectors
        return vectors
