"""The run file's tables, and opening one: ours and whole, or refused before a byte of it changes."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from chatir.errors import InputError
from chatir.run.log import check_log
from chatir.storage.files import os_error, part_of
from chatir.storage.sqlite import check_one_name, making

APPLICATION_ID = int.from_bytes(b"ctIR", "big")
SCHEMA_VERSION = 2
SCHEMA = """
CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sessions (
    session INTEGER PRIMARY KEY, started TEXT NOT NULL, seconds REAL NOT NULL, provenance TEXT NOT NULL
);
CREATE TABLE exports (sha256 TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE dialogs (
    position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, image TEXT NOT NULL, caption TEXT NOT NULL,
    extra TEXT NOT NULL, digest TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'done', 'stopped', 'failed')), repeats INTEGER
);
CREATE TABLE replies (
    reply INTEGER PRIMARY KEY, session INTEGER NOT NULL,
    position INTEGER NOT NULL, round INTEGER NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('question', 'answer', 'observe')),
    text TEXT, raw TEXT, kind TEXT, message TEXT,
    tokens_in INTEGER, tokens_out INTEGER, cost REAL, seconds REAL NOT NULL, memory TEXT
);
CREATE UNIQUE INDEX good_replies ON replies (position, round, role) WHERE kind IS NULL;
CREATE INDEX failures ON replies (position, round, role) WHERE kind IS NOT NULL;
"""

# Made when the first reply has notes, so that version 0.1 reads files of this version too.
NOTES = "CREATE TABLE IF NOT EXISTS notes (reply INTEGER PRIMARY KEY REFERENCES replies, notes TEXT NOT NULL)"


WRITES = (sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_TRUNCATE)
"""What SQLite makes of a full quota, and of other trouble with writing."""

OPEN_HERE: set[Path] = set()
"""Run files that this process has open to write."""


class RunInUseError(InputError):
    """Another process, or another run in this one, is writing the run file."""


class FullDiskError(InputError):
    """There is no more room for the run file: the disk is full, or a quota."""


@dataclass(frozen=True)
class Remedies:
    """What to do about a file that is none of ours (other), that is damaged, or where the system failed."""

    other: str
    damaged: str
    failed: str


TO_WRITE = Remedies(
    other="move it away, or name another --out",
    damaged="--fresh keeps it aside and starts anew",
    failed="what was committed before is kept",
)
TO_READ = Remedies(*3 * ["move it away to go on without it"])


@contextmanager
def database_errors(path: Path, remedies: Remedies = TO_WRITE) -> Iterator[None]:
    """Turn what SQLite and the system say of the file into one line that names it.

    Raises RunInUseError where another process has it locked, InputError for all other trouble.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise RunInUseError(f"{path}: another chatir is writing this run; wait for it, or stop it") from None
        if "no such" in str(error):  # table or column
            raise _damaged(path, error, remedies) from None
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise FullDiskError(f"{path}: the disk is full; {remedies.failed}") from None
        if error.sqlite_errorcode in WRITES:
            raise FullDiskError(f"{path}: {error}: perhaps the disk or a quota is full; {remedies.failed}") from None
        raise InputError(f"{path}: {error}; {remedies.failed}") from None
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise _damaged(path, error, remedies) from None


def _damaged(path: Path, error: Exception, remedies: Remedies) -> InputError:
    return InputError(f"{path}: the run file is damaged ({error}); {remedies.damaged}")


def create_database(
    path: Path, facts: Mapping[str, str], note: Callable[[str], None] = lambda line: None
) -> sqlite3.Connection:
    """Create a run file that holds these facts of its run, whole or not at all, and open it.

    note: called with a line about a log that a removed run file has left, and that is set aside. Raises RunInUseError
    where another process was faster, InputError where it cannot be made.
    """
    content = _new_database(facts)
    with making(path, note), part_of(path) as (part, file):
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        try:
            os.link(part, path)
        except FileExistsError:
            raise RunInUseError(f"{path}: another chatir has just begun this run") from None
        except OSError:  # no hard links on this file system: claim the name first
            path.touch(exist_ok=False)
            part.replace(path)
    return open_database(path)


def _new_database(facts: Mapping[str, str]) -> bytes:
    """A run file's content, made in memory: no lock of SQLite's ever meets that of the part file.

    The header that tells whose file it is must be in the file itself, so no write-ahead log is used before the end.
    """
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; {SCHEMA}")
        db.executemany("INSERT INTO run VALUES (?, ?)", facts.items())
        content = bytearray(db.serialize())
    content[18:20] = (
        b"\2\2"  # to be opened with a log: https://www.sqlite.org/fileformat2.html#file_format_version_numbers
    )
    return bytes(content)


def open_database(path: Path) -> sqlite3.Connection:
    """Open an existing run file.

    Raises InputError for one that is not ours or damaged, and RunInUseError for one that is in use.
    """
    # Before any look at the file: a process loses its locks on a file when it closes any handle to it (POSIX).
    if is_open_here(path):
        raise RunInUseError(f"{path}: this process is writing this run already")
    check_header(path, TO_WRITE)
    for place in (path, path.resolve().parent):
        if not os.access(place, os.W_OK):
            raise InputError(f"{path}: permission denied: {place} cannot be written to")
    check_log(path, TO_WRITE.other)
    with database_errors(path):
        db = connect(path)
        try:
            check_content(path, db, TO_WRITE)
        except BaseException:
            db.close()
            raise
        OPEN_HERE.add(path.resolve())
        return db


def is_open_here(path: Path) -> bool:
    """Whether this process has the run file open to write it."""
    return path.resolve() in OPEN_HERE


def connect(path: Path) -> sqlite3.Connection:
    """A connection that has the file alone from its first look on."""
    db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    # Exclusive: no shared memory (so it works on network file systems), and a lock that ends with the process.
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA wal_autocheckpoint = 0")  # the log is folded in by RunLog only
    return db


def check_header(path: Path, remedies: Remedies) -> None:
    """Look at the file's first bytes without SQLite, whose opening alone may change another program's file.

    Raises InputError for what is no run file, or cannot be read.
    """
    if not path.is_file():
        raise InputError(f"{path}: is not a run file; {remedies.other}")
    try:
        with path.open("rb") as file:
            head = file.read(100)
    except OSError as error:
        raise os_error(path, error) from None
    if head[:16] != b"SQLite format 3\0" or len(head) < 100:
        raise InputError(f"{path}: is not a run file; {remedies.other}")
    if int.from_bytes(head[68:72], "big") != APPLICATION_ID:
        raise InputError(f"{path}: is a database of another program; {remedies.other}")
    check_one_name(path)


def check_content(path: Path, db: sqlite3.Connection, remedies: Remedies) -> None:
    """Raise InputError for a damaged file, and for one of another format; sqlite3's errors are let through."""
    (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(" ".join(verdict.split()))
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version != SCHEMA_VERSION:
        told = f"{path}: is a run file of format {version}; this chatir reads {SCHEMA_VERSION}"
        raise InputError(f"{told}; {remedies.damaged}")
