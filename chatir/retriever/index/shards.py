"""The files of an index: vectors of some thousand images each, and beside them what these images were."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from chatir.retriever.index.corpus import Vectors, row_bytes
from chatir.storage.files import atomic_writer, os_error


class ImageRecord(BaseModel):
    """An image of a shard as it was encoded: its file's size (bytes), time and hash; or why it could not be.

    kind, message: what is wrong with a broken image, as a word and as a line, else None. Vectors that were imported
    have no files: their records hold the name only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    image: str
    size: int | None = None
    mtime_ns: int | None = None
    sha256: str | None = None
    kind: str | None = None
    message: str | None = None

    @property
    def broken(self) -> bool:
        """Whether it has no vector."""
        return self.kind is not None

    @property
    def stamp(self) -> tuple[int | None, int | None]:
        """What tells without reading that a file is as it was."""
        return self.size, self.mtime_ns


class Sidecar(BaseModel):
    """What stands beside a shard's vectors: their dimension and hash, and what images they are of.

    key: of the index that it belongs to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    dimension: int
    vectors_sha256: str
    images: tuple[ImageRecord, ...]


@dataclass(frozen=True)
class Shard:
    """Images in list order, and the vectors [n, d] of those that are not broken."""

    records: tuple[ImageRecord, ...]
    vectors: Vectors


class ShardFile:
    """One shard of an index on disk: `NAME.npy`, which any reader of numpy's files opens, and `NAME.json`."""

    def __init__(self, folder: Path, number: int, key: str, images: Sequence[str]) -> None:
        self.images = images
        self._vectors = folder / f"{number:06d}.npy"
        self._sidecar = folder / f"{number:06d}.json"
        self._key = key

    def read(self) -> Shard | None:
        """What is on disk; None if that is not whole, or not of this index, or of other images.

        Raises InputError where it may not be read.
        """
        try:
            sidecar = Sidecar.model_validate_json(self._sidecar.read_bytes())
            vectors = _opened(self._vectors)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise os_error(error.filename or self._vectors, error) from None
        except ValidationError:
            return None
        known = sidecar.key == self._key and [record.image for record in sidecar.images] == list(self.images)
        rows = sum(not record.broken for record in sidecar.images)
        if not known or vectors is None or vectors.shape != (rows, sidecar.dimension):
            return None
        # The pair is of two files: one may be of another moment, or damaged without another length.
        if hashlib.sha256(row_bytes(vectors)).hexdigest() != sidecar.vectors_sha256:
            return None
        return Shard(sidecar.images, vectors)

    def write(self, records: Sequence[ImageRecord], vectors: Vectors) -> Shard:
        """Write the vectors [n, d], then what they are of; each appears whole or not at all.

        Raises InputError when they cannot be written.
        """
        with atomic_writer(self._vectors) as file:
            np.save(file, np.ascontiguousarray(vectors, dtype="<f4"), allow_pickle=False)
        self.write_records(records, vectors)
        opened = _opened(self._vectors)
        return Shard(tuple(records), vectors if opened is None else opened)

    def write_records(self, records: Sequence[ImageRecord], vectors: Vectors) -> None:
        """Write anew what the vectors [n, d] on disk are of. Raises InputError when it cannot be written."""
        sidecar = Sidecar(
            key=self._key,
            dimension=vectors.shape[1],
            vectors_sha256=hashlib.sha256(row_bytes(vectors)).hexdigest(),
            images=tuple(records),
        )
        with atomic_writer(self._sidecar) as file:
            file.write(sidecar.model_dump_json(exclude_none=True).encode())


def _opened(path: Path) -> Vectors | None:
    """The vectors of a file, memory-mapped; None if it holds no such array. Raises OSError."""
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception:  # damage makes numpy's parser raise anything
        return None
    plain = isinstance(vectors, np.ndarray) and vectors.dtype == "<f4" and vectors.flags.c_contiguous
    return vectors if plain else None
