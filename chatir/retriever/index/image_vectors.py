"""From image files to vectors: files are read and decoded in threads while others are encoded."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from chatir.console import one_line
from chatir.errors import ChatirError, InputError
from chatir.retriever.index.checked_vectors import given_vectors
from chatir.retriever.index.corpus import Vectors
from chatir.retriever.index.shards import ImageRecord
from chatir.retriever.retriever import Identity, Retriever, declared
from chatir.storage.image_folder import ImageError, ImageFolder, decoded
from chatir.storage.image_names import image_file

Item = TypeVar("Item")
Result = TypeVar("Result")
Stamp = tuple[int | None, int | None]

MISSING: Stamp = (None, None)


def cores() -> int:
    """Processor cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux tells
        return os.cpu_count() or 1


def stamp(root: Path, image: str) -> Stamp:
    """Size and time of an image's file, `MISSING` if there is none that may be looked at."""
    try:
        found = image_file(root, image).stat()
    except OSError:
        return MISSING
    return found.st_size, found.st_mtime_ns


@contextmanager
def thread_pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that are gone when the context is left; what they have not begun by then, they never do."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="chatir-images")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def looked_ahead(
    pool: ThreadPoolExecutor, call: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """The result of each item, in order. At most `ahead` are under way, or done and not yet taken."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        if len(waiting) == ahead:
            yield waiting.popleft().result()
        waiting.append(pool.submit(call, item))
    while waiting:
        yield waiting.popleft().result()


@dataclass(frozen=True)
class LookedAt:
    """An image as its file is now, on record; prepared: what the retriever encodes, None if the image is broken."""

    record: ImageRecord
    prepared: Any


class Looker:
    """Reads, hashes, decodes and prepares the images below a folder. Safe to use from many threads."""

    def __init__(self, retriever: Retriever, root: Path) -> None:
        self._root = root
        self._folder = ImageFolder(root)
        self._name = Identity.of(retriever).shown
        self._prepare: Callable[[Any], Any] | None = (
            getattr(retriever, "prepare", None) if prepares(retriever) else None
        )

    def look(self, image: str) -> LookedAt:
        """An image, ready to be encoded, and what it was."""
        size, mtime_ns = stamp(self._root, image)  # before it is read: what changes in between is seen next time
        try:
            content = self._folder.read(image)
            picture = decoded(image, content)
            prepared = image_file(self._root, image) if self._prepare is None else self._prepared(image, picture)
        except ImageError as error:
            kind, message = error.kind, one_line(str(error))
            return LookedAt(ImageRecord(image=image, size=size, mtime_ns=mtime_ns, kind=kind, message=message), None)
        sha256 = hashlib.sha256(content).hexdigest()
        return LookedAt(ImageRecord(image=image, size=size, mtime_ns=mtime_ns, sha256=sha256), prepared)

    def still(self, record: ImageRecord) -> ImageRecord | None:
        """The record of an image that is what it was, as it is to be from now on; None for one that changed.

        What was broken is looked at anew: whatever stood in its way may be gone, its file as it was.
        """
        if record.broken:
            now = self.look(record.image).record
            return now if now.broken else None
        size, mtime_ns = stamp(self._root, record.image)
        try:
            content = self._folder.read(record.image)
        except ImageError:
            return None
        same = hashlib.sha256(content).hexdigest() == record.sha256
        return record.model_copy(update={"size": size, "mtime_ns": mtime_ns}) if same else None

    def _prepared(self, image: str, picture: Any) -> Any:
        assert self._prepare is not None
        try:
            return self._prepare(picture)
        except (MemoryError, ChatirError):
            raise
        except Exception as error:  # an odd picture, a line of pixels perhaps, can make it raise anything
            told = f"{image}: {self._name} cannot prepare it: {type(error).__name__}: {error}"
            raise ImageError("refused_image", told) from None


class Encoder:
    """Encodes what was prepared, in the calling thread; vectors that are none are refused.

    Raises InputError for a retriever whose batch_size is no whole number of at least 1.
    """

    def __init__(self, retriever: Retriever) -> None:
        self.name = Identity.of(retriever).shown
        self.batch_size = declared(retriever, "batch_size", 32)
        if not isinstance(self.batch_size, int) or self.batch_size < 1:
            raise InputError(
                f"{self.name}: batch_size is {self.batch_size!r}, but must be a whole number of at least 1"
            )
        method = "encode_prepared" if prepares(retriever) else "encode_images"
        self._encode: Callable[[Sequence[Any]], Any] = getattr(retriever, method)

    def encode(self, prepared: Sequence[Any]) -> Vectors:
        """Unit vectors [n, d], float32. Raises InputError that names the retriever."""
        return given_vectors(self.name, self._encode, prepared, "images")


def prepares(retriever: Retriever) -> bool:
    """Whether a retriever takes images decoded and prepared elsewhere, not only files."""
    return hasattr(retriever, "prepare") and hasattr(retriever, "encode_prepared")
