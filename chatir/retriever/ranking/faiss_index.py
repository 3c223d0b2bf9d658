"""Searches in very large corpora through FAISS: approximate in what is found, exact in its scores and order.

For showing results, never for ranks: an index that does not look at all images may miss some.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chatir.errors import InputError
from chatir.retriever.ranking.blocks import parts
from chatir.retriever.ranking.similarity import (
    OVERFLOWING,
    Array,
    Vectors,
    error_bound,
    gathered,
    pair_scores,
    part,
    query_part,
    same_dimensions,
    shards,
)
from chatir.retriever.ranking.top_images import kept
from chatir.storage.files import atomic_writer, os_error

FLAT_UP_TO = 1_000_000
BLOCK = 2**16
MARGIN = 16
PAIRS = 2**16
CPU = torch.device("cpu")


class FaissIndex:
    """An inner-product index of a corpus, which it reads again to score what FAISS finds in float64.

    A flat index looks at all images: its results are those of `top_k`. Any other misses what it does not look at; how
    much, is told by comparing a sample of queries with `top_k`. Needs the extra `faiss`. Made by `build` or `load`, of
    arrays [n, d].
    """

    def __init__(self, index: Any, arrays: list[Array], longest: float) -> None:
        self._index, self._arrays, self._longest = index, arrays, longest

    @classmethod
    def build(cls, corpus: Vectors, factory: str = "auto") -> FaissIndex:
        """Index a corpus [N, d] block by block; what it may be is said at `target_ranks`, but float64 is refused.

        factory: FAISS's index factory string (https://github.com/facebookresearch/faiss/wiki/The-index-factory). `auto`
        is `Flat` up to a million images, else `IVF{4 sqrt(N)},Flat`, trained on evenly spaced images.

        Raises InputError for such a corpus or an empty one, a factory that FAISS does not take, and without FAISS.
        """
        faiss = _faiss()
        arrays = shards(corpus)
        images, dimensions = sum(map(len, arrays)), arrays[0].shape[1]
        if not images:
            raise InputError("the corpus has no images")
        if any("float64" in str(array.dtype) for array in arrays):
            raise InputError("FAISS keeps vectors in float32: a float64 corpus would be rounded, use top_k")
        if factory == "auto":
            factory = "Flat" if images <= FLAT_UP_TO else f"IVF{int(4 * math.sqrt(images))},Flat"
        try:
            index = faiss.index_factory(dimensions, factory, faiss.METRIC_INNER_PRODUCT)
            lists = _lists(index)
            if not index.is_trained:
                sample = gathered(arrays, _spread(images, max(BLOCK, 64 * (lists.nlist if lists else 0))), CPU)
                index.train(sample.float().numpy())
        except RuntimeError as problem:
            raise InputError(f"factory {factory!r} with {images} images: {_reason(problem)}") from None
        longest = 0.0
        for block in parts(arrays, BLOCK, CPU):
            index.add(block.vectors.float().contiguous().numpy())
            longest = max(longest, block.longest)
        return cls(index, arrays, longest)

    def top_k(self, queries: Array, k: int, probes: int | None = None) -> tuple[Tensor, Tensor]:
        """float64 scores and int64 positions [n, min(k, N)] on the CPU, in the order of `top_k`.

        probes: how many lists of an inverted file are looked through, by default the square root of their number.
        Where too few images were found, scores are -inf and positions -1. Raises InputError for queries of float64 or
        another dimension, and for a k or probes below 1.
        """
        asked = query_part(queries)
        same_dimensions(asked.vectors, self._arrays[0])
        vectors = asked.vectors.cpu()
        if vectors.dtype == torch.float64:
            raise InputError("FAISS keeps vectors in float32: float64 queries would be rounded, use top_k")
        if asked.longest * self._longest > OVERFLOWING:
            raise InputError("the vectors are too long for FAISS, which adds up in float32: use top_k")
        if probes is not None and probes < 1:
            raise InputError(f"probes is {probes}: it must be 1 or more")
        if lists := _lists(self._index):
            lists.nprobe = probes or max(1, math.isqrt(lists.nlist))
        k = min(kept(k), self._index.ntotal)
        scores = torch.full((len(vectors), k), -torch.inf, dtype=torch.float64)
        positions = torch.full((len(vectors), k), -1)
        wanted, open_rows = min(k + MARGIN, self._index.ntotal), np.arange(len(vectors))
        while len(open_rows):
            again = []
            size = max(1, PAIRS // wanted)
            for start in range(0, len(open_rows), size):
                rows = open_rows[start : start + size]
                scores[rows], positions[rows], sure = self._search(vectors[rows], k, wanted)
                again.append(rows[~sure])
            open_rows, wanted = np.concatenate(again), min(2 * wanted, self._index.ntotal)
        return scores, positions

    def _search(self, queries: Tensor, k: int, wanted: int) -> tuple[Tensor, Tensor, NDArray[np.bool_]]:
        """The k best of the candidates, and whether a candidate left out could be no better (its error considered)."""
        found, places = self._index.search(queries.float().contiguous().numpy(), wanted)
        rows, columns = np.nonzero(places >= 0)
        images, which = np.unique(places[rows, columns], return_inverse=True)
        exact = np.full(places.shape, -np.inf)
        if len(images):
            vectors = gathered(self._arrays, images, CPU)
            pairs = torch.from_numpy(rows), vectors, torch.from_numpy(which)
            exact[rows, columns] = pair_scores(queries, *pairs).numpy()
        order = np.lexsort((places, -exact))[:, :k]
        scores = np.take_along_axis(exact, order, 1)
        band = error_bound(part(queries, "query"), self._longest, torch.float32).numpy()
        all_seen = (places[:, -1] < 0) | (wanted == self._index.ntotal)
        sure = all_seen | (scores[:, -1] > found[:, -1].astype(np.float64) + band)
        return torch.from_numpy(scores), torch.from_numpy(np.take_along_axis(places, order, 1)), sure

    def save(self, path: Path) -> None:
        """Write the index as one file; the corpus is not in it. Raises InputError when it cannot be written."""
        faiss = _faiss()
        head = {"longest": self._longest, "corpus": _identity(self._arrays)}
        with atomic_writer(path) as file:
            file.write(json.dumps(head).encode() + b"\n")
            faiss.write_index(self._index, faiss.PyCallbackIOWriter(file.write))

    @classmethod
    def load(cls, path: Path, corpus: Vectors) -> FaissIndex:
        """Read an index that `save` wrote, of this corpus [N, d]. Raises InputError for any other file."""
        faiss = _faiss()
        arrays = shards(corpus)
        try:
            with path.open("rb") as file:
                head = json.loads(file.readline(4096))
                if head["corpus"] != _identity(arrays):
                    raise InputError(f"{path}: is the index of another corpus: build it again")
                return cls(faiss.read_index(faiss.PyCallbackIOReader(file.read)), arrays, head["longest"])
        except OSError as problem:
            raise os_error(path, problem) from None
        except (ValueError, KeyError, TypeError, RuntimeError):
            raise InputError(f"{path}: is no index that chatir wrote, or a damaged one: build it again") from None


def _faiss() -> Any:
    """The module. Raises InputError where it is not installed."""
    try:
        import faiss
    except ImportError:
        raise InputError("FAISS is not installed: pip install 'chatir[faiss]'") from None
    return faiss


def _lists(index: Any) -> Any:
    """The inverted file in an index; None if it has none."""
    return _faiss().try_extract_index_ivf(index)


def _reason(problem: RuntimeError) -> str:
    """What FAISS says was wrong, without the place in its source."""
    return str(problem).rsplit(": ", 1)[-1].strip()


def _spread(images: int, count: int) -> NDArray[np.int64]:
    """Up to `count` evenly spaced positions."""
    return np.unique(np.linspace(0, images - 1, min(images, count)).astype(np.int64))


def _identity(arrays: list[Array]) -> list[Any]:
    """Images, dimensions and a hash of 256 evenly spaced vectors."""
    images = sum(map(len, arrays))
    sample = gathered(arrays, _spread(images, 256), CPU) if images else torch.zeros(0)
    return [images, arrays[0].shape[1], hashlib.sha256(sample.double().numpy().tobytes()).hexdigest()]
