"""Images as they are sent to a server: scaled down, as JPEG in a data URL, each encoded once while it is in use."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from cachetools import LRUCache
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from chatir.storage.image_folder import ImageFolder

READERS = 4
"""Threads that read and encode images: as many are held decoded at once, whatever else waits."""

Detail = Literal["auto", "low", "high"]


class ImageOptions(BaseModel):
    """How images are sent.

    - `max_side`: pixels of the longer side at most; a smaller image stays as it is
    - `detail`: how closely the server is asked to look; `auto` asks for nothing, which servers that do not know the
      word understand too
    - `quality`: of the JPEG, 1 to 100
    - `kept_images`: how many stay encoded; the one used longest ago goes first
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    max_side: int = Field(default=768, ge=16, le=8192)
    detail: Detail = "auto"
    quality: int = Field(default=90, ge=1, le=100)
    kept_images: int = Field(default=256, ge=1)


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An image as it is sent: a data URL, as url. sha256: of its bytes, before they become the text of the URL.

    width, height: in pixels, after scaling. detail: how closely the server is asked to look.
    """

    url: str = field(repr=False)
    sha256: str
    width: int
    height: int
    detail: Detail = "auto"


class EncodedImages:
    """The images below a folder, encoded; several may be asked for at once, by one event loop after another."""

    def __init__(self, root: Path | None, options: ImageOptions) -> None:
        self._images = ImageFolder(root)
        self._options = options
        self._kept: LRUCache[str, EncodedImage] = LRUCache(options.kept_images)
        self._under_way: dict[str, asyncio.Task[EncodedImage]] = {}
        self._readers = ThreadPoolExecutor(READERS, "chatir-images")

    @property
    def identity(self) -> dict[str, Any]:
        """What fixes an encoded image, but the image."""
        return self._options.model_dump(include={"max_side", "detail", "quality"})

    async def get(self, image: str) -> EncodedImage:
        """An image by its path. Raises ImageError if it cannot be shown."""
        if (known := self._kept.get(image)) is not None:
            return known
        if (task := self._under_way.get(image)) is None:
            task = self._under_way[image] = asyncio.create_task(self._keep(image))
            task.add_done_callback(lambda _: self._under_way.pop(image))
        return await asyncio.shield(task)  # others wait for it too

    def clear(self) -> None:
        """Forget what is encoded: a file may have changed when it is asked for again."""
        self._kept.clear()

    async def _keep(self, image: str) -> EncodedImage:
        encoded = await asyncio.get_running_loop().run_in_executor(self._readers, self._read, image)
        self._kept[image] = encoded
        return encoded

    def _read(self, image: str) -> EncodedImage:
        options = self._options
        picture = self._images.open(image)
        picture.thumbnail((options.max_side, options.max_side), Image.Resampling.LANCZOS)
        file = BytesIO()
        # Colors as sharp as the rest: questions are about them. A comment would be taken over from the file.
        picture.save(file, "JPEG", quality=options.quality, subsampling="4:4:4", comment=b"")
        content = file.getvalue()
        url = f"data:image/jpeg;base64,{b64encode(content).decode('ascii')}"
        return EncodedImage(url, hashlib.sha256(content).hexdigest(), *picture.size, options.detail)
