"""The run file: the truth of a run, in SQLite. The dialogue JSON is exported from it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Any

from chatir.dialog import UNUSABLE, Dialog, Round
from chatir.errors import InputError
from chatir.run.log import RunLog
from chatir.run.reading import read_database
from chatir.run.reserve import Reserve
from chatir.run.rows import (
    MOST_TOKENS,
    FailedDialog,
    Learnt,
    Recorded,
    ReplyRow,
    Role,
    RoleTotals,
    State,
    StateRow,
    reply_values,
    target_digest,
)
from chatir.run.schema import (
    NOTES,
    OPEN_HERE,
    TO_READ,
    TO_WRITE,
    FullDiskError,
    create_database,
    database_errors,
    open_database,
)

EVERY = 2**62
"""Above every position: all targets of the run."""


_LEFT: list[sqlite3.Connection] = []
"""Databases that are not closed before the process ends."""


class RunFile:
    """An open run file; unless it is only read, this process is its only user until `close`.

    Raises InputError for all that goes wrong.
    """

    def __init__(self, path: Path, db: sqlite3.Connection, *, reading: bool = False) -> None:
        self.path = path
        self._db = db
        self._reading = reading
        self._log = None if reading else RunLog(path, db)
        self._reserve: Reserve | None = None
        self._session = 0
        self._provenance: dict[str, Any] = {}
        self._learnt: Learnt | None = None

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any], note: Callable[[str], None] = lambda line: None) -> RunFile:
        """Create the file, with everything that fixes the run's result. Raises InputError, also where it exists.

        note: called with a line about the log of a removed run file of that name, which is set aside.
        """
        return cls(path, create_database(path, {"config": json.dumps(config)}, note))

    @classmethod
    def open(cls, path: Path) -> RunFile:
        """Open an existing run file. Raises InputError for one that is not ours, damaged or in use; it is unchanged."""
        return cls(path, open_database(path))

    @classmethod
    @contextmanager
    def reading(cls, path: Path) -> Iterator[RunFile]:
        """An existing run file to read only, inside `with`: nothing on the disk changes, and no run is in the way.

        Raises InputError as `open` does, and RunInUseError also where the file was written before the end of `with`.
        """
        with read_database(path) as db:
            yield cls(path, db, reading=True)

    def close(self) -> None:
        """Close the file; what was committed is in it."""
        if self._reserve is not None:
            self._reserve.release()
        if self._log is None:
            self._db.close()
            return
        OPEN_HERE.discard(self._log.file)
        if self._log.trouble() is not None:
            if not self._log.ours:
                _LEFT.append(self._db)  # closing it would write into what another program has put there
                return
            self._log.abandon()
        with database_errors(self.path):
            self._db.close()
        self._log.close()

    @property
    def config(self) -> dict[str, Any]:
        """Everything that determines the run's result, with the options that a server's refusals have changed."""
        adapted = self._fact("adapted_config")
        return self.given_config if adapted is None else self._plain(adapted, "its configuration")

    @property
    def given_config(self) -> dict[str, Any]:
        """The configuration with which the run was begun."""
        return self._plain(self._fact("config") or "", "its configuration")

    @property
    def adapted(self) -> dict[str, dict[str, Any]]:
        """By role, the options of its player that a server's refusals have changed."""
        adapted = self._fact("adapted")
        return {} if adapted is None else self._plain(adapted, "what was adapted")

    @property
    def untold(self) -> float:
        """US dollars that replies which do not tell their cost can have cost at most, over all sessions."""
        return float(self._fact("untold") or 0)

    def _fact(self, key: str) -> str | None:
        with database_errors(self.path, TO_READ if self._reading else TO_WRITE):
            row = self._db.execute("SELECT value FROM run WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def exported(self, sha256: str) -> bool:
        """Whether a dialogue JSON with this hash was exported from the run."""
        return next(self.rows("SELECT 1 FROM exports WHERE sha256 = ?", sha256), None) is not None

    def belongs_to(self, sha256: str) -> bool:
        """Whether it is that of a dialogue file with this hash: its run wrote the file, or it holds its ranks."""
        return self.exported(sha256) or self.config.get("imported") == sha256

    def note_export(self, sha256: str, part: int | None = None) -> None:
        """Keep the hash of a dialogue JSON, before it takes its place. part: of the first so many targets only."""
        with self.transaction():
            self._db.execute("INSERT OR IGNORE INTO exports VALUES (?)", (sha256,))
            self._db.execute("DELETE FROM run WHERE key = ?", (f"part {sha256}",))
            if part is not None:
                self._db.execute("INSERT INTO run VALUES (?, ?)", (f"part {sha256}", part))

    def part(self, sha256: str) -> int:
        """How many of the run's first targets a dialogue JSON with this hash is about; `EVERY` for all of them."""
        return int(self._fact(f"part {sha256}") or EVERY)

    def start_session(self, provenance: Mapping[str, Any]) -> None:
        """Begin one sitting of the run; replies are recorded as of it, and its seconds count."""
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._provenance = dict(provenance)
        if self._reserve is None:
            self._reserve = Reserve(self.path)
        with self.transaction():
            insert = "INSERT INTO sessions (started, seconds, provenance) VALUES (?, 0, ?)"
            self._session = self._db.execute(insert, (started, json.dumps(provenance))).lastrowid or 0

    def commit(
        self,
        targets: Sequence[tuple[int, Dialog]],
        replies: Sequence[ReplyRow],
        states: Sequence[StateRow],
        seconds: float,
        learnt: Learnt | None = None,
    ) -> None:
        """Make new dialogs, replies and states durable together; `seconds` is the session's length so far.

        targets: with their positions. learnt: what the session has found out so far, None for nothing. Raises
        InputError for a target whose id is known; the replies and states, and the targets before it, are durable all
        the same. Raises FullDiskError where the disk is full; they are durable, too, if the room that the session has
        kept for them was enough.
        """
        try:
            self._commit(targets, replies, states, seconds, learnt)
        except FullDiskError as error:
            if self._reserve is None:
                raise
            self._reserve.release()
            self._commit(targets, replies, states, seconds, learnt)
            saved = "all replies that came are saved; make room, then the same command goes on"
            raise FullDiskError(str(error).replace(TO_WRITE.failed, saved)) from None

    def _commit(
        self,
        targets: Sequence[tuple[int, Dialog]],
        replies: Sequence[ReplyRow],
        states: Sequence[StateRow],
        seconds: float,
        learnt: Learnt | None,
    ) -> None:
        with self.transaction():
            notes = []
            for row in replies:
                insert = "INSERT INTO replies VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                number = self._db.execute(insert, reply_values(self._session, row)).lastrowid
                if row.reply.notes:
                    notes.append((number, json.dumps(dict(row.reply.notes))))
            if notes:
                self._db.execute(NOTES)
                self._db.executemany("INSERT INTO notes VALUES (?, ?)", notes)
            if learnt is not None and learnt != self._learnt:
                self._keep(learnt)
            self._db.executemany(
                "UPDATE dialogs SET state = ?, repeats = ? WHERE position = ?",
                [(row.state, row.repeats, row.position) for row in states],
            )
            self._db.execute("UPDATE sessions SET seconds = ? WHERE session = ?", (seconds, self._session))
            twice = self._insert(targets)
        self._learnt = learnt or self._learnt
        if twice is not None:
            raise InputError(f"target {twice[0]}: {twice[1].id!r} is named twice; give ids")

    def _keep(self, learnt: Learnt) -> None:
        """Keep what a session has found out, with the replies that came of it."""
        facts: dict[str, Any] = {"untold": learnt.untold} if learnt.untold else {}
        if learnt.adapted:
            facts |= {"adapted": learnt.adapted, "adapted_config": learnt.config}
        rows = [(key, json.dumps(value)) for key, value in facts.items()]
        self._db.executemany("INSERT OR REPLACE INTO run VALUES (?, ?)", rows)
        provenance = self._provenance | ({"players": learnt.provenance} if learnt.provenance else {})
        update = "UPDATE sessions SET provenance = ? WHERE session = ?"
        self._db.execute(update, (json.dumps(provenance), self._session))

    def _insert(self, targets: Sequence[tuple[int, Dialog]]) -> tuple[int, Dialog] | None:
        """Add dialogs up to one whose id is known, which is returned; the replies of the same commit are kept."""
        for position, target in targets:
            row = (position, target.id, target.image, target.caption, json.dumps(dict(target.extra)))
            try:
                insert = "INSERT INTO dialogs VALUES (?, ?, ?, ?, ?, ?, 'open', NULL)"
                self._db.execute(insert, (*row, target_digest(target)))
            except sqlite3.IntegrityError:
                return position, target
        return None

    def digests(self) -> Generator[tuple[int, str, str]]:
        """(position, id, digest) of every dialog, in target order."""
        return self.rows("SELECT position, id, digest FROM dialogs ORDER BY position")

    def recorded(self, position: int) -> Recorded | None:
        """The dialog at a position, None if the run has not come to it."""
        found = next(self.rows("SELECT digest, state FROM dialogs WHERE position = ?", position), None)
        if found is None or found[1] in ("done", "stopped"):
            return Recorded(*found) if found else None
        texts: dict[tuple[int, str], str] = {}
        kinds: dict[tuple[int, str], list[str]] = {}
        # Two queries, since each of the two indexes holds one half of the replies.
        memories: dict[Role, str] = {}
        columns = "SELECT round, role, text, kind, memory FROM replies WHERE position = ?"
        query = f"{columns} AND kind IS NULL UNION ALL {columns} AND kind IS NOT NULL ORDER BY round"
        for number, role, text, kind, memory in self.rows(query, position, position):
            if kind is None:
                texts[number, role] = text
                if memory is not None:
                    memories[role] = memory
            else:
                kinds.setdefault((number, role), []).append(kind)
        rounds: list[Round] = []
        while (answer := texts.get((len(rounds) + 1, "answer"))) is not None:
            rounds.append(Round(texts[len(rounds) + 1, "question"], answer))
        number = len(rounds) + 1
        question = texts.get((number, "question"))
        failed = kinds.get((number, "question" if question is None else "answer"), [])
        attempt = sum(kind in UNUSABLE for kind in failed)
        return Recorded(found[0], found[1], tuple(rounds), question, attempt, memories)

    def dialogs(self, before: int = EVERY) -> Iterator[Dialog]:
        """The dialogs that ended well, in target order, streamed. Raises InputError where a reply is gone.

        before: here and below, of the targets before this position only.
        """
        rows = self.rows(
            """
            SELECT dialogs.position, id, image, caption, extra, round, role, text FROM dialogs
            LEFT JOIN replies ON replies.position = dialogs.position AND kind IS NULL
            WHERE state IN ('done', 'stopped') AND dialogs.position < ? ORDER BY dialogs.position, round
            """,
            before,
        )
        for (_, id_, image, caption, extra), group in groupby(rows, key=lambda row: row[:5]):
            texts = {(number, role): text for *_, number, role, text in group if number is not None}
            try:
                rounds = [Round(texts[n, "question"], texts[n, "answer"]) for n in range(1, len(texts) // 2 + 1)]
            except KeyError:
                raise InputError(f"{self.path}: the run file is damaged: a reply about {id_!r} is gone") from None
            yield Dialog(image, caption, tuple(rounds), id=id_, extra=json.loads(extra))

    def failed(self, before: int = EVERY) -> list[FailedDialog]:
        """The dialogs that failed, in target order."""
        rows = self.rows(
            """
            SELECT id, round, role, kind, message, count(*), max(reply) FROM dialogs JOIN replies USING (position)
            WHERE state = 'failed' AND kind IS NOT NULL AND position < ?
            GROUP BY position, round, role ORDER BY position, max(reply)
            """,
            before,
        )
        return list({row[0]: FailedDialog(*row[:6]) for row in rows}.values())

    def is_done(self, position: int) -> bool:
        """Whether the dialog at a position ended well."""
        found = next(self.rows("SELECT state FROM dialogs WHERE position = ?", position), None)
        return found is not None and found[0] in ("done", "stopped")

    def has_replies(self) -> bool:
        """Whether anybody has said anything yet, or failed to."""
        return bool(next(self.rows("SELECT EXISTS (SELECT 1 FROM replies)"))[0])

    def states(self, before: int = EVERY) -> dict[State, int]:
        """Dialogs by state."""
        return dict(self.rows("SELECT state, count(*) FROM dialogs WHERE position < ? GROUP BY state", before))

    def targets(self) -> list[tuple[str, str, State, str]]:
        """Id, image, state and digest of every dialog, in target order."""
        return list(self.rows("SELECT id, image, state, digest FROM dialogs ORDER BY position"))

    def ended_well(self, before: int = EVERY) -> int:
        """Dialogs that ended well, to their last round or by the observer."""
        states = self.states(before)
        return states.get("done", 0) + states.get("stopped", 0)

    def repeats(self, before: int = EVERY) -> tuple[int, int]:
        """Repeated questions, and dialogs that hold one, among the dialogs that ended well."""
        row = next(self.rows("SELECT sum(repeats), sum(repeats > 0) FROM dialogs WHERE position < ?", before))
        return row[0] or 0, row[1] or 0

    def totals(self, role: Role) -> RoleTotals:
        """What a role's replies took, failed ones too, over all sessions."""
        # Counts that cannot be true, as version 0.1 kept them, are left out: their sum would not be a number any more.
        possible = f"BETWEEN 0 AND {MOST_TOKENS}"
        tokens = (f"sum({name}) FILTER (WHERE {name} {possible})" for name in ("tokens_in", "tokens_out"))
        query = f"SELECT count(*), {', '.join(tokens)}, sum(cost), total(seconds) FROM replies WHERE role = ?"  # noqa: S608
        return RoleTotals(*next(self.rows(query, role)))

    def rounds(self, before: int = EVERY) -> int:
        """Rounds that are complete, also of dialogs that failed or have not ended."""
        query = "SELECT count(*) FROM replies WHERE role = 'answer' AND kind IS NULL AND position < ?"
        return int(next(self.rows(query, before))[0])

    def rounds_of_ended(self, before: int = EVERY) -> int:
        """Rounds of the dialogs that ended well."""
        query = """
            SELECT count(*) FROM replies JOIN dialogs USING (position)
            WHERE role = 'answer' AND kind IS NULL AND state IN ('done', 'stopped') AND position < ?
            """
        return int(next(self.rows(query, before))[0])

    def new_replies(self) -> int:
        """Replies of this session."""
        return int(next(self.rows("SELECT count(*) FROM replies WHERE session = ?", self._session))[0])

    def sittings(self) -> list[tuple[str, float, dict[str, Any]]]:
        """Of every session: when it began (UTC), its seconds, and what it ran on."""
        rows = list(self.rows("SELECT started, seconds, provenance FROM sessions ORDER BY session"))
        return [(started, seconds, self._plain(text, "what it ran on")) for started, seconds, text in rows]

    def seconds(self) -> float:
        """Seconds that the run has taken, over all sessions."""
        return float(next(self.rows("SELECT total(seconds) FROM sessions"))[0])

    def rows(self, query: str, *parameters: Any) -> Generator[Any]:
        """What a query finds, streamed."""
        with database_errors(self.path, TO_READ if self._reading else TO_WRITE):
            # Not "yield from": that closes the cursor, which fails for rows left unread when the file is closed.
            for row in self._db.execute(query, parameters):  # noqa: UP028
                yield row

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Changes that become durable together, or not at all; yields the database to make them in.

        Raises InputError where the file is only read. Where the file or its log was removed or moved, the changes are
        made in what is left of it, and InputError is raised.
        """
        if self._log is None:
            raise InputError(f"{self.path}: is open to be read only")
        if (trouble := self._log.trouble()) is not None and not self._log.ours:
            raise InputError(trouble)
        with database_errors(self.path):
            if not self._log.begun:
                self._log.begin()
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            if (trouble := self._log.trouble()) is not None:
                if self._log.ours:
                    with suppress(sqlite3.Error):
                        self._log.move()
                raise InputError(trouble)
            if self._reserve is None or self._reserve.kept:
                with suppress(sqlite3.OperationalError):  # no room to fold it in: a later commit tells
                    self._log.fold_if_large()

    def _plain(self, text: str, what: str) -> dict[str, Any]:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise InputError(f"{self.path}: the run file is damaged: {what} is gone")
        return found
