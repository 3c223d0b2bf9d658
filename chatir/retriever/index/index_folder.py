"""An index on disk: whose vectors of which images it holds, its folder, and its shards."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from chatir.datasets.data_folder import data_folder
from chatir.errors import InputError
from chatir.retriever.index.corpus import Corpus, images_fingerprint, vectors_fingerprint
from chatir.retriever.index.shards import Shard, ShardFile
from chatir.retriever.retriever import Identity
from chatir.storage.files import atomic_writer, os_error, read_json

FORMAT = 1
SHARD_SIZE = 4096
"""Images in a shard of a new index; no result depends on it."""

IMPORTED = "imported"
SHOWN_BROKEN = 10

Note = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class IndexFolder:
    """An index: the retriever as far as it fixes image vectors, the list of images, and where these came from.

    retriever, image_config: its name, and what fixes its vectors of images. images: the list. root: the image folder,
    resolved, as text; "imported" for vectors that were computed elsewhere, by whose file's hash, `vectors_sha256`, they
    are known. All of this makes the index's key, so another one is never taken for it.
    """

    retriever: str
    image_config: dict[str, Any]
    images: tuple[str, ...]
    root: str
    vectors_sha256: str | None = None

    @classmethod
    def of(cls, identity: Identity, images: tuple[str, ...], root: Path) -> IndexFolder:
        """The index of the images below a folder."""
        return cls(identity.name, identity.image_config, images, str(root.resolve()))

    @property
    def imported(self) -> bool:
        """Whether its vectors were computed elsewhere."""
        return self.root == IMPORTED

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that fixes it, as `index.json` tells it."""
        return {
            "format": FORMAT,
            "retriever": self.retriever,
            "image_config": self.image_config,
            "list_sha256": hashlib.sha256("".join(f"{image}\n" for image in self.images).encode()).hexdigest(),
            "images": len(self.images),
            "root": self.root,
            "vectors_sha256": self.vectors_sha256,
        }

    @cached_property
    def key(self) -> str:
        """Hash of the identity, in hex."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    @property
    def folder(self) -> Path:
        """Where it lies, in the data folder."""
        return _indexes() / f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', self.retriever)[:60]}-{self.key[:16]}"

    def establish(self) -> None:
        """Make the folder and its `index.json` where there is none. Raises InputError where it cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise os_error(self.folder, error) from None
        path = self.folder / "index.json"
        if not path.exists():
            with atomic_writer(path) as file:
                file.write(json.dumps({**self.identity, "shard_size": SHARD_SIZE}, indent=2).encode() + b"\n")

    def shard_files(self) -> list[ShardFile]:
        """Its shards, of as many images each as when it was begun. Raises InputError if another index lies there."""
        path = self.folder / "index.json"
        mend = f"delete the folder {self.folder}, and the index is made again"
        try:
            told = read_json(path)
        except InputError as error:
            raise InputError(f"{error}; {mend}") from None
        for name, value in self.identity.items():
            if not isinstance(told, dict) or name not in told or told[name] != value:
                raise InputError(f"{path}: is of another index, going by {name!r}; {mend}")
        size = told.get("shard_size")
        if not isinstance(size, int) or size < 1:
            raise InputError(f"{path}: shard_size is {size!r}, but must be a number of images; {mend}")
        starts = range(0, len(self.images), size)
        return [
            ShardFile(self.folder, number, self.key, self.images[start : start + size])
            for number, start in enumerate(starts)
        ]

    def read(self) -> list[Shard] | None:
        """All shards as they are on disk, no image looked at; None if any is lacking or damaged. Raises InputError."""
        if not (self.folder / "index.json").exists():
            return None
        shards = [file.read() for file in self.shard_files()]
        whole = [shard for shard in shards if shard is not None]
        return whole if len(whole) == len(shards) and same_dimension(whole) else None

    def corpus(self, shards: Sequence[Shard], on_broken: str, note: Note) -> Corpus:
        """The corpus of its shards.

        on_broken: `fail` or `skip`. note: called with a line about images that are left out. Raises InputError for
        broken images, if they are to fail, or if all are.
        """
        records = [record for shard in shards for record in shard.records]
        good = [record for record in records if not record.broken]
        if broken := [record for record in records if record.broken]:
            told = "; ".join(str(record.message) for record in broken[:SHOWN_BROKEN])
            if (more := len(broken) - SHOWN_BROKEN) > 0:
                told += f"; and {more:,} more"
            count = f"{len(broken):,} of {len(records):,} images"
            if not good:
                raise InputError(f"{count} cannot be indexed, so nothing is left: {told}")
            if on_broken == "fail":
                raise InputError(f"{count} cannot be indexed: {told}. Mend them, or leave them out: --on-broken skip")
            note(f"{count} are left out: {told}")
        images = tuple(record.image for record in good)
        vectors = tuple(shard.vectors for shard in shards if len(shard.vectors))
        if self.imported:
            fingerprint = vectors_fingerprint(images, vectors)
        else:
            fingerprint = images_fingerprint((record.image, str(record.sha256)) for record in good)
        return Corpus(images, vectors, fingerprint, tuple(record.image for record in broken))


def same_dimension(shards: Sequence[Shard]) -> bool:
    """Whether all vectors have as many numbers."""
    return len({shard.vectors.shape[1] for shard in shards if len(shard.vectors)}) <= 1


def found_index_folders(identity: Identity, images: tuple[str, ...]) -> list[IndexFolder]:
    """The indexes on disk of a retriever's vectors of a list, of any root or imported, whole or not; by folder name."""
    found = []
    for path in sorted(_indexes().glob("*/index.json")):
        try:
            told = read_json(path)
        except InputError:  # whoever needs that one is told
            continue
        if not isinstance(told, dict) or not isinstance(told.get("root"), str):
            continue
        index = IndexFolder(identity.name, identity.image_config, images, told["root"], told.get("vectors_sha256"))
        if index.folder == path.parent:
            found.append(index)
    return found


def _indexes() -> Path:
    return data_folder() / "indexes"
