"""Batches for a model at hand: as many at once as its memory holds."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import TypeVar

from chatir.dialog import Failure
from chatir.errors import StoppedRunError
from chatir.models.completion import Completion
from chatir.models.hardware.fp32 import take_all_threads
from chatir.models.hardware.gpu_errors import first_line, memory_ended, stopped_by_gpu_failure
from chatir.models.local.loading import ONE_AT_A_TIME

Result = TypeVar("Result")
AHEAD = 4
"""Batches' worth of dialogs that are taken at once, so that sorting them by length leaves little padding."""
PATIENCE = 16
"""Batches that fit before twice as much is tried; that many times two after each time that it did not last."""


ALONE = 8
"""Single requests without enough memory, one after the other, that mean that there will be none for the next one."""


class AtOnce:
    """How much is put to a model at once: less while memory is short, and more again as soon as it is not.

    Work that runs out of memory is tried once more; if it does so again, half as much becomes the limit. After a
    number of successes twice as much is tried. If that fails, the limit goes back and the next attempt waits for twice
    as many successes.
    """

    def __init__(self, most: int, unit: str, model: str, progress: Callable[[str], None]) -> None:
        """most: where the limit starts and what it never exceeds; unit: what it counts, for the user to read.

        model: what runs out of memory, by name. progress: called with a line for each lasting change.
        """
        self.limit = most
        self.error = ""
        """The first line of the last error that said that memory was exhausted."""
        self._most = most
        self._unit = unit
        self._model = model
        self._progress = progress
        self._proved = most
        self._patience = PATIENCE
        self._fitted = 0
        self._grown = False

    def attempt(self, amount: int, work: Callable[[], Result], *, alone: bool) -> Result | None:
        """The result of work that puts `amount` to the model at once, None where there is not enough memory for it.

        alone: whether it cannot be less; else the limit is lower after None. Raises StoppedRunError for an error after
        which every later call of this process would fail too.
        """
        on_trial = amount > self._proved and not alone
        for _ in range(1 if on_trial else 2):
            if (result := self._fitting(work)) is not None:
                self._grow(amount)
                return result
        if on_trial:
            self._shrink(self._proved)
        elif not alone:
            self._shrink(amount // 2)
            self._progress(f"{self._model}: out of memory; {self._now} for now")
        return None

    def _fitting(self, work: Callable[[], Result]) -> Result | None:
        """The result of work, None where it ran out of memory, which is free again."""
        with stopped_by_gpu_failure(self._model):
            try:
                return work()
            except (MemoryError, RuntimeError) as error:
                if not memory_ended(error):
                    raise
                self.error = first_line(error)
            make_room()  # out of the except clause, whose traceback holds the tensors
        return None

    def _grow(self, amount: int) -> None:
        if min(amount, self.limit) > self._proved:
            self._proved = self.limit
            self._progress(f"{self._model}: {self._now} again")
        self._fitted += 1
        if self._fitted >= self._patience and self.limit < self._most:
            self.limit = min(2 * self.limit, self._most)
            self._fitted, self._grown = 0, True

    def _shrink(self, limit: int) -> None:
        if self._grown:
            self._patience *= 2
        self.limit = self._proved = limit
        self._fitted, self._grown = 0, False

    @property
    def _now(self) -> str:
        return f"{self.limit} {self._unit}".strip() + " at once"


class Batches:
    """Batches of at most `size`, smaller ones while memory is short."""

    def __init__(self, size: int, model: str, progress: Callable[[str], None]) -> None:
        self._model = model
        self._at_once = AtOnce(size, "", model, progress)
        self._completed = False
        self._failed = 0

    @property
    def size(self) -> int:
        """The largest batch for now."""
        return self._at_once.limit

    def run(
        self, places: list[int], complete: Callable[[list[int]], list[Completion]]
    ) -> Iterator[tuple[int, Completion]]:
        """The completion of each place, in batches that follow the order given.

        Raises StoppedRunError for a model that has never completed anything and lacks the memory for a single place,
        for one that lacks it several times in a row, and for an error after which the GPU is of no use to this process.
        """
        take_all_threads()
        while places:
            batch = places[: self.size]
            completions = self._attempted(batch, complete)
            if completions is None:
                if len(batch) > 1:
                    continue
                self._failed += 1
                hopeless = not self._completed or self._failed >= ALONE
                if hopeless and (len(places) == 1 or self._attempted(places[-1:], complete) is None):
                    raise self._stopped()
                completions = [Completion(None, Failure("out_of_memory", "not even one at a time fits"))]
            yield from zip(batch, completions, strict=True)
            places = places[len(batch) :]

    def _attempted(
        self, batch: list[int], complete: Callable[[list[int]], list[Completion]]
    ) -> list[Completion] | None:
        completions = self._at_once.attempt(len(batch), lambda: complete(batch), alone=len(batch) == 1)
        if any(completion.text is not None for completion in completions or []):
            self._completed, self._failed = True, 0
        return completions

    def _stopped(self) -> StoppedRunError:
        remedy = "end other programs on the GPU, or use another device, a lower precision or a smaller model"
        return StoppedRunError(
            f"{self._model}: out of memory even with one at once ({self._at_once.error}); {remedy}",
            "once there is enough memory, the same command goes on; another precision or model is another run",
        )


def make_room() -> None:
    """Give back what is not in use any more, once no model is being loaded, which takes memory for a while."""
    with ONE_AT_A_TIME:
        free_memory()


def free_memory() -> None:
    """Give back what is not in use any more, a GPU's memory too."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
