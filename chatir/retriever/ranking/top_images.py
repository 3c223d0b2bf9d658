"""The best images of each query, in the order that ranks are counted in, without sorting the corpus."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from chatir.errors import InputError
from chatir.retriever.ranking.blocks import parts
from chatir.retriever.ranking.ranks import in_tiles
from chatir.retriever.ranking.similarity import (
    Array,
    Part,
    Vectors,
    error_bound,
    pair_scores,
    product,
    query_part,
    rounded_down,
    same_dimensions,
    shards,
    tile_type,
)

WAITING = 2**16
"""Candidates are sorted in when so many wait, at least."""


def top_k(queries: Array, corpus: Vectors, k: int, *, tile: tuple[int, int] | None = None) -> tuple[Tensor, Tensor]:
    """float64 scores and int64 positions, both [n, min(k, N)], best first, equal scores in corpus order.

    The image at column c is the one whose rank by `target_ranks` is c + 1. What queries [n, d], corpus [N, d] and tile
    may be is said there. Raises InputError as it does, and for a k below 1 and an empty corpus.
    """
    arrays = shards(corpus)
    asked = query_part(queries)
    same_dimensions(asked.vectors, arrays[0])
    k = min(kept(k), sum(map(len, arrays)))
    if not k:
        raise InputError("the corpus has no images")
    table = in_tiles(lambda queries, height, width: _best(queries, arrays, k, height, width), asked, arrays, tile)
    scores, positions = (numbers.to(asked.vectors.device) for numbers in table)
    return scores, positions


def _best(queries: Part, arrays: Sequence[Array], k: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Scores and positions of the k best images, both [n, k], in tiles of [height, width]."""
    count, device = len(queries.vectors), queries.vectors.device
    best = Best(count, k, device)
    scratch = torch.empty(height * width, dtype=torch.float64, device=device)
    for images in parts(arrays, width, device):
        dtype = tile_type(queries, images)
        band = error_bound(queries, images.longest, dtype)
        for first in range(0, count, height):
            some = slice(first, first + height)
            approximate = product(queries.vectors[some], images.vectors, scratch.view(dtype))
            rows, columns = _candidates(approximate, best.least[some], band[some], k)
            scores = pair_scores(queries.vectors, rows + first, images.vectors, columns)
            best.offer(rows + first, scores, columns + images.start)
    return best.table()


def kept(k: int) -> int:
    """k, if it is a number of images to show. Raises InputError for one below 1."""
    if k < 1:
        raise InputError(f"k is {k}: it must be 1 or more")
    return k


def _candidates(approximate: Tensor, least: Tensor, band: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Rows and columns of a tile's scores that may be among the k best: no float64 score below `least` is."""
    dtype = approximate.dtype
    chosen = approximate >= rounded_down(least - band, dtype)[:, None]
    crowded = (chosen.sum(1) > 2 * k).nonzero()[:, 0]
    if len(crowded):
        some = approximate[crowded]
        # k images of this tile have float64 scores of at least the k-th approximate one less the band.
        here = rounded_down(some.topk(k).values[:, -1].double(), dtype).double() - band[crowded]
        chosen[crowded] = some >= rounded_down(torch.maximum(least[crowded], here) - band[crowded], dtype)[:, None]
    rows, columns = chosen.nonzero(as_tuple=True)
    return rows, columns


class Best:
    """The k best images of n queries among those offered so far.

    Images are offered in corpus order. `least` [n] is the k-th best float64 score that is known; -inf before.
    """

    def __init__(self, count: int, k: int, device: torch.device) -> None:
        self._count, self._k = count, k
        self.least = torch.full((count,), -torch.inf, dtype=torch.float64, device=device)
        numbers = torch.zeros(0, dtype=torch.int64, device=device)
        self._held = (numbers, numbers.double(), numbers)
        self._offered: list[tuple[Tensor, Tensor, Tensor]] = []
        self._waiting = 0

    def offer(self, rows: Tensor, scores: Tensor, positions: Tensor) -> None:
        """Take candidates, all [p]: scores and positions of images for queries `rows`.

        They are sorted in when as many wait as are held.
        """
        self._offered.append((rows, scores, positions))
        self._waiting += len(rows)
        if self._waiting >= max(self._count * self._k, WAITING):
            self._sort_in()

    def table(self) -> tuple[Tensor, Tensor]:
        """Scores and positions [n, k], best first. Every query must have been offered k images."""
        self._sort_in()
        _, scores, positions = self._held
        return scores.view(self._count, self._k), positions.view(self._count, self._k)

    def _sort_in(self) -> None:
        rows, scores, positions = (torch.cat(numbers) for numbers in zip(self._held, *self._offered, strict=True))
        self._offered, self._waiting = [], 0
        # Stable sorts: what is held, and so earlier in the corpus, stays before what is offered with an equal score.
        order = scores.argsort(descending=True, stable=True)
        order = order[rows[order].argsort(stable=True)]
        counts = torch.bincount(rows, minlength=self._count)
        first = counts.cumsum(0) - counts
        place = torch.arange(len(rows), device=rows.device) - first[rows[order]]
        chosen = order[place < self._k]
        self._held = (rows[chosen], scores[chosen], positions[chosen])
        full = counts >= self._k
        self.least[full] = self._held[1][place[place < self._k] == self._k - 1]
