"""A small retriever whose image vectors are the colors of a picture, image files for it, and a process that indexes."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from PIL import Image

from chatir.retriever.index.corpus import Corpus
from chatir.retriever.index.indexing import Indexed
from chatir.storage.image_folder import ImageFolder

GRID = 3
DIMENSION = 6
COUNT = 23
SHARD = 5
Index = Callable[..., Indexed]
PROJECTION = np.random.default_rng(0).standard_normal((DIMENSION, 3 * GRID * GRID + 1))


def colors(image: Image.Image) -> np.ndarray:
    """The mean color of each field of a grid, and one number more, so that black has a direction."""
    fields = np.asarray(image.resize((GRID, GRID), Image.Resampling.BOX), dtype=np.float64) / 255
    return np.append(fields.ravel(), 1.0)


class Colors:
    """Every vector is computed on its own: the same bits in any batch. encoded: images of each call."""

    name = "Colors"

    def __init__(self, flavor: str = "", separator: str = ", ", batch_size: int = 3) -> None:
        self.config = {"flavor": flavor, "separator": separator}
        self.image_config = {"flavor": flavor}
        self.batch_size = batch_size
        self.encoded: list[int] = []

    def encode_dialogs(self, dialogs: Sequence[object]) -> torch.Tensor:
        return torch.nn.functional.normalize(torch.ones(len(dialogs), DIMENSION))

    def encode_images(self, images: Sequence[Path]) -> torch.Tensor:
        return self.encode_prepared([colors(ImageFolder(path.parent).open(path.name)) for path in images])

    def prepare(self, image: Image.Image) -> np.ndarray:
        assert image.mode == "RGB"
        return colors(image)

    def encode_prepared(self, prepared: Sequence[np.ndarray]) -> torch.Tensor:
        self.encoded.append(len(prepared))
        rows = [PROJECTION @ one for one in prepared]
        return torch.tensor(np.stack([row / np.linalg.norm(row) for row in rows])).float()


class FilesOnly:
    """The same vectors from a retriever that takes files only, and declares no more than it must."""

    config: ClassVar[dict[str, object]] = {}

    def __init__(self) -> None:
        self._colors = Colors()
        self.encode_dialogs = self._colors.encode_dialogs
        self.encode_images = self._colors.encode_images


def write_images(root: Path, count: int, seed: int = 0) -> list[str]:
    """Noise in all modes and formats that image collections have, some turned by EXIF; their names, unsorted."""
    random = np.random.default_rng(seed)
    modes = {"png": ["RGB", "RGBA", "P", "L", "LA", "1", "I;16"], "jpg": ["RGB", "L", "CMYK"], "webp": ["RGBA"]}
    kinds = [(suffix, mode) for suffix, some in modes.items() for mode in some] + [("gif", "P"), ("tiff", "F")]
    names = []
    for number in range(count):
        suffix, mode = kinds[number % len(kinds)]
        fields = random.integers(0, 256, (GRID, GRID + number % 2, 3), dtype=np.uint8)
        picture = Image.fromarray(fields).resize((24, 18), Image.Resampling.NEAREST)
        if mode == "I;16":
            picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
        picture = picture.convert(mode)
        exif = Image.Exif()
        exif[0x0112] = 1 + number % 8
        buffer = BytesIO()
        picture.save(buffer, {"jpg": "JPEG"}.get(suffix, suffix), **({"exif": exif} if suffix == "jpg" else {}))
        name = f"{'deep/' * (number % 2)}no {(7 * number) % count:03d} é.{suffix}"
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(buffer.getvalue())
        names.append(name)
    return names


def rows(corpus: Corpus) -> np.ndarray:
    return np.concatenate(corpus.shards)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def change(path: Path, color: str = "red") -> None:
    """Another picture in the same file."""
    Image.new("RGB", (9, 9), color).save(path)


def damage_images(images: Path, names: list[str], *positions: int) -> None:
    for position in positions:
        (images / names[position]).write_bytes(b"no image")


def main(root: str, list_: str, shard_size: str, stop: str) -> None:
    """Index in a process of its own. stop: where it stands still, to be killed, "" if nowhere."""
    from chatir.retriever.index import index_folder, shards
    from chatir.retriever.index.indexing import index_images

    def stand_still(*given: object) -> None:
        print("standing", flush=True)
        time.sleep(60)

    index_folder.SHARD_SIZE = int(shard_size)
    retriever, place = Colors(), stop.partition(" ")[0]
    encode, written, write_records = retriever.encode_prepared, [], shards.ShardFile.write_records

    def encode_some(prepared: Sequence[np.ndarray]) -> torch.Tensor:
        if place == "encoding" and len(retriever.encoded) == int(stop.partition(" ")[2]):
            stand_still()
        return encode(prepared)

    def write_some(*given: object) -> None:
        written.append(given)
        if place == "between" and len(written) == int(stop.partition(" ")[2]):
            stand_still()
        write_records(*given)

    retriever.encode_prepared = encode_some
    shards.ShardFile.write_records = write_some
    print("ready", flush=True)
    sys.stdin.readline()
    indexed = index_images(retriever, json.loads(Path(list_).read_text()), Path(root))
    print(indexed.corpus.fingerprint, indexed.encoded, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
