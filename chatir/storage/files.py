"""Reading text that others wrote, and writing files so that a half-written one is never seen."""

from __future__ import annotations

import codecs
import fcntl
import hashlib
import io
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from chatir.errors import InputError

PATIENCE = 10.0
"""Seconds to wait for another process that writes the same file."""


def os_error(path: Path | str, error: OSError) -> InputError:
    """An operating system's error as one line that names the file."""
    return InputError(f"{path}: {(error.strerror or str(error)).lower()}")


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """Open a UTF-8 text file, or a UTF-16 one that has a byte order mark; a mark is skipped.

    Every way to fail is an InputError that names the file.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a directory, but a file is needed")
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is a pipe or a device, but is read more than once: save it as a file first")
        with path.open("rb") as file:
            head = file.peek(4)
            if not head:
                raise InputError(f"{path}: is empty")
            utf_16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
            with io.TextIOWrapper(file, encoding="utf-16" if utf_16 else "utf-8-sig", newline="") as text:
                yield text
    except UnicodeDecodeError as error:
        # Its position counts from the block that was being decoded, so the place is told by what stands before it.
        bad, before = error.object[error.start], error.object[max(error.start - 20, 0) : error.start]
        place = f"byte {bad:#04x} after {before.decode(error.encoding, errors='replace')!r}"
        encoding = "UTF-16" if error.encoding.startswith("utf-16") else "UTF-8"
        raise InputError(f"{path}: is not {encoding} text ({place}: {error.reason})") from None
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
    with part_of(path) as (part, file):
        yield file
        file.flush()
        os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)


@contextmanager
def part_of(path: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """An empty file beside `path`, to be filled and renamed; this process alone has it, and it is gone after `with`.

    Its name is `.NAME.part`, so that the next call reuses what a killed process left; another one, where another
    process keeps that for longer than `PATIENCE`. Raises InputError when it cannot be made, and for any OSError inside
    `with`.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part, descriptor = _claimed(part)
    except OSError as error:
        raise os_error(path, error) from None
    try:
        with open(part, "r+b", opener=lambda *_: descriptor) as file:
            try:
                file.truncate()
                yield part, file
            finally:
                with suppress(OSError):
                    if _is_at(descriptor, part):  # once renamed, that name is another's to take
                        part.unlink()
    except OSError as error:
        raise os_error(path, error) from None


def _claimed(part: Path) -> tuple[Path, int]:
    """A part file that this process alone has, and its descriptor. Raises OSError."""
    deadline = time.monotonic() + PATIENCE
    with suppress(OSError):  # a file system without locks, or another user's file
        while time.monotonic() < deadline:
            descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
            try:
                if locked(descriptor) and _is_at(descriptor, part):
                    if os.fstat(descriptor).st_nlink == 1:
                        return part, descriptor
                    part.unlink()  # the second name of a file that was whole when its process was killed
            except OSError:
                part.unlink(missing_ok=True)
                os.close(descriptor)
                raise
            os.close(descriptor)
            time.sleep(0.01)
    part = part.with_suffix(f".{secrets.token_hex(4)}.part")
    return part, os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)


def locked(descriptor: int, *, wait: bool = False) -> bool:
    """Lock an open file or folder for this process until it is closed; False if another process has the lock.

    wait: for the other process. Raises OSError on a file system without such locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether a path still names the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


@contextmanager
def part_folder_of(folder: Path) -> Iterator[Path]:
    """As `part_of`, an empty folder beside `folder`; whoever fills it renames it. Raises InputError."""
    part = folder.with_name(f".{folder.name}.part")
    try:
        part.mkdir(exist_ok=True)
        with opened_folder(part) as descriptor:
            with suppress(OSError):  # a file system without locks
                if not locked(descriptor):
                    raise InputError(f"{folder}: another process is writing it; wait for it, or name another one")
            try:
                _empty(part)
                yield part
            finally:
                if _is_at(descriptor, part):
                    shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise os_error(folder, error) from None


def _empty(folder: Path) -> None:
    for each in folder.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


@contextmanager
def opened_folder(folder: Path) -> Iterator[int]:
    """A folder's descriptor."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Make a rename in this folder survive a power cut."""
    with opened_folder(folder) as descriptor, suppress(OSError):  # some network file systems have no such thing
        os.fsync(descriptor)
