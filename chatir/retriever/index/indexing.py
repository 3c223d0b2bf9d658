"""Making the index of a folder's images, or completing it: only what is lacking or has changed is encoded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from chatir.console import duration
from chatir.datasets.scenes.names import built_in_models
from chatir.errors import InputError
from chatir.models.builtin.foreign import foreign_image, foreign_line
from chatir.retriever.index.corpus import Corpus, Vectors, checked_images
from chatir.retriever.index.image_vectors import (
    MISSING,
    Encoder,
    LookedAt,
    Looker,
    Stamp,
    cores,
    looked_ahead,
    stamp,
    thread_pool,
)
from chatir.retriever.index.index_folder import IndexFolder, Note, same_dimension
from chatir.retriever.index.shards import ImageRecord, Shard, ShardFile
from chatir.retriever.retriever import Identity, Retriever
from chatir.storage.image_names import image_file

Report = Callable[[object], None]


@dataclass(frozen=True)
class Indexed:
    """A corpus whose index is complete, and the folder that it lies in.

    encoded: images that were encoded in this call, which took so many seconds. imported: vectors that were taken over.
    """

    corpus: Corpus
    folder: Path
    encoded: int = 0
    seconds: float = 0.0
    imported: int = 0


@dataclass(slots=True)
class IndexProgress:
    """How far an index has come: of total images those that are done, of earlier calls too, and broken ones among them.

    encoded: images that this call encoded, in so many seconds.
    """

    total: int
    done: int = 0
    broken: int = 0
    encoded: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        parts = [f"{self.done:,}/{self.total:,} images"]
        if self.encoded and self.seconds:
            speed = self.encoded / self.seconds
            parts += [f"{speed:,.1f} images/s", f"{duration((self.total - self.done) / speed)} left"]
        if self.broken:
            parts.append(f"{self.broken:,} broken")
        return ", ".join(parts)


def silent(told: object) -> None:
    """Tell nobody."""


def index_images(
    retriever: Retriever,
    images: Sequence[str],
    root: Path,
    *,
    on_broken: str = "fail",
    report: Report = silent,
    note: Note = silent,
    threads: int | None = None,
) -> Indexed:
    """The corpus of a folder's images, encoded as far as no index on disk has them.

    Every shard is kept when it is done: whenever this ends, the same call goes on there.

    - `images`: the list, relative to the folder `root`
    - `on_broken`: `fail` raises for images that are missing or broken, once all others are indexed; `skip` leaves them
      out of the corpus, with a note
    - `report`: gets an `IndexProgress`, often
    - `note`: called with a line that the user should see, as where the small built-in model searches in other images
      than scenes
    - `threads`: those that read and decode, one for each core unless given

    Raises InputError for a list that no corpus can have, a folder that holds none of the images, vectors that are none,
    an index that cannot be written, and for broken images as said.
    """
    names = checked_images(images, "the corpus")
    if on_broken not in ("fail", "skip"):
        raise InputError(f"on_broken is {on_broken!r}, but must be 'fail' or 'skip'")
    if not root.is_dir():
        raise InputError(f"{root}: is no folder of images")
    with thread_pool(threads or cores()) as pool:
        indexing = _Indexing(retriever, IndexFolder.of(Identity.of(retriever), names, root), root, pool, report)
        indexing.look_for_images(note)
        tell_of_foreign_images(Identity.of(retriever), names, root, note)
        shards = indexing.completed(on_broken)
    corpus = indexing.index.corpus(shards, on_broken, note)
    progress = indexing.progress
    return Indexed(corpus, indexing.index.folder, progress.encoded, progress.seconds)


def tell_of_foreign_images(retriever: Identity, images: Sequence[str], root: Path, note: Note) -> None:
    """Note that a retriever with a built-in model knows nothing of the images of a folder, if that is so."""
    models = list(built_in_models(retriever.config))
    if models and (image := foreign_image(images, root)) is not None:
        note(foreign_line(models, image))


class _Indexing:
    def __init__(
        self, retriever: Retriever, index: IndexFolder, root: Path, pool: ThreadPoolExecutor, report: Report
    ) -> None:
        self.index = index
        self.progress = IndexProgress(len(index.images))
        self._root = root
        self._pool = pool
        self._report = report
        self._looker = Looker(retriever, root)
        self._encoder = Encoder(retriever)
        self._ahead = 2 * self._encoder.batch_size  # one batch is ready when the one before it is encoded
        self._stamps: dict[str, Stamp] = {}
        self._dimension = 0

    def look_for_images(self, note: Note) -> None:
        """Look which images are there. Raises InputError if none is."""
        self._stamps = {image: stamp(self._root, image) for image in self.index.images}
        missing = [image for image, found in self._stamps.items() if found == MISSING]
        if len(missing) == len(self._stamps):
            raise InputError(
                f"{self._root}: holds none of the {len(missing):,} images of the corpus, {missing[0]} for one; "
                f"{_way_out(self._root, missing[0])}"
            )
        if missing:
            total = f"{len(self._stamps):,} images are missing in {self._root}"
            note(f"{len(missing):,} of {total}, or may not be looked at, {missing[0]} for one")

    def completed(self, on_broken: str) -> list[Shard]:
        """All shards, those encoded that are not on disk as they should be."""
        self.index.establish()
        files = self.index.shard_files()
        shards: dict[int, Shard] = {}
        for number, file in enumerate(files):
            shard = file.read()
            if shard is not None and (kept := self._kept(file, shard, on_broken)):
                shards[number] = kept
                self.progress.done += len(kept.records)
                self.progress.broken += sum(record.broken for record in kept.records)
                self._report(self.progress)
        if not same_dimension(list(shards.values())):  # of a retriever that did not tell it had changed
            shards.clear()
            self.progress.done = self.progress.broken = 0
        lacking = [number for number in range(len(files)) if number not in shards]
        self._dimension = max((shard.vectors.shape[1] for shard in shards.values()), default=0)
        shards.update(self._encoded(files, lacking))
        return [shards[number] for number in range(len(files))]

    def _kept(self, file: ShardFile, shard: Shard, on_broken: str) -> Shard | None:
        """A shard on disk with its records as they are now; None if it is to be encoded again."""
        lost = {record.image for record in shard.records if not record.broken and self._stamps[record.image] == MISSING}
        if lost and on_broken == "fail":  # which ends in an error anyway: what is on disk may be right once more
            return Shard(tuple(_missing(r, self._root) if r.image in lost else r for r in shard.records), shard.vectors)
        doubtful = [record for record in shard.records if record.broken or self._stamps[record.image] != record.stamp]
        renewed: dict[str, ImageRecord] = {}
        for record in looked_ahead(self._pool, self._looker.still, doubtful, self._ahead):
            if record is None:
                return None
            renewed[record.image] = record
        records = tuple(renewed.get(record.image, record) for record in shard.records)
        if records != shard.records:
            with suppress(InputError):  # in a folder that may only be read, they are looked at again each time
                file.write_records(records, shard.vectors)
        return Shard(records, shard.vectors)

    def _encoded(self, files: list[ShardFile], numbers: list[int]) -> Iterator[tuple[int, Shard]]:
        """Encode some shards and write them, in order; images of the next one are read while one is encoded."""
        started = time.perf_counter()
        wanted = (image for number in numbers for image in files[number].images)
        looks = looked_ahead(self._pool, self._looker.look, wanted, self._ahead)
        for number in numbers:
            records: list[ImageRecord] = []
            batches: list[Vectors] = []
            for batch in self._batches(islice(looks, len(files[number].images)), records):
                batches.append(self._vectors(batch))
                self.progress.encoded += len(batch)
                self.progress.seconds = time.perf_counter() - started
                self._report(self.progress)
            vectors = np.concatenate(batches) if batches else np.empty((0, 0), dtype=np.float32)
            shard = files[number].write(records, vectors)
            self.progress.seconds = time.perf_counter() - started
            yield number, shard

    def _batches(self, looks: Iterator[LookedAt], records: list[ImageRecord]) -> Iterator[list[Any]]:
        """What is to be encoded at once, of one shard, and the record of each image.

        No batch reaches into the next shard: a vector must not depend on where an index was interrupted.
        """
        ready: list[Any] = []
        for look in looks:
            records.append(look.record)
            self.progress.done += 1
            self.progress.broken += look.record.broken
            if not look.record.broken:
                ready.append(look.prepared)
            if len(ready) == self._encoder.batch_size:
                yield ready
                ready = []
        if ready:
            yield ready

    def _vectors(self, batch: list[Any]) -> Vectors:
        vectors = self._encoder.encode(batch)
        dimension = vectors.shape[1]
        self._dimension = self._dimension or dimension
        if dimension != self._dimension:
            raise InputError(
                f"{self._encoder.name}: gives vectors of {dimension} numbers, but gave {self._dimension} before; "
                f"if it has changed, delete the folder {self.index.folder}"
            )
        return vectors


def _missing(record: ImageRecord, root: Path) -> ImageRecord:
    return ImageRecord(image=record.image, kind="missing_image", message=f"{record.image}: is not in {root}")


def _way_out(root: Path, image: str) -> str:
    """Where the images may be meant to be."""
    with suppress(OSError):
        for folder in (root.resolve().parent, *sorted(path for path in root.iterdir() if path.is_dir())):
            if image_file(folder, image).is_file():
                return f"name --images {folder}"
    return "name another --images, or bring them: 'chatir fetch images --whole-corpus'"
