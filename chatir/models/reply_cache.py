"""The reply cache: what models replied before, in one SQLite file that runs may share; off unless asked for."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatir.errors import InputError
from chatir.storage.files import os_error
from chatir.storage.sqlite import making

APPLICATION_ID = int.from_bytes(b"ctRC", "big")
FORMAT = 1
BUSY_SECONDS = 30.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    sha256 TEXT PRIMARY KEY, backend TEXT NOT NULL, model TEXT NOT NULL,
    key TEXT NOT NULL, value TEXT NOT NULL, kept REAL NOT NULL, used REAL NOT NULL
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class CachedModel:
    """What a cache holds of one model.

    backend, model: what runs it, and its name with its revision. replies: how many. size: characters of JSON, all
    ASCII. used: when one was last kept or used (seconds since 1970).
    """

    backend: str
    model: str
    replies: int
    size: int
    used: float


_OPENING = threading.Lock()
"""One at a time: while a file gets its write-ahead log, SQLite turns others away at once and lets nobody wait."""


class ReplyCache:
    """Values by what fixes them; values and keys are plain JSON data.

    A key must name all that a reply depends on: backend, model, revision, every sampling option, seed and the
    full messages. It is kept whole beside its hash, so that a reader can see whose reply it is. Threads and
    processes may share a file.

    create: make the file where there is none. note: called with a line about what a removed cache of that name has
    left, which is set aside. Raises InputError for a file that is no reply cache or damaged, and from
    every method where it cannot be used.
    """

    def __init__(self, path: Path, *, create: bool = True, note: Callable[[str], None] = lambda line: None) -> None:
        self.path = path
        self._lock = threading.Lock()
        with _OPENING, self._errors():
            _check_file(path, create=create, note=note)
            self._db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            try:
                self._set_up()
            except BaseException:
                self._db.close()
                raise

    def _set_up(self) -> None:
        """Make the tables where there are none. Raises InputError for a file that is no whole reply cache."""
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version not in (0, FORMAT):
            raise InputError(
                f"{self.path}: is a reply cache of format {version}; this chatir reads {FORMAT}; name another file"
            )
        (verdict,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise InputError(f"{self.path}: the reply cache is damaged; move it away, or name another file")
        if version == 0:  # no write-ahead log yet: the header that tells whose file it is must be in the file
            self._db.executescript(
                f"PRAGMA application_id = {APPLICATION_ID}; {_SCHEMA} PRAGMA user_version = {FORMAT};"
            )
        (mode,) = self._db.execute("PRAGMA journal_mode").fetchone()
        if mode != "wal":
            self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")  # a cache may lose its last replies to a power cut

    def get(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """What was kept under this very key, None if nothing was, or if it is damaged."""
        text = _text(key)
        with self._locked():
            name = _hash(text)
            row = self._db.execute("SELECT value, key FROM replies WHERE sha256 = ?", (name,)).fetchone()
            if row is None or row[1] != text:
                return None
            with suppress(sqlite3.OperationalError):  # a full disk keeps nobody from reading
                self._db.execute("UPDATE replies SET used = ? WHERE sha256 = ?", (time.time(), name))
        try:
            value = json.loads(row[0])
        except (TypeError, ValueError):
            return None
        return value if isinstance(value, dict) else None

    def put(self, key: Mapping[str, Any], value: Mapping[str, Any]) -> None:
        """Keep a value under its key, which names its `backend` and `model`; an older one gives way."""
        text, now = _text(key), time.time()
        row = (_hash(text), str(key["backend"]), _model(key), text, json.dumps(dict(value)), now, now)
        with self._locked():
            self._db.execute("INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def models(self) -> list[CachedModel]:
        """What is kept, by model."""
        query = (
            "SELECT backend, model, count(*), sum(length(key) + length(value)), max(used) FROM replies "
            "GROUP BY backend, model ORDER BY backend, model"
        )
        with self._locked():
            return [CachedModel(*row) for row in self._db.execute(query)]

    def prune(self, *, unused_days: float | None = None, model: str | None = None) -> int:
        """Forget replies, and tell how many: those not used for so many days, of a model, or, given both, both at once.

        model: as `models` names it. Without either, all is forgotten. Raises InputError for less than no days.
        """
        if unused_days is not None and not unused_days >= 0:
            raise InputError(f"unused_days is {unused_days}, but must be at least 0")
        before = time.time() - unused_days * 86_400 if unused_days is not None else float("inf")
        with self._locked():
            gone = self._db.execute(
                "DELETE FROM replies WHERE used <= ? AND (? IS NULL OR model = ?)", (before, model, model)
            ).rowcount
            self._db.execute("VACUUM")
        return gone

    def close(self) -> None:
        """Close the file."""
        with self._locked():
            self._db.close()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock, self._errors():
            yield

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, ValueError) as error:
            raise InputError(f"{self.path}: the reply cache cannot be used: {error}") from None


def _model(key: Mapping[str, Any]) -> str:
    """A model as it is listed: its name, and its revision where there is one."""
    model = key["model"]
    if not isinstance(model, Mapping):
        return str(model)
    revision = model.get("revision") or model.get("sha256")
    return f"{model.get('id')}@{str(revision)[:12]}" if revision else str(model.get("id"))


def _text(key: Mapping[str, Any]) -> str:
    return json.dumps(key, sort_keys=True)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _check_file(path: Path, *, create: bool, note: Callable[[str], None]) -> None:
    """Look before SQLite does, whose opening alone may change another program's file."""
    if path.suffix == ".json":
        raise InputError(f"{path}: the reply cache is no JSON; give it a name with another ending")
    try:
        if path.exists() and not path.is_file():
            kind = "a directory" if path.is_dir() else "a pipe or a device"
            raise InputError(f"{path}: is {kind}, but the reply cache is a file")
        if not path.exists():
            if not create:
                raise InputError(f"{path}: there is no such reply cache")
            path.parent.mkdir(parents=True, exist_ok=True)
            with making(path, note):
                path.touch()
            return
        with path.open("rb") as file:
            head = file.read(100)
    except OSError as error:
        raise os_error(path, error) from None
    ours = head[:16] == b"SQLite format 3\0" and int.from_bytes(head[68:72], "big") == APPLICATION_ID
    if not ours and (head or not create):
        raise InputError(f"{path}: is not a reply cache; name another file")
