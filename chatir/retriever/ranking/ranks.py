"""Exact target ranks without sorting: how many images come before the target, counted tile by tile.

A rank is 1 + the number of corpus images before the target, by the float64 score of `similarity.py`, descending; equal
scores are in corpus order. In a tile of approximate scores, those beyond the error band around the target's score are
counted as they stand; the few inside are scored again in float64. Counts of disjoint shards add up, so a corpus may be
counted anywhere, in any order:

    scores = target_scores(queries, vectors_of_the_targets)
    ranks = 1 + sum(counts_before(queries, scores, targets, shard, start) for start, shard in shards)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chatir.errors import InputError
from chatir.models.hardware.gpu_errors import memory_ended
from chatir.models.local.batches import make_room
from chatir.retriever.ranking.blocks import BLOCKS_EACH, blocks, in_threads
from chatir.retriever.ranking.similarity import (
    Array,
    Part,
    Vectors,
    error_bound,
    full_precision,
    gathered,
    pair_scores,
    part,
    product,
    query_part,
    read,
    rounded_down,
    rounded_up,
    same_dimensions,
    shards,
    tile_type,
)

Numbers = Tensor | NDArray[np.integer] | Sequence[int]
Result = TypeVar("Result")
LANES = 255
PENDING = 2**16
TARGETS = 2**13
SMALLEST = 2**18
"""Pairs of a tile that is not halved any more."""


def target_ranks(queries: Array, corpus: Vectors, targets: Numbers, *, tile: tuple[int, int] | None = None) -> Tensor:
    """Exact 1-based ranks, int64 [n], on the queries' device (CPU for numpy).

    queries: [n, d]; corpus: [N, d], or several such arrays that follow each other; tensors or numpy arrays, memory maps
    too, of float16, bfloat16, float32 or float64. Blocks of the corpus are read, and brought to the device, one after
    the other; on a CPU each thread has one. targets: n positions in the corpus. tile: queries and images multiplied at
    once, by each thread; it never changes a rank. If a device has not enough memory, smaller tiles are taken, and in
    the end the CPU. Raises InputError for what does not fit together and for vectors with a NaN or an infinite number.
    """
    arrays = shards(corpus)
    asked = query_part(queries)
    places = _numbers(targets, len(asked.vectors), sum(map(len, arrays)))
    same_dimensions(asked.vectors, arrays[0])

    def counts(queries: Part, height: int, width: int) -> Tensor:
        scores = _scores_of_targets(queries, arrays, places)
        return _counts(queries, scores, torch.from_numpy(places).to(scores.device), arrays, 0, height, width)

    return 1 + in_tiles(counts, asked, arrays, tile).to(asked.vectors.device)


def target_scores(queries: Array, target_vectors: Array) -> Tensor:
    """float64 scores [n] of queries [n, d] and the vectors [n, d] of their targets, on the queries' device.

    Raises InputError for what does not fit together and for vectors with a NaN or an infinite number.
    """
    asked = query_part(queries)
    (array,) = shards([target_vectors], "target vectors")
    same_dimensions(asked.vectors, array)
    if len(array) != len(asked.vectors):
        raise InputError(f"{len(asked.vectors)} queries have {len(array)} target vectors")
    vectors = part(read(array, slice(None), asked.vectors.device), "target vector").vectors
    pairs = torch.arange(len(vectors), device=vectors.device)
    return pair_scores(asked.vectors, pairs, vectors, pairs)


def counts_before(
    queries: Array, scores: Tensor, targets: Numbers, shard: Vectors, start: int, *, tile: tuple[int, int] | None = None
) -> Tensor:
    """How many images of a shard come before each target: int64 [n], on the queries' device.

    queries: [n, d]. scores: of the targets [n], from `target_scores`; targets: their positions in the whole corpus [n];
    shard: the images from position `start` on [m, d]. tile: as for `target_ranks`. The target itself, wherever it is,
    is never before itself. Raises InputError for what does not fit together and for vectors with a NaN or an infinite
    number.
    """
    arrays = shards(shard, "shard")
    asked = query_part(queries)
    places = _numbers(targets, len(asked.vectors))
    same_dimensions(asked.vectors, arrays[0])
    known = torch.as_tensor(scores, dtype=torch.float64, device=asked.vectors.device)
    if known.shape != places.shape or not bool(known.isfinite().all()):
        raise InputError(f"scores {list(known.shape)} are not one finite number for each of {len(places)} targets")
    if start < 0:
        raise InputError(f"a shard starts at position {start}: it must be 0 or more")

    def counts(queries: Part, height: int, width: int) -> Tensor:
        device = queries.vectors.device
        return _counts(queries, known.to(device), torch.from_numpy(places).to(device), arrays, start, height, width)

    return in_tiles(counts, asked, arrays, tile).to(asked.vectors.device)


def _numbers(targets: Numbers, count: int, images: int | None = None) -> NDArray[np.int64]:
    """Positions of targets, int64 [n]. Raises InputError."""
    if images == 0:
        raise InputError("the corpus has no images")
    places = targets.numpy(force=True) if isinstance(targets, Tensor) else np.asarray(targets)
    if places.shape != (count,) or (count and places.dtype.kind not in "iu"):
        raise InputError(
            f"targets {places.dtype} {list(places.shape)} are not one position for each of {count} queries"
        )
    wrong = np.flatnonzero((places < 0) | (places >= (2**62 if images is None else images)))
    if len(wrong):
        known = "" if images is None else f" in a corpus of {images} images"
        raise InputError(f"the target of query {wrong[0]} is {places[wrong[0]]}: no position{known}")
    return places.astype(np.int64)


def _scores_of_targets(queries: Part, arrays: Sequence[Array], places: NDArray[np.int64]) -> Tensor:
    """float64 scores [n] of the targets, which lie in several arrays, some thousands at a time."""
    device = queries.vectors.device
    scores = torch.zeros(len(places), dtype=torch.float64, device=device)
    for start in range(0, len(places), TARGETS):
        wanted, which = np.unique(places[start : start + TARGETS], return_inverse=True)
        columns = torch.from_numpy(which).to(device)
        rows = torch.arange(start, start + len(columns), device=device)
        scores[rows] = pair_scores(queries.vectors, rows, gathered(arrays, wanted, device), columns)
    return scores


def tiling(queries: int, images: int, device: torch.device, tile: tuple[int, int] | None) -> tuple[int, int]:
    """How many queries and images are multiplied at once: on a CPU, in tiles of even size that stay in its cache.

    tile: taken instead, if it is given. Raises InputError for one without queries or images.
    """
    if tile is not None:
        if min(tile) < 1:
            raise InputError(f"tile is {tile}: it must be numbers of queries and images")
        return tile
    if device.type != "cpu":
        return max(1, min(8192, queries)), max(1, min(16256, images))
    groups = max(1, -(-queries // 2048))
    even = images // (1016 * BLOCKS_EACH * torch.get_num_threads())
    return max(1, -(-queries // groups)), 1016 * max(1, min(16, even, 2048 // max(1, queries)))


def in_tiles(
    work: Callable[[Part, int, int], Result], queries: Part, arrays: Sequence[Array], tile: tuple[int, int] | None
) -> Result:
    """The result of work, which multiplies queries and images in tiles of [height, width].

    Where the memory ends, it is begun again with half the tile, down to a small one, and then on the CPU.
    """
    device, images = queries.vectors.device, sum(map(len, arrays))
    height, width = tiling(len(queries.vectors), images, device, tile)
    while True:
        smallest = height * width <= SMALLEST
        try:
            with full_precision(device, queries.vectors, *arrays):
                return work(queries, height, width)
        except (MemoryError, RuntimeError) as error:
            if not memory_ended(error) or (smallest and device.type == "cpu"):
                raise
        make_room()  # out of the except clause, whose traceback holds the tensors
        if smallest:
            device = torch.device("cpu")
            queries = replace(queries, vectors=queries.vectors.cpu(), lengths=queries.lengths.cpu())
            height, width = tiling(len(queries.vectors), images, device, None)
        elif height > width:
            height = -(-height // 2)
        else:
            width = -(-width // 2)


def _counts(
    queries: Part,
    scores: Tensor,
    places: Tensor,
    arrays: Sequence[Array],
    start: int,
    height: int,
    width: int,
) -> Tensor:
    """How many images of the arrays come before each target, int64 [n]."""

    def count(taken: Iterator[Part]) -> Tensor:
        counts = torch.zeros_like(places)
        sieve = Sieve(height, width, places.device)
        for images in taken:
            dtype = tile_type(queries, images)
            band = error_bound(queries, images.longest, dtype)
            low, high = rounded_down(scores - band, dtype), rounded_up(scores + band, dtype)
            undecided = []
            for first in range(0, len(places), height):
                some = slice(first, first + height)
                counted, rows, columns = sieve(queries.vectors[some], images.vectors, low[some], high[some])
                counts[some] += counted
                undecided.append((rows + first, columns))
                if first + height >= len(places) or sum(len(rows) for rows, _ in undecided) >= PENDING:
                    _settle(queries, images, undecided, scores, places, counts)
                    undecided = []
        return counts

    return torch.stack(in_threads(blocks(arrays, width, start), places.device, count)).sum(0)


def _settle(
    queries: Part, images: Part, pairs: list[tuple[Tensor, Tensor]], scores: Tensor, places: Tensor, counts: Tensor
) -> None:
    """Add the pairs (query, image of this part) whose image comes before the target by its float64 score."""
    rows, columns = (torch.cat(numbers) for numbers in zip(*pairs, strict=True))
    exact = pair_scores(queries.vectors, rows, images.vectors, columns)
    tied_before = (exact == scores[rows]) & (columns + images.start < places[rows])
    counts.index_add_(0, rows, ((exact > scores[rows]) | tied_before).long())


class Sieve:
    """Sorts a tile's approximate scores into those above an error band, those below, and the few inside.

    Its buffers hold tiles of up to [height, width]. Flags are counted as bytes of 64-bit words, eight counters in one
    addition: at most 255 words are added up, so that no byte runs over.
    """

    def __init__(self, height: int, width: int, device: torch.device) -> None:
        self._groups = -(-width // (8 * LANES))
        self._words = -(-width // (8 * self._groups))
        self._scores = torch.empty(height * width, dtype=torch.float64, device=device)
        flags = torch.zeros(2, height, self._groups * self._words * 8, dtype=torch.bool, device=device)
        self._above, self._not_below = flags

    def __call__(self, queries: Tensor, images: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """How many scores are above `high` for each query; the rows and columns of scores from `low` to `high`."""
        tile = product(queries, images, self._scores.view(low.dtype))
        above, not_below = self._above[: len(tile)], self._not_below[: len(tile)]
        for flags in (above, not_below):
            flags[:, len(images) :] = False
        torch.gt(tile, high[:, None], out=above[:, : len(images)])
        torch.ge(tile, low[:, None], out=not_below[:, : len(images)])
        words = above.view(torch.int64)
        lanes = words.view(len(tile), self._groups, self._words).sum(2)
        return lanes.view(torch.uint8).sum(1), *_set(words ^ not_below.view(torch.int64))


def _set(words: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns of the flags that are set, of flags kept eight in a word."""
    rows, places = words.nonzero(as_tuple=True)
    which, byte = words[rows, places].view(torch.uint8).view(len(rows), 8).nonzero(as_tuple=True)
    return rows[which], places[which] * 8 + byte
