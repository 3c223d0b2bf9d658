"""Reading text that others wrote, and writing files so that a half-written one is never seen."""

from __future__ import annotations

import codecs
import hashlib
import io
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from chatir.errors import InputError


def os_error(path: Path | str, error: OSError) -> InputError:
    """An operating system's error as one line that names the file."""
    return InputError(f"{path}: {(error.strerror or str(error)).lower()}")


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """Open a UTF-8 text file (a byte order mark is skipped); every way to fail is an InputError that names it."""
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a directory, but a file is needed")
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is a pipe or a device, but is read more than once: save it as a file first")
        with path.open("rb") as file:
            head = file.peek(4)
            if not head:
                raise InputError(f"{path}: is empty")
            if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise InputError(f"{path}: is UTF-16 text; save it as UTF-8")
            with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
                yield text
    except UnicodeDecodeError as error:
        # Its position counts from the block that was being decoded, so the place is told by what stands before it.
        bad, before = error.object[error.start], error.object[max(error.start - 20, 0) : error.start]
        place = f"byte {bad:#04x} after {before.decode(errors='replace')!r}"
        raise InputError(f"{path}: is not UTF-8 text ({place}: {error.reason})") from None
    except (OSError, ValueError) as error:
        if isinstance(error, OSError):
            raise os_error(path, error) from None
        raise InputError(f"{path}: {error}") from None


def parse_json(text: str, where: str) -> Any:
    """Parse JSON. Raises InputError that names `where` and the place in it, for a key that stands twice too."""
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise InputError(f"{where}: is not valid JSON: {error.msg} ({line}column {error.colno})") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: is not JSON that can be read: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return result


def read_json(path: Path) -> Any:
    """Read a JSON file; every way to fail is an `InputError` that names it."""
    with open_text(path) as file:
        text = file.read()
    return parse_json(text, str(path))


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hex. Raises InputError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise os_error(path, error) from None


@contextmanager
def atomic_writer(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that appears whole or not at all.

    A temporary file in the same folder, flushed to the disk, then renamed over `path`. Raises InputError when the
    file cannot be written; what was there before is then untouched, as it is after any other error inside `with`.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        file = part.open("xb")
    except OSError as error:
        raise os_error(path, error) from None
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise os_error(path, error) from None
        raise


def _sync_folder(folder: Path) -> None:
    """Make a rename in this folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems have no such thing
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
