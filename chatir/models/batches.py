"""Batches for a model at hand: as many at once as its memory holds."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

from chatir.dialog import Failure
from chatir.models.completion import Completion

AHEAD = 4
"""Batches' worth of dialogs that are taken at once, so that sorting them by length leaves little padding."""


class Batches:
    """Batches of at most `size`; where the memory ends, it is tried with half as many, and stays so."""

    def __init__(self, size: int, model: str, progress: Callable[[str], None]) -> None:
        self.size = size
        self._model = model
        self._progress = progress

    def run(
        self, places: list[int], complete: Callable[[list[int]], list[Completion]]
    ) -> Iterator[tuple[int, Completion]]:
        """The completion of each place, in batches that follow the order given."""
        while places:
            batch = places[: self.size]
            completions: list[Completion] | None = None
            try:
                completions = complete(batch)
            except (MemoryError, RuntimeError) as error:
                if not memory_ended(error):
                    raise
            if completions is None:
                free_memory()  # out of the except clause, whose traceback holds the tensors
                if len(batch) > 1:
                    self.size = len(batch) // 2
                    self._progress(f"{self._model}: out of memory; {self.size} at once from now on")
                    continue
                completions = [Completion(None, Failure("out_of_memory", "not even one at a time fits"))]
            yield from zip(batch, completions, strict=True)
            places = places[len(batch) :]


def memory_ended(error: BaseException) -> bool:
    """Whether an error says that the memory, a GPU's or the machine's, did not suffice."""
    import torch

    signs = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory", "alloc_failed")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(sign in str(error).lower() for sign in signs)


def free_memory() -> None:
    """Give back what is not in use any more, a GPU's memory too."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
