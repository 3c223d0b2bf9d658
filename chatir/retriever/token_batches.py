"""Batches of like length under a budget; smaller ones where the memory ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from chatir.errors import InputError
from chatir.models.batches import free_memory, memory_ended

if TYPE_CHECKING:
    from torch import Tensor


class BudgetedBatches:
    """Batches whose size times their longest member is at most a budget, one member at least.

    Where the memory ends, half as many are tried, and the budget stays so.
    """

    def __init__(self, budget: int, unit: str, model: str, progress: Callable[[str], None]) -> None:
        """unit: what the budget counts, as the user reads it; model: what runs out of memory; progress: is told so."""
        self.budget = budget
        self._unit = unit
        self._model = model
        self._progress = progress

    def run(self, costs: Sequence[int], encode: Callable[[list[int]], Tensor]) -> Tensor:
        """The vectors [n, d] of n >= 1 things in order, of which `encode` takes places. Raises InputError."""
        import torch

        order = sorted(range(len(costs)), key=lambda place: costs[place], reverse=True)
        waiting, done = order, list[torch.Tensor]()
        while waiting:
            longest = costs[waiting[0]]
            batch = waiting[: max(1, self.budget // longest)]
            vectors = None
            try:
                vectors = encode(batch)
            except (MemoryError, RuntimeError) as error:
                if not memory_ended(error):
                    raise
            if vectors is None:
                free_memory()  # out of the except clause, whose traceback holds the tensors
                self._shrink(len(batch), longest)
                continue
            done.append(vectors)
            waiting = waiting[len(batch) :]
        sorted_vectors = torch.cat(done)
        vectors = torch.empty_like(sorted_vectors)
        vectors[order] = sorted_vectors
        return vectors

    def _shrink(self, size: int, longest: int) -> None:
        if size == 1:
            told = f"out of memory with {longest} {self._unit} at once: use another device or precision"
            raise InputError(f"{self._model}: {told}")
        self.budget = size // 2 * longest
        self._progress(f"{self._model}: out of memory; {self.budget} {self._unit} at once from now on")
