"""Makes image files, whole ones and the beginnings of others."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

from PIL import Image


def picture(file_format: str = "PNG", color: str = "teal", size: tuple[int, int] = (12, 9)) -> bytes:
    """A picture with some detail, so that its file is more than its header; it tells its orientation, 1."""
    exif = Image.Exif()
    exif[0x0112] = 1
    image = Image.new("RGB", size, color)
    for place in range(min(size)):
        image.putpixel((place, place), (17 * place % 256, 29 * place % 256, 255 - place))
    buffer = BytesIO()
    image.save(buffer, file_format, exif=exif.tobytes())
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def header(width: int, height: int) -> bytes:
    """The beginning of a PNG that claims to be of some size."""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
