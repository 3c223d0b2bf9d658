"""Scores of queries and images: exact in float64, and in tiles whose error is bounded.

The float64 score of a pair is defined as its products in float64 (exact for inputs of 32 bits and less), added one
after the other in the order of the dimensions. It depends on the two vectors alone: not on tiles, threads or device.

A tile is a plain matrix product, in any order of addition. Its error is bounded by gamma_d |q| |c| for products and
sums (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1), plus what flushed denormals lose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chatir.errors import InputError
from chatir.models.hardware.fp32 import fp32_products

Array: TypeAlias = Tensor | NDArray[np.floating]
Vectors: TypeAlias = Array | Sequence[Array]
"""Vectors [n, d], or several arrays of them that follow each other (shards)."""

UNITS = {torch.float16: 2**-21, torch.bfloat16: 2**-21, torch.float32: 2**-24, torch.float64: 2**-53}
"""Unit roundoff of the sums behind a tile of each type. Halves are summed in float32, which tensor cores truncate."""
LONGEST = 1e150
OVERFLOWING = 1e37
MOST_DIMENSIONS = 2**20
REDUCTIONS = ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction")


@dataclass(frozen=True)
class Part:
    """Checked vectors [n, d] on one device.

    lengths: upper bounds of the length of each [n]; longest: of all. start: the number of the first.
    """

    vectors: Tensor
    lengths: Tensor
    longest: float
    start: int = 0


def shards(corpus: Vectors, name: str = "corpus") -> list[Array]:
    """The arrays of a corpus, all [n, d] with one d. Raises InputError."""
    arrays = [corpus] if isinstance(corpus, Tensor | np.ndarray) else list(corpus)
    if not arrays:
        raise InputError(f"{name}: no vectors")
    for array in arrays:
        if not isinstance(array, Tensor | np.ndarray):
            raise InputError(f"{name}: a {type(array).__name__}, but vectors are arrays or tensors [n, d]")
        if array.ndim != 2 or array.shape[1] == 0:
            raise InputError(f"{name}: shape {list(array.shape)}, but vectors are [n, d], one a row")
        if array.shape[1] != arrays[0].shape[1]:
            raise InputError(f"{name}: {arrays[0].shape[1]} dimensions in one part and {array.shape[1]} in another")
        kind = array.dtype.name if isinstance(array, np.ndarray) else str(array.dtype).removeprefix("torch.")
        if kind not in ("float16", "bfloat16", "float32", "float64"):
            raise InputError(f"{name}: {kind}, but vectors are float16, bfloat16, float32 or float64")
    return arrays


def same_dimensions(queries: Array, corpus: Array) -> None:
    """Raises InputError for queries [n, d] and images [m, e] of different spaces."""
    if queries.shape[1] != corpus.shape[1]:
        raise InputError(f"queries have {queries.shape[1]} dimensions and images {corpus.shape[1]}")


def read(array: Array, rows: slice | NDArray[np.int64], device: torch.device) -> Tensor:
    """Some rows of an array [n, d] as a tensor [m, d] on `device`; of a memory map only these are read."""
    if isinstance(array, Tensor):
        chosen = rows if isinstance(rows, slice) else torch.from_numpy(rows).to(array.device)
        return array.detach()[chosen].to(device)
    some = array[rows]
    if not (some.flags.carray and some.dtype.isnative):
        some = np.array(some, dtype=some.dtype.newbyteorder("="))
    return torch.from_numpy(some).to(device)


def gathered(arrays: Sequence[Array], positions: NDArray[np.int64], device: torch.device) -> Tensor:
    """The vectors [m, d] at ascending positions [m] of several arrays that follow each other; only these are read."""
    starts = np.cumsum([0, *map(len, arrays)])
    edges = np.searchsorted(positions, starts).tolist()
    found = zip(arrays, starts.tolist(), edges[:-1], edges[1:], strict=False)
    return torch.cat(
        [read(array, positions[low:high] - start, device) for array, start, low, high in found if low < high]
    )


def part(vectors: Tensor, name: str, start: int = 0) -> Part:
    """Vectors [n, d] with their lengths.

    start: the number of the first. Raises InputError for one with a NaN or an infinite number, or that is too long,
    as the `name` with its number.
    """
    lengths = torch.linalg.vector_norm(vectors, dim=1, dtype=torch.float64)
    longest = float(lengths.max()) if len(lengths) else 0.0
    if not longest <= LONGEST:
        row = int((~(lengths <= LONGEST)).nonzero()[0])
        if bool(vectors[row].isfinite().all()):
            raise InputError(f"{name} {start + row} is longer than {LONGEST:g}: too long for scores in float64")
        raise InputError(f"{name} {start + row} has a NaN or infinite number in its vector: encode it again")
    rounding, squares_lost = 1 + vectors.shape[1] * 2**-52, 2**-500
    return Part(vectors, lengths * rounding + squares_lost, longest * rounding + squares_lost, start)


def query_part(queries: Array) -> Part:
    """Queries [n, d] as a tensor, on their device. Raises InputError for what are no vectors."""
    (array,) = shards([queries], "queries")
    device = array.device if isinstance(array, Tensor) else torch.device("cpu")
    return part(read(array, slice(None), device), "query")


def pair_scores(queries: Tensor, rows: Tensor, images: Tensor, columns: Tensor) -> Tensor:
    """float64 scores [p] of the pairs `(queries[rows[i]], images[columns[i]])`, in chunks of bounded memory."""
    size = max(1, (2**19 if queries.device.type == "cpu" else 2**26) // queries.shape[1])
    scores = torch.zeros(len(rows), dtype=torch.float64, device=queries.device)
    for start in range(0, len(rows), size):
        some = slice(start, start + size)
        products = queries[rows[some]].double()
        products *= images[columns[some]]
        total = scores[some]
        for product_of_dimension in products.T.contiguous():
            total += product_of_dimension
    return scores


def tile_type(queries: Part, images: Part) -> torch.dtype:
    """What a tile is computed in: as stored, on the CPU in float32 at least, in float64 where float32 may overflow.

    Halves are multiplied as halves on accelerators only: on a CPU without such instructions that is slower.
    """
    stored = torch.promote_types(queries.vectors.dtype, images.vectors.dtype)
    if queries.longest * images.longest > OVERFLOWING or queries.vectors.shape[1] > MOST_DIMENSIONS:
        return torch.float64
    return torch.promote_types(stored, torch.float32) if queries.vectors.device.type == "cpu" else stored


def error_bound(queries: Part, longest: float, dtype: torch.dtype) -> Tensor:
    """Bounds [n] of how far the sums behind a tile of `dtype` are from the float64 scores, for each query.

    longest: no image of the tile is longer. What rounding a sum to a half adds is not in the bound: it cannot carry a
    sum across a threshold that was itself rounded outward to a half.
    """
    d = queries.vectors.shape[1]
    relative = _gamma(d, UNITS[dtype]) + _gamma(d, 2**-53)
    # Denormals may be flushed to zero in the vectors, the products, the sums and the result.
    tiny = torch.finfo(torch.float64 if dtype == torch.float64 else torch.float32).tiny
    flushed = 2 * d * tiny * (3 + queries.lengths + longest) + torch.finfo(dtype).tiny
    return relative * queries.lengths * longest + flushed


def _gamma(d: int, unit: float) -> float:
    """Relative error of d products and their sum, with room for the rounding of the bound itself."""
    return (d + 4) * unit / (1 - (d + 4) * unit)


def rounded_down(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Numbers [n] of `dtype` at or below float64 values [n], which may be infinite."""
    return -rounded_up(-values, dtype)


def rounded_up(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Numbers [n] of `dtype` at or above float64 values [n], which may be infinite."""
    limits = torch.finfo(dtype)
    in_range = values.clamp(min=limits.min)
    return (in_range + (in_range.abs() * limits.eps + limits.tiny * limits.eps)).to(dtype)


@contextmanager
def full_precision(device: torch.device, *arrays: Array) -> Iterator[None]:
    """Products of these arrays [n, d] are as their types say, whatever the process allows elsewhere.

    That may be TF32, sums in bf16 or fp16, autocast.

    Such settings are the whole process's: those that are safe already are not touched, since other threads may be
    computing; the others are put back at the end. One thread at a time is inside.
    """
    with fp32_products(device.type), torch.no_grad(), torch.autocast(device.type, enabled=False), ExitStack() as stack:
        if device.type != "cpu" and any(str(array.dtype).endswith("float16") for array in arrays):
            settings: Any = torch.backends.cuda.matmul
            for name in (*REDUCTIONS, "allow_fp16_accumulation"):
                before = getattr(settings, name)
                if hasattr(settings, f"{name}_split_k"):
                    before = (before, getattr(settings, f"{name}_split_k"))
                if before is not False:
                    stack.callback(setattr, settings, name, before)
                    setattr(settings, name, False)
        yield


def product(queries: Tensor, images: Tensor, out: Tensor) -> Tensor:
    """The tile [n, m] of queries [n, d] and images [m, d], in the type of `out`, whose memory it takes."""
    tile = out[: len(queries) * len(images)].view(len(queries), len(images))
    return torch.mm(queries.to(out.dtype), images.to(out.dtype).T, out=tile)
