"""A run file's write-ahead log: bound to it by a mark that both hold, folded in before it grows large, and watched.

SQLite finds a log by its name alone: what a killed run left would flow into any other run file that comes to have that
name. So each log begins with a change of the mark that the run file holds when the log is empty, and a log without that
mark is another's.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from chatir.errors import InputError
from chatir.storage.files import os_error
from chatir.storage.sqlite import is_locked, log_of, opened_alone

BEGUN = 2
"""Transactions, at most, that are in the log before the file of a run of version 0.1 has its first mark."""
HEAD = 8192
"""Bytes at the beginning of a run file that tell it from others: they hold the header, and mark and configuration."""
MAGIC = (0x377F0682, 0x377F0683)
"""What a log begins with, by the byte order of its checksums: https://www.sqlite.org/fileformat2.html#wal_file_format"""
LARGEST = 4 * 2**20
"""Bytes of a log that are folded into the run file, as with SQLite's own 1,000 pages."""


class RunLog:
    """The log of a run file that this process has open to write.

    The mark is a fact of the run: `log:`, 32 random hex digits, and how often it was written. It is changed whenever
    the log is folded in, so that a log does not fit an older copy of its own run file either.
    """

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.file = path.resolve()
        self._log = log_of(self.file)
        self._db = db
        self._opened: int | None = os.open(self.file, os.O_RDONLY | os.O_CLOEXEC)
        self.begun = False
        """Whether this process has written to the log."""
        self._made: os.stat_result | None = None
        self._head = b""
        self.ours = True
        """Whether the file still holds what this process wrote, as far as is known."""

    def begin(self) -> None:
        """Fold in what is in the log, and begin it anew. Raises sqlite3.Error."""
        if not _size(self._log):
            self._write(_mark_of(self._db) or _new_mark())
        self.fold()

    def fold(self) -> None:
        """Move the log's content into the run file, and begin the log anew with another mark. Raises sqlite3.Error."""
        mark = _new_mark()
        self._write(mark)
        self.move()
        self.begun = False  # until the new log begins with its mark
        self._write(mark)
        self._made = self._log.stat() if self._log.exists() else None
        self.begun = True

    def fold_if_large(self) -> None:
        """`fold`, if the log is larger than `LARGEST`."""
        if _size(self._log) > LARGEST:
            self.fold()

    def move(self) -> None:
        """Move the log's content into the run file, wherever both are by now. Raises sqlite3.Error."""
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            self._head = self._read_head()  # on a full disk, perhaps with half of it

    def trouble(self) -> str | None:
        """What has happened to the file or its log while the run was on, None if nothing has."""
        if self._opened is None:
            return None
        found = os.fstat(self._opened)
        if not found.st_nlink:
            return f"{self.file}: was removed while its run was on"
        if not _is(self.file, found):
            return f"{self.file}: was renamed or moved while its run was on; its replies are all in it, where it is now"
        if self._made is not None and not _is(self._log, self._made):
            return f"{self._log}: was removed while its run was on; all replies that came are in {self.file.name}"
        if not self.begun:
            return None
        # SQLite writes on at the place it remembers: a log that was cut is soon as long as before, without a beginning.
        cut = self._made is not None and (_size(self._log) < self._made.st_size or not _begins_a_log(self._log))
        if cut or self._read_head() != self._head:
            self.ours = False
            changed = self._log if cut else self.file
            return f"{changed}: was changed by another program while its run was on; the run's replies may be lost"
        return None

    def _read_head(self) -> bytes:
        """The beginning of the file, which changes only as the log is folded in: more certain than its time."""
        return b"" if self._opened is None else os.pread(self._opened, HEAD, 0)

    def abandon(self) -> None:
        """Leave no log behind that is still in its place, after trouble."""
        if self._made is not None and _is(self._log, self._made):
            with suppress(OSError):
                self._log.unlink()

    def close(self) -> None:
        """Let the file go; only after its database is closed, whose locks would go with it (POSIX)."""
        if self._opened is not None:
            os.close(self._opened)
            self._opened = None

    def _write(self, mark: str) -> None:
        """Write the mark, so that its page is in the log: SQLite writes no page that does not change."""
        written = self._db.execute("SELECT value FROM run WHERE key = 'log'").fetchone()
        before, _, count = (written[0] if written else "").partition(" ")
        value = f"{mark} {int(count or 0) + 1 if before == mark else 0}"
        self._db.execute("INSERT OR REPLACE INTO run VALUES ('log', ?)", (value,))


def check_log(path: Path, remedy: str) -> None:
    """Raise InputError for a log, or a journal, that is not the run file's own; nobody has the file open.

    A run file without a mark, of version 0.1, is taken for the owner of a log of version 0.1. remedy: what to do about
    another's.
    """
    file = path.resolve()  # the log is beside the file itself, not beside a link to it
    journal = file.with_name(f"{file.name}-journal")
    if _size(journal):  # a run file has none
        raise InputError(f"{journal}: does not belong to {path.name}; {remedy}")
    log = log_of(file)
    try:
        content = log.read_bytes() if _size(log) else b""
    except OSError as error:
        raise os_error(log, error) from None
    if not (changes := _changes(content)):
        return
    mark = _mark_in(file)
    ours = mark.encode() in content if mark is not None else changes <= BEGUN or b"log:" not in content
    if not ours and not is_locked(file):
        old = "" if b"log:" in content else " If chatir 0.1 went on with this run, open it with that version once."
        raise InputError(f"{log}: belongs to another run than {path.name}, and may hold replies of it; {remedy}.{old}")


def _changes(log: bytes) -> int:
    """Transactions in a log that were completed: https://www.sqlite.org/fileformat2.html#wal_file_format"""
    page_size = int.from_bytes(log[8:12], "big")
    frames = range(32, len(log) - 24 - page_size + 1, 24 + page_size)
    return sum(log[start + 4 : start + 8] != bytes(4) for start in frames)


def _mark_in(file: Path) -> str | None:
    """The mark in the file itself, whatever its log says; None where it holds none, or cannot be read."""
    try:
        with closing(opened_alone(file)) as db:
            return _mark_of(db)
    except sqlite3.Error:  # half of the log was folded in when the power went: SQLite completes it
        return None


def _mark_of(db: sqlite3.Connection) -> str | None:
    found = db.execute("SELECT value FROM run WHERE key = 'log'").fetchone()
    return found[0].partition(" ")[0] if found else None


def _new_mark() -> str:
    return f"log:{secrets.token_hex(16)}"


def _begins_a_log(file: Path) -> bool:
    """Whether a file has a log's first bytes. Opening it anew frees no lock: SQLite has none on the log itself."""
    try:
        with file.open("rb") as log:
            return int.from_bytes(log.read(4), "big") in MAGIC
    except OSError:
        return False


def _is(file: Path, found: os.stat_result) -> bool:
    """Whether a path still names the file that was found there."""
    try:
        return os.path.samestat(file.stat(), found)
    except OSError:
        return False


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
