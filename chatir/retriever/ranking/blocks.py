"""Blocks of corpus images, shared out among threads that take one after the other.

torch lets its threads share each single product, and they wait for each other at its end: where another program keeps a
core busy, thousands of small products wait for the slowest thread, each anew. Threads that take whole blocks wait once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar

import torch

from chatir.retriever.ranking.similarity import Array, Part, part, read

Result = TypeVar("Result")
BLOCKS_EACH = 8
"""Blocks that each thread should have, so that none works long while the others are done."""


@dataclass(frozen=True, eq=False)
class Block:
    """The images of an array [n, d] at some rows. start: the number of the first in the whole corpus."""

    array: Array
    rows: slice
    start: int

    def read(self, device: torch.device) -> Part:
        """The vectors on a device. Raises InputError as `part` does."""
        return part(read(self.array, self.rows, device), "corpus image", self.start)


def blocks(arrays: Sequence[Array], size: int, start: int = 0) -> Iterator[Block]:
    """Blocks of at most `size` images, in corpus order. start: the number of the first image of the arrays [n, d]."""
    for array in arrays:
        for first in range(0, len(array), size):
            yield Block(array, slice(first, first + size), start + first)
        start += len(array)


def parts(arrays: Sequence[Array], size: int, device: torch.device) -> Iterator[Part]:
    """Corpus images of arrays [n, d] in blocks of at most `size`, one in memory at a time, each on `device`.

    Raises InputError as `part` does.
    """
    return (block.read(device) for block in blocks(arrays, size))


def in_threads(some: Iterator[Block], device: torch.device, work: Callable[[Iterator[Part]], Result]) -> list[Result]:
    """What `work` makes of the blocks: called once in each thread, with an iterator that all of them share.

    On a CPU as many threads as torch would take, each on one core; otherwise the calling thread. Raises what `work`
    raised, of several the one of the earliest block.
    """
    if device.type != "cpu" or torch.get_num_threads() == 1:
        return [work(block.read(device) for block in some)]
    threads, lock = torch.get_num_threads(), Lock()
    numbered = enumerate(some)
    failed: list[tuple[int, BaseException]] = []

    def share() -> Result | None:
        number = 0

        def taken() -> Iterator[Part]:
            nonlocal number
            while True:
                with lock:  # a block that was taken is worked on: of several errors the earliest is to be known
                    number, block = (number, None) if failed else next(numbered, (number, None))
                if block is None:
                    return
                yield block.read(device)

        try:
            return work(taken())
        except BaseException as error:
            failed.append((number, error))
            return None

    with _one_core_each(), ThreadPoolExecutor(threads, thread_name_prefix="chatir-ranks") as pool:
        futures = [pool.submit(share) for _ in range(threads)]
        try:
            wait(futures)
        except BaseException as error:  # Ctrl-C: no further block is taken
            failed.append((-1, error))
            raise
    if failed:
        raise min(failed, key=lambda each: each[0])[1]
    return [result for future in futures if (result := future.result()) is not None]


@contextmanager
def _one_core_each() -> Iterator[None]:
    """Let a product take one thread. The setting is the process's, so nobody else may be in here.

    Threads that compute with torch already keep theirs; those that begin wait in `take_all_threads`.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
