"""Vectors that were computed elsewhere: read from a file, checked, and kept as an index."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chatir.errors import InputError
from chatir.retriever.index.checked_vectors import as_array
from chatir.retriever.index.corpus import UNIT, checked_images
from chatir.retriever.index.index_folder import IMPORTED, IndexFolder, Note, found_index_folders
from chatir.retriever.index.indexing import Indexed, silent
from chatir.retriever.index.shards import ImageRecord, Shard
from chatir.retriever.retriever import Identity, Retriever
from chatir.storage.files import file_sha256, os_error

SINGLE = 1e-6
"""How far from 1 the length of a vector is that was normalised in single precision."""
ROWS = 4096
"""Vectors that are held in memory at once, in double precision."""


def import_vectors(
    retriever: Retriever, images: Sequence[str], file: Path, *, where: str = "the corpus", note: Note = silent
) -> Indexed:
    """Keep vectors of a corpus, computed elsewhere with the same retriever, as its index.

    file: `.npy`, or `.pth` or `.pt` as torch saves it, with [n, d] floating-point numbers in the images' order; or the
    pair (ids, vectors) that ChatIR's own evaluation saves as `corpus_*.pth`, where an id is a place in the list from 0
    on. where: the list, as error messages name it. Vectors that are not of length 1 are normalised, with a note.

    Raises InputError for a file that is of no such kind or damaged, for more or fewer vectors than the list has images,
    another dimension than the retriever's, and a vector that is zero or not finite.
    """
    names = checked_images(images, where)
    vectors, places = _read(file)
    if len(vectors) != len(names):
        raise InputError(
            f"corpora of different size: {file} holds {len(vectors):,} vectors, {where} names {len(names):,} images"
        )
    order = np.arange(len(names)) if places is None else _order(places, file, len(names))
    rows = _Rows(vectors, order, names, file)
    own = int(as_array(retriever.encode_dialogs(["a photo"])).shape[-1])
    identity = Identity.of(retriever)
    if vectors.shape[1] != own:
        told = f"{file}: holds vectors of {vectors.shape[1]} numbers, but {identity.name} gives {own}"
        raise InputError(f"{told}; were they computed with another retriever?")
    if count := rows.check():
        note(f"{file}: {count:,} of {len(names):,} vectors are not of length 1; they are normalised")
    index = IndexFolder(identity.name, identity.image_config, names, IMPORTED, file_sha256(file))
    for other in found_index_folders(identity, names):
        if other.imported and other.key != index.key:
            note(f"{other.folder} holds other vectors of the same images: delete what is not wanted")
    return _written(index, rows, note)


def _written(index: IndexFolder, rows: _Rows, note: Note) -> Indexed:
    index.establish()
    shards: list[Shard] = []
    start = taken = 0
    for file in index.shard_files():
        stop = start + len(file.images)
        if (shard := file.read()) is None:
            shard = file.write([ImageRecord(image=image) for image in file.images], rows.some(start, stop))
            taken += stop - start
        shards.append(shard)
        start = stop
    return Indexed(index.corpus(shards, "fail", note), index.folder, imported=taken)


class _Rows:
    """The vectors of a file in list order, as they are to be kept."""

    def __init__(self, vectors: NDArray[Any], order: NDArray[np.int64], images: Sequence[str], file: Path) -> None:
        self._vectors = vectors
        self._order = order
        self._images = images
        self._file = file

    def check(self) -> int:
        """How many are not of length 1. Raises InputError for one that has no direction, by its image and row."""
        count = 0
        for start in range(0, len(self._order), ROWS):
            lengths = _lengths(self._doubles(start, start + ROWS))
            for word, wrong in (("zero", lengths == 0), ("not finite", ~np.isfinite(lengths))):
                if wrong.any():
                    place = start + int(wrong.argmax())
                    image = self._images[place]
                    raise InputError(f"{self._file}: the vector of {image} (row {self._order[place]}) is {word}")
            count += int((np.abs(lengths - 1) > UNIT).sum())
        return count

    def some(self, start: int, stop: int) -> NDArray[np.float32]:
        """Unit vectors of some images. Those of length 1, as near as single precision has it, stay as they are."""
        rows = self._doubles(start, stop)
        lengths = _lengths(rows)
        rows /= np.where(np.abs(lengths - 1) > SINGLE, lengths, 1)[:, np.newaxis]
        return rows.astype(np.float32)

    def _doubles(self, start: int, stop: int) -> NDArray[np.float64]:
        return self._vectors[self._order[start:stop]].astype(np.float64)


def _lengths(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(over="ignore", invalid="ignore"):
        lengths: NDArray[np.float64] = np.linalg.norm(rows, axis=1)
    return lengths


def _order(places: NDArray[Any], file: Path, count: int) -> NDArray[np.int64]:
    """The row of each image, by the place in the list that each row says it has."""
    if places.shape != (count,) or not np.array_equal(np.sort(places), np.arange(count)):
        raise InputError(f"{file}: its ids are not the places 0 to {count - 1} of the corpus list, each of them once")
    return np.argsort(places)


def _read(file: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """The vectors of a file, and the places that go with them if it has any."""
    readers: dict[str, Callable[[Path], Any]] = {".npy": _npy, ".pth": _pth, ".pt": _pth}
    if (reader := readers.get(file.suffix.lower())) is None:
        raise InputError(f"{file}: is of no kind that vectors are read from: .npy, .pth or .pt")
    if not file.is_file():
        raise InputError(f"{file}: is not there, or is no file")
    held = reader(file)
    places: Any = None
    if isinstance(held, tuple | list) and len(held) == 2:
        places, held = held
    vectors = _numbers(held)
    if vectors is None or vectors.ndim != 2 or not vectors.size or not np.issubdtype(vectors.dtype, np.floating):
        what = type(held).__name__ if vectors is None else f"{vectors.dtype} numbers of the shape {list(vectors.shape)}"
        raise InputError(f"{file}: holds {what}, but must hold vectors: [n, d] floating-point numbers")
    if places is not None and ((places := _numbers(places)) is None or not np.issubdtype(places.dtype, np.integer)):
        raise InputError(f"{file}: the ids that stand before its vectors are no whole numbers")
    return vectors, places


def _npy(file: Path) -> Any:
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # damage makes numpy's parser raise anything
        raise _unreadable(file, "numpy array", error) from None


def _pth(file: Path) -> Any:
    import torch

    try:
        with warnings.catch_warnings(action="ignore"):  # of pickles that torch did not write itself
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise _unreadable(file, "torch file of tensors", error) from None


def _unreadable(file: Path, what: str, error: Exception) -> InputError:
    if isinstance(error, OSError) and error.strerror:
        return os_error(file, error)
    # What numpy and torch say here is advice to run whatever the file holds.
    told = "it is damaged, is of another kind, or holds more than numbers, which is not run"
    return InputError(f"{file}: cannot be read as a {what}: {told} ({type(error).__name__})")


def _numbers(held: Any) -> NDArray[Any] | None:
    """A dense tensor or an array as it is; None for anything else."""
    import torch

    if isinstance(held, torch.Tensor):
        return as_array(held) if held.layout is torch.strided and not held.is_quantized else None
    return held if isinstance(held, np.ndarray) else None
