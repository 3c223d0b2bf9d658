"""A corpus: the images to search in, and their vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chatir.datasets.data_folder import read_corpus
from chatir.errors import InputError
from chatir.storage.image_names import image_key, image_problem

UNIT = 1e-3
"""How far from 1 the length of a unit vector may be."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Corpus:
    """The images to search in, an ordered list of relative paths, and a unit vector of each.

    - `images`: the paths, in the corpus's order, by which equal scores are ranked
    - `shards`: the vectors, float32 arrays [n, d] whose rows follow one another as `images` do; memory-mapped where
      they come from an index
    - `fingerprint`: what the corpus is, in hex, wherever it lies and whoever indexed it (`images_fingerprint`), or,
      where the vectors are all there is, `vectors_fingerprint`
    - `left_out`: images of the list that have no vector, as they are broken
    """

    images: tuple[str, ...]
    shards: tuple[Vectors, ...]
    fingerprint: str
    left_out: tuple[str, ...] = ()

    @classmethod
    def of(cls, images: Sequence[str], vectors: ArrayLike) -> Corpus:
        """A corpus in memory, of unit vectors [n, d] in the images' order; they are kept as float32.

        Raises InputError for vectors that are none, or not as many as images, and for images that no corpus can have.
        """
        names, array = checked_images(images, "the corpus"), np.asarray(vectors)
        if problem := vectors_problem(array, len(names)):
            raise InputError(f"the vectors of the corpus {problem}")
        shards = (np.ascontiguousarray(array, dtype=np.float32),)
        return cls(names, shards, vectors_fingerprint(names, shards))

    def __len__(self) -> int:
        return len(self.images)

    def __contains__(self, image: object) -> bool:
        return isinstance(image, str) and image_key(image) in self._positions

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        return int(self.shards[0].shape[1])

    def position(self, image: str) -> int:
        """Where an image stands in the corpus, from 0, however its path is written. Raises KeyError if it does not."""
        return self._positions[image_key(image)]

    def vectors(self, positions: Sequence[int] | NDArray[np.integer[Any]]) -> Vectors:
        """The vectors [n, d] at some positions, in memory. Raises IndexError for one outside the corpus."""
        wanted = np.asarray(positions, dtype=np.int64).reshape(-1)
        if wanted.size and not 0 <= wanted.min() <= wanted.max() < len(self):
            raise IndexError(f"positions {wanted.min()} to {wanted.max()} of a corpus of {len(self)}")
        found = np.empty((wanted.size, self.dimension), dtype=np.float32)
        starts = np.cumsum([0, *(len(shard) for shard in self.shards)])
        for start, shard in zip(starts, self.shards, strict=False):
            here = (wanted >= start) & (wanted < start + len(shard))
            found[here] = shard[wanted[here] - start]
        return found

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {image_key(image): position for position, image in enumerate(self.images)}


def read_corpus_list(path: Path) -> tuple[str, ...]:
    """The images of a corpus list, in its order. Raises InputError for a list that no corpus can have."""
    return checked_images(read_corpus(path), str(path))


def checked_images(images: Sequence[str], where: str) -> tuple[str, ...]:
    """Image paths, if a corpus can have them: some, relative, below the root, none twice.

    Raises InputError that names `where` they stand.
    """
    if not images:
        raise InputError(f"{where}: names no image")
    places: dict[str, int] = {}
    for place, image in enumerate(images):
        if problem := image_problem(image):
            raise InputError(f"{where}: image {place} {image!r} {problem}")
        if (first := places.setdefault(image_key(image), place)) != place:
            raise InputError(f"{where}: {image!r} is named twice, as image {first} and {place}")
    return tuple(images)


def vectors_problem(vectors: NDArray[Any], count: int, what: str = "images") -> str | None:
    """What makes an array no unit vectors [count, d] of images (or other things), or None."""
    if not np.issubdtype(vectors.dtype, np.floating):
        return f"are {vectors.dtype}, but must be floating-point numbers"
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        return f"have the shape {list(vectors.shape)}, but must be [n, d]"
    if len(vectors) != count:
        return f"are {len(vectors)}, but the {what} are {count}"
    with np.errstate(over="ignore"):
        lengths = np.linalg.norm(vectors.astype(np.float64, copy=False), axis=1)
    if not np.isfinite(lengths).all():
        return f"are not finite in row {int(np.argmin(np.isfinite(lengths)))}"
    if (off := np.abs(lengths - 1)).max(initial=0) > UNIT:
        return f"are no unit vectors: row {int(off.argmax())} has the length {lengths[off.argmax()]:.4g}"
    return None


def images_fingerprint(images: Iterable[tuple[str, str]]) -> str:
    """Hash of the images of a corpus: each path and the sha256, in hex, of its file's bytes, in corpus order."""
    return _sha256("chatir corpus of images 1", (f"{image}\0{sha256}" for image, sha256 in images)).hexdigest()


def vectors_fingerprint(images: Iterable[str], shards: Iterable[Vectors]) -> str:
    """Hash of a corpus known by vectors [n, d] only: its paths in order, then all rows as little-endian float32."""
    total = _sha256("chatir corpus of vectors 1", images)
    for shard in shards:
        total.update(row_bytes(shard))
    return total.hexdigest()


def row_bytes(vectors: Vectors) -> memoryview:
    """The rows of vectors [n, d] one after another, as little-endian float32."""
    return np.ascontiguousarray(vectors, dtype="<f4").data


def _sha256(what: str, lines: Iterable[str]) -> hashlib._Hash:
    """Hash of text lines, of which none holds a line break: no image path does."""
    total = hashlib.sha256(f"{what}\n".encode())
    for line in lines:
        total.update(f"{line}\n".encode())
    return total
