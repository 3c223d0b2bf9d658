"""The format of an image file by its first bytes: those that chatir reads, and those that it names only."""

from __future__ import annotations

HEAD = 1024
"""Bytes from the beginning of a file that tell its format."""

_BEGINNINGS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"%PDF-", "PDF"),
)
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIC"),
}
"""Formats by the brands of their container, AVIF first: both name the brands that they have in common."""

UNREAD = ("HEIC", "JPEG 2000", "JPEG XL", "PDF", "SVG")
"""Formats of images that chatir does not read."""


def image_format(head: bytes) -> str | None:
    """The format of an image file that begins with these bytes, as Pillow calls it or as in `UNREAD`.

    None if they are those of no image, or of a format that its first bytes do not tell for certain: PPM and BMP, whose
    first two may begin a text, and TIFF, as which raw files of cameras begin too.
    """
    for beginning, name in _BEGINNINGS:
        if head.startswith(beginning):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        box = head[8 : int.from_bytes(head[:4])]
        named = {box[start : start + 4] for start in range(0, len(box), 4)}
        return next((name for brand, name in _BRANDS.items() if brand in named), None)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<svg") or (text.startswith((b"<?xml", b"<!--", b"<!DOCTYPE svg")) and b"<svg" in text):
        return "SVG"
    return None
