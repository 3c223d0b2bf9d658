"""Images, one by one from the server that holds them: only those that are named, each kept once it decodes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx2
import stamina

from chatir import __version__
from chatir.datasets.data_folder import IMAGES_URL
from chatir.datasets.fetch.one_image import BrokenError, RefusedError, image_content, keep_image
from chatir.datasets.fetch.source import FetchError, base_address
from chatir.errors import InputError
from chatir.storage.files import os_error
from chatir.storage.image_names import image_file, image_key, image_problem, normalised

DEAD_AFTER = 50
"""So many images in a row without a whole answer, all attempts made, mean that the source is down."""

# An outcome tells of its retries; without a handler, logging would print each one to stderr.
logging.getLogger("stamina").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class ImageReport:
    """Images fetched now, images present before, and (image, reason) for those that failed, in the order asked."""

    fetched: int
    present: int
    failed: tuple[tuple[str, str], ...]


def fetch_images(
    images: Iterable[str],
    folder: Path,
    base_url: str = IMAGES_URL,
    workers: int = 16,
    progress: Callable[[int, int, int, int], None] = lambda done, total, failed, size: None,
    *,
    attempts: int = 4,
    wait: float = 0.5,
    timeout: float = 30.0,
) -> ImageReport:
    """Bring images, named by their paths below the image root, into the image root `folder`.

    The same call again continues: an image that is there is not asked for. One that fails is reported and the
    others go on. An interrupt leaves whole images only. Not to be called inside a running asyncio loop.

    base_url: what the paths follow. workers: images in flight. progress: called with images done (there, fetched or
    failed), of how many, failed ones, and bytes fetched. attempts: for each image; wait: seconds before the second,
    doubled for each further one. timeout: seconds without a byte.

    Raises InputError, before any request, for a path that leaves the folder, and when the folder cannot be
    written; FetchError when the source is down.
    """
    base_url = base_address(base_url)
    if workers < 1 or attempts < 1:
        raise InputError(f"workers is {workers} and attempts is {attempts}, but each must be at least 1")
    wanted: dict[str, str] = {}
    for image in images:
        path = normalised(image)
        if problem := image_problem(image) or (not Path(path).name and "is not a file's"):
            raise InputError(f"image path {image!r} {problem}")
        wanted.setdefault(image_key(path), path)
    missing = [image for image in wanted.values() if not _present(image_file(folder, image))]
    present = len(wanted) - len(missing)
    work = _Work(folder, base_url, attempts, wait, timeout)

    def tell() -> None:
        progress(present + work.fetched + len(work.failed), len(wanted), len(work.failed), work.size)

    tell()
    try:
        asyncio.run(work.run(missing, workers, tell))
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    failed = tuple((image, work.failed[image]) for image in missing if image in work.failed)
    return ImageReport(work.fetched, present, failed)


def _present(path: Path) -> bool:
    """Only an image that decodes is ever given its name, so a look at the size is enough."""
    try:
        return path.is_file() and path.stat().st_size > 0
    except OSError as error:
        raise os_error(path, error) from None


@dataclass(slots=True)
class _Work:
    """Images on their way: each worker takes the next one when it is done with its last."""

    folder: Path
    base_url: str
    attempts: int
    wait: float
    timeout: float
    fetched: int = 0
    size: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    broken_in_a_row: int = 0

    async def run(self, images: Sequence[str], workers: int, tell: Callable[[], None]) -> None:
        queue = iter(images)
        client = httpx2.AsyncClient(
            follow_redirects=True,
            limits=httpx2.Limits(max_connections=workers),
            headers={"User-Agent": f"chatir/{__version__}"},
        )
        async with client, asyncio.TaskGroup() as group:
            for _ in range(min(workers, len(images))):
                group.create_task(self._fetch_each(queue, client, tell))

    async def _fetch_each(self, images: Iterator[str], client: httpx2.AsyncClient, tell: Callable[[], None]) -> None:
        for image in images:
            try:
                size = await self._fetch(image, client)
                self.size += size
                self.fetched += 1
                self.broken_in_a_row = 0
            except (RefusedError, BrokenError) as error:
                self.failed[image] = str(error)
                self.broken_in_a_row = self.broken_in_a_row + 1 if isinstance(error, BrokenError) else 0
            tell()
            if self.broken_in_a_row == DEAD_AFTER:
                raise FetchError(
                    f"{self.base_url}: {DEAD_AFTER} images in a row failed, {image} with: {self.failed[image]}; "
                    "type the same command again when the source is up, or name a mirror with --base-url"
                )

    async def _fetch(self, image: str, client: httpx2.AsyncClient) -> int:
        """Fetch one image, in as many attempts as it may take; returns its size in bytes."""
        size = 0
        async for attempt in stamina.retry_context(
            on=BrokenError,
            attempts=self.attempts,
            timeout=None,
            wait_initial=self.wait,
            wait_max=20 * self.wait,
            wait_jitter=self.wait,
        ):
            with attempt:
                content = await image_content(client, self.base_url + quote(image), self.timeout)
                await asyncio.to_thread(keep_image, content, self.folder / image)
                size = len(content)
        return size
