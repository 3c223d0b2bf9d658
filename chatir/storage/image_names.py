"""Names of images: relative paths, as lists write them; what is wrong with one, which mean the same, their files.

A name stays as it was written. It is compared by `image_key`, and its file is found by `image_file`.
"""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

_BREAKS = frozenset({"Cc", "Zl", "Zp"})
"""Unicode categories that no name may hold: control characters, and separators of lines and paragraphs."""

_SEPARATOR = re.compile(r"[/\\]")
_ABSOLUTE = re.compile(r"[/\\]|(?:\.[/\\]+)*[A-Za-z]:[/\\]")


def image_problem(image: str) -> str | None:
    """What is wrong with an image path, or None: it must be relative and stay below its root.

    Spaces of any kind, joiners and colons are part of a name; control characters and line breaks are not.
    """
    if not image.strip():
        return "is empty"
    if not image.isprintable():
        categories = set(map(unicodedata.category, image))
        if categories & _BREAKS:
            return "holds a control character or a line break"
        if "Cs" in categories:
            return "holds a lone surrogate, which is no character"
    if _ABSOLUTE.match(image):
        return "is absolute, but must be relative to the image root"
    if ".." in image and ".." in _SEPARATOR.split(image):
        return "leads out of the image root by '..'"
    return None


def normalised(image: str) -> str:
    r"""An image path without parts that are empty or `.`, with `/` between the others: `./a\b.png` is `a/b.png`."""
    if "\\" in image or "//" in image or "./" in image or image.endswith(("/", ".")):
        return "/".join(part for part in _SEPARATOR.split(image) if part not in ("", "."))
    return image


def image_key(image: str) -> str:
    """What tells an image from others: its path, normalised, in Unicode form NFC. Equal keys mean the same image."""
    path = normalised(image)
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def dialog_key(id_: str, image: str) -> str:
    """What tells a dialog from others: its id, or the key of its image if that is all that it is known by."""
    return image_key(image) if id_ == image else id_


def image_file(root: Path, image: str) -> Path:
    """Where the file of an image is below `root`: under its exact name, else part by part in the form NFC or NFD.

    A list may hold one form and the folder the other, as after unpacking an archive of macOS on Linux. If there is no
    such file, the path is where it should be. Nothing is opened, and links are not followed to their end: whoever opens
    the file must check that it lies in the folder.
    """
    path = normalised(image)
    exact = root / image
    if (path == image and image.isascii()) or os.path.lexists(exact):
        return exact
    found = root
    for part in path.split("/"):
        forms = (part, unicodedata.normalize("NFC", part), unicodedata.normalize("NFD", part))
        found = next((found / form for form in forms if os.path.lexists(found / form)), found / part)
    return found
