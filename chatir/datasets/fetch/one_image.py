"""One image: the bytes that a server gives for it, and the file that they become once they decode."""

from __future__ import annotations

import asyncio
from io import BytesIO
from pathlib import Path

import httpx2
from PIL import Image, UnidentifiedImageError

from chatir.storage.files import atomic_writer, os_error
from chatir.storage.image_folder import FORMATS, MAX_BYTES, MAX_PIXELS

SLOWEST = 10
"""An image may take so many times the time-out, however its bytes drip."""


class RefusedError(Exception):
    """Another attempt would end the same way; the text says why, in a few words."""


class BrokenError(Exception):
    """Another attempt may end better; the text says what happened, in a few words."""


async def image_content(client: httpx2.AsyncClient, url: str, timeout: float) -> bytes:
    """The bytes at `url`, at most `MAX_BYTES`. timeout: seconds without a byte.

    Raises RefusedError or BrokenError.
    """
    content = bytearray()
    try:
        async with asyncio.timeout(SLOWEST * timeout), client.stream("GET", url, timeout=timeout) as response:
            status = response.status_code
            if status != httpx2.codes.OK:
                passing = status in (408, 429) or status >= 500
                raise (BrokenError if passing else RefusedError)(f"HTTP {status}")
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > MAX_BYTES:
                    raise RefusedError(f"more than {MAX_BYTES:,} bytes")
    except httpx2.TimeoutException:
        raise BrokenError(f"nothing came for {timeout:g} s") from None
    except TimeoutError:
        raise BrokenError(f"not whole after {SLOWEST * timeout:g} s") from None
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.TooManyRedirects) as error:
        raise RefusedError(str(error)) from None
    except httpx2.RequestError as error:
        raise BrokenError(str(error) or type(error).__name__) from None
    return bytes(content)


def keep_image(content: bytes, path: Path) -> None:
    """Write an image that decodes, whole or not at all.

    Raises BrokenError for what does not decode, RefusedError above `MAX_PIXELS`, InputError when the file
    cannot be written.
    """
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width * height <= MAX_PIXELS:
                image.load()
    except UnidentifiedImageError:
        raise BrokenError("what came is not an image") from None
    except Image.DecompressionBombError as error:
        raise RefusedError(str(error)) from None
    except Exception as error:  # a damaged file can make a decoder raise anything
        raise BrokenError(f"what came is a damaged image: {error}") from None
    if width * height > MAX_PIXELS:
        raise RefusedError(f"{width} x {height} pixels, more than {MAX_PIXELS:,}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise os_error(path.parent, error) from None
    with atomic_writer(path) as file:
        file.write(content)
