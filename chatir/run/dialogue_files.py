"""Which files are dialogue files, where a folder or everything in one is named."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chatir.console import printable
from chatir.errors import InputError
from chatir.storage.files import os_error, read_json

OWN = (".run", "-wal", "-shm", "-journal", ".kept", ".part")
"""How other files that chatir writes beside dialogue files end; `.kept`: set aside by `--fresh`."""
SQLITE = b"SQLite format 3\0"
HEAD = 4096
"""Bytes from which most files can be told."""
NAMED = 3
"""Skipped files that the note names."""


def is_other(path: Path) -> bool:
    """Whether a file is certainly no dialogue file; False for one that is, or that is a damaged one, or cannot be read.

    It is something else if its name ends as one of `OWN`, if it is a SQLite database, if its JSON has another shape
    than a list of objects with `img` or `dialog`, and if it is neither named `.json` nor a JSON list.
    """
    if path.name.endswith(OWN):
        return True
    try:
        if not path.is_file():  # nor a pipe, which would never end
            return False
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return False
    if head.startswith(SQLITE):
        return True
    text = _decoded(head).lstrip()
    named_json = path.suffix.lower() == ".json"
    if not text.startswith("["):
        return text.startswith("{") or not named_json
    first = text[1:].lstrip()
    if first.startswith("{") and ('"img"' in first or '"dialog"' in first):
        return False
    if first and first[0] not in "{]":
        return True
    try:
        data = read_json(path)
    except InputError:
        return not named_json
    return bool(data) and not any(map(_is_dialog, data))


def is_folder(path: Path) -> bool:
    """Whether a path is a folder; False also for one that cannot be looked at, which reading it tells."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _decoded(head: bytes) -> str:
    utf_16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return head.decode("utf-16" if utf_16 else "utf-8-sig", errors="ignore")


def _is_dialog(item: Any) -> bool:
    return isinstance(item, dict) and ("img" in item or "dialog" in item)


def dialogue_files(named: Sequence[Path], note: Callable[[str], None]) -> list[Path]:
    """The dialogue files among those named; a folder, where only folders are named, stands for the files in it.

    What is no dialogue file is left out where several are named. note: called with a line that says so. A single file
    is given back whatever it is, and so is a file that is damaged or not there: reading it tells what is wrong.

    Raises InputError where none of several is a dialogue file, and for a folder that cannot be read.
    """
    folders = bool(named) and all(map(is_folder, named))
    files = [file for folder in named for file in _files_in(folder)] if folders else list(named)
    if len(named) < 2 and not folders:
        return files
    left_out = [path for path in files if is_folder(path) or is_other(path)]
    kept = [path for path in files if path not in left_out]
    if not kept:
        there = f"none of the {len(files):,} files named" if not folders else f"no file in {', '.join(map(str, named))}"
        raise InputError(f"{there} is a dialogue file; 'chatir runs' lists what a folder holds")
    beside = {path.with_suffix(".run") for path in kept}
    if others := [path for path in left_out if path not in beside and not is_folder(path)]:
        note(_skipped(others))
    for path in filter(is_folder, left_out):
        note(
            f"{printable(str(path))}: is a folder among files and is skipped; name it alone to compare the files in it"
        )
    for path in left_out:
        if path.suffix == ".run" and not any(map(os.path.lexists, map(path.with_suffix, (".json", ".json.kept")))):
            note(f"{path}: has no dialogue file yet and is not compared; 'chatir simulate' continues the run")
    return kept


def _files_in(folder: Path) -> list[Path]:
    """The files of a folder by name, but for hidden ones; not those in folders below."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and not is_folder(path))
    except OSError as error:
        raise os_error(folder, error) from None


def _skipped(files: Sequence[Path]) -> str:
    names = ", ".join(printable(str(path)) for path in files[:NAMED])
    if len(files) == 1:
        return f"skipped a file that is not a dialogue file: {names}"
    more = f" and {len(files) - NAMED:,} more" if len(files) > NAMED else ""
    return f"skipped {len(files):,} files that are not dialogue files: {names}{more}"
