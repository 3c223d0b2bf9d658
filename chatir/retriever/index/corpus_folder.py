"""A folder as a corpus: it lists its images itself, the same ones in the same order on every machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from unicodedata import normalize

from chatir.console import printable
from chatir.errors import InputError
from chatir.storage.files import os_error
from chatir.storage.image_formats import HEAD, UNREAD, image_format
from chatir.storage.image_names import image_problem

ENDINGS = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".avif"),
        *(".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
    )
)
"""Endings of files that are taken for images unseen; of any other file, the first bytes tell."""

Reason = tuple[str, str]
"""Why files are skipped: what one of them is, and what several are."""

NOT_IMAGES = "is not an image", "are not images"
LINKS = "is a link out of the folder", "are links out of the folder"
FOLDERS = "is a link to a folder, which is not followed", "are links to folders, which are not followed"
NAMES = "has a name that no list can hold", "have names that no list can hold"


def folder_images(folder: Path, root: Path, note: Callable[[str], None]) -> tuple[str, ...]:
    """The images in a folder and below it, as paths below `root`, which holds it, sorted.

    A file is an image by its ending or its first bytes, in a format that chatir reads. What is hidden (a name that
    begins with a dot) and `__MACOSX` are passed over, links to folders are not followed. note: called with one line if
    other files were skipped. Names are given in Unicode form NFC, whatever the file system makes of them.

    Raises InputError for a `root` that does not hold the folder, for no image, and for what cannot be read.
    """
    below, top = folder.resolve(), root.resolve()
    if not below.is_relative_to(top):
        raise InputError(f"--corpus {folder}: is not in --images {root}: name a folder in it, or leave --images out")
    images: list[str] = []
    skipped: dict[Reason, list[str]] = {}
    for file in _files(below):
        if reason := _skipped(file, top):
            skipped.setdefault(reason, []).append(file.relative_to(below).as_posix())
        else:
            images.append(normalize("NFC", file.relative_to(top).as_posix()))
    if skipped:
        told = (_told(reason, sorted(files)) for reason, files in sorted(skipped.items()))
        note(f"{folder}: skipped {'; '.join(told)}")
    if not images:
        raise InputError(f"--corpus {folder}: holds no image")
    return tuple(sorted(images))


def _files(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise os_error(error.filename or folder, error)

    for path, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        links = [name for name in folders if Path(path, name).is_symlink()]
        yield from (Path(path, name) for name in [*files, *links] if not name.startswith("."))


def _skipped(file: Path, root: Path) -> Reason | None:
    """Why a file is no image of a corpus, None if it is one."""
    try:
        if file.is_symlink() and not file.resolve(strict=True).is_relative_to(root):
            return LINKS
        if not file.is_file():
            return FOLDERS if file.is_dir() else NOT_IMAGES
        if file.suffix.lower() not in ENDINGS:
            with file.open("rb") as opened:
                known = image_format(opened.read(HEAD))
            if known is None or known in UNREAD:
                told = f"{known}, which chatir does not read"
                return NOT_IMAGES if known is None else (f"is {told}", f"are {told}")
    except FileNotFoundError:  # a link to nothing
        return NOT_IMAGES
    except OSError as error:
        raise os_error(file, error) from None
    return NAMES if image_problem(file.relative_to(root).as_posix()) else None


def _told(reason: Reason, files: list[str]) -> str:
    one, several = reason
    example = printable(files[0])
    return (
        f"1 file that {one}, {example}"
        if len(files) == 1
        else f"{len(files):,} files that {several}, for example {example}"
    )
