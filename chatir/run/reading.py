"""Opening a run file to read it only: no byte of it or beside it changes, and no run that begins meanwhile is refused.

SQLite alone cannot do that for a file with a write-ahead log: it locks the file, and makes or folds in the log.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from chatir.errors import InputError
from chatir.run.log import check_log
from chatir.run.schema import (
    TO_READ,
    RunInUseError,
    check_content,
    check_header,
    connect,
    database_errors,
    is_open_here,
)
from chatir.storage.files import os_error
from chatir.storage.sqlite import is_locked, log_of, opened_alone

Stamp = tuple[int, int, int, int]


@contextmanager
def read_database(path: Path) -> Iterator[sqlite3.Connection]:
    """An existing run file, to read from inside `with`; also what a killed run left in its log.

    Raises InputError for one that is not ours or damaged; RunInUseError for one that is being written, or that was
    written before the end of `with`: what was read may be of two moments then.
    """
    # Before any look at the file: a process loses its locks on a file when it closes any handle to it (POSIX).
    if is_open_here(path):
        raise RunInUseError(f"{path}: this process is writing this run")
    check_header(path, TO_READ)
    file = path.resolve()  # the log is beside the file itself, not beside a link to it
    before = _stamps(file)
    if is_locked(file):
        raise RunInUseError(f"{path}: another chatir is writing this run; wait for it, or stop it")
    try:
        with ExitStack() as stack:
            check_log(path, TO_READ.other)
            with database_errors(path, TO_READ):
                db = stack.enter_context(_connection(path, file, has_log=before[1] is not None))
                check_content(path, db, TO_READ)
            yield db
    except InputError:
        _check_unchanged(path, file, before)
        raise
    _check_unchanged(path, file, before)


@contextmanager
def _connection(path: Path, file: Path, *, has_log: bool) -> Iterator[sqlite3.Connection]:
    if not has_log:
        with closing(opened_alone(file)) as db:  # what changes all the same is told by the stamps
            yield db
        return
    # A killed run's log is folded in where it is opened, so that is done to a copy.
    with ExitStack() as stack:
        try:
            copy = Path(stack.enter_context(TemporaryDirectory(prefix="chatir-")), "copy.run")
            shutil.copyfile(file, copy)
            shutil.copyfile(log_of(file), log_of(copy))
        except OSError as error:
            told = f"{path}: its run was killed, and it cannot be copied to a temporary folder to be read"
            raise InputError(f"{told}: {(error.strerror or str(error)).lower()}; TMPDIR names another place") from None
        with closing(connect(copy)) as db:
            db.execute("PRAGMA query_only = ON")
            yield db


def _stamps(file: Path) -> tuple[Stamp | None, Stamp | None]:
    """What tells that the file or its log has changed; None for what is not there, and for an empty log."""
    log = _stamp(log_of(file))
    return _stamp(file), log if log and log[2] else None


def _stamp(file: Path) -> Stamp | None:
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise os_error(file, error) from None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _check_unchanged(path: Path, file: Path, before: tuple[Stamp | None, Stamp | None]) -> None:
    if _stamps(file) != before:
        raise RunInUseError(f"{path}: was written while it was read; wait for its run to end, or stop it")
