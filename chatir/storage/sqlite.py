"""The files of a SQLite database: made by one process at a time, beside no file of a database that is gone."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from chatir.errors import InputError
from chatir.storage.files import locked, opened_folder, os_error

BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite puts beside a database, and replays into whatever has the database's name when it is next opened."""

LOCK_BYTES = 2**30, 512
"""Where SQLite locks a file, and how many bytes there: https://www.sqlite.org/fileformat2.html#the_lock_byte_page"""


def opened_alone(file: Path) -> sqlite3.Connection:
    """A database read as its file holds it, whatever its log says; nothing is locked and nothing made."""
    address = f"{file.as_uri()}?mode=ro&immutable=1"
    return sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)


def log_of(path: Path) -> Path:
    """A database's write-ahead log."""
    return path.with_name(f"{path.name}-wal")


@contextmanager
def making(path: Path, note: Callable[[str], None]) -> Iterator[None]:
    """A database of that name is made inside `with`, unless it is there by then; other processes wait.

    Set aside first, with a note, is what a database of that name has left that is gone: SQLite would take its pages
    for the new one's. Raises InputError where that cannot be done.
    """
    try:
        with opened_folder(path.parent) as folder:
            with suppress(OSError):  # a file system without locks
                locked(folder, wait=True)
            if not path.exists():
                _set_orphans_aside(path, note)
            yield
    except OSError as error:
        raise os_error(path, error) from None


def _set_orphans_aside(path: Path, note: Callable[[str], None]) -> None:
    for file in (path.with_name(path.name + end) for end in BESIDE):
        if file.exists() and not file.stat().st_size:
            file.unlink()
        elif file.exists():
            aside = free_name(file)
            file.rename(aside)
            note(f"{file}: is left over from a removed {path.name}; renamed to {aside.name}, not used")


def free_name(file: Path) -> Path:
    """A name to keep a file under: its own with `.old1`, `.old2` ..., the first that is free."""
    number = 1
    while (aside := file.with_name(f"{file.name}.old{number}")).exists():
        number += 1
    return aside


def check_one_name(path: Path) -> None:
    """Raise InputError for a file with further names (hard links): each would have a log of its own.

    A name that a killed process gave it as it was being made does not count.
    """
    found = path.stat()
    part = path.with_name(f".{path.name}.part")
    with suppress(OSError):
        if found.st_nlink == 2 and part.samefile(path):
            return
    if found.st_nlink > 1:
        raise InputError(
            f"{path}: has {found.st_nlink} names (hard links), but a run file must have one: "
            f"cp '{path}' '{path}.copy' && mv '{path}.copy' '{path}' gives this one a file of its own"
        )


def is_locked(file: Path) -> bool:
    """Whether another process has locked a database to write it. This is asked without taking a lock."""
    what, where = (fcntl.F_RDLCK, os.SEEK_SET), (*LOCK_BYTES, 0)
    # The system's `struct flock` begins with the lock's type, or (BSD, macOS) ends with it and `whence`.
    first = sys.platform == "linux"
    layout, question = ("hhqqi", what + where) if first else ("qqihh", where + what)
    try:
        with file.open("rb") as opened:
            answer = fcntl.fcntl(opened, fcntl.F_GETLK, struct.pack(layout, *question))
    except OSError:  # a file system without locks: nobody can have one
        return False
    return bool(struct.unpack(layout, answer)[0 if first else 3] != fcntl.F_UNLCK)
