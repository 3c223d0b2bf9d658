"""The ranks that a run file keeps: of each dialog, by each retriever in each corpus, refused when stale."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chatir.dialog import Dialog
from chatir.errors import InputError
from chatir.simulate.run_file import RunFile

# Not part of a new run file: a run may be scored long after it was made, or never.
TABLES = (
    """
    CREATE TABLE IF NOT EXISTS rankings (
        ranking INTEGER PRIMARY KEY, name TEXT NOT NULL, retriever TEXT NOT NULL, corpus TEXT NOT NULL,
        images INTEGER NOT NULL, provenance TEXT NOT NULL, UNIQUE (name, retriever, corpus)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS ranks (
        ranking INTEGER NOT NULL REFERENCES rankings, id TEXT NOT NULL, digest TEXT NOT NULL,
        ranks TEXT NOT NULL, truncated INTEGER, PRIMARY KEY (ranking, id)
    ) WITHOUT ROWID
    """,
)


@dataclass(frozen=True)
class Ranking:
    """What ranks were made with: a retriever, with all that fixes its vectors, in a corpus, by its fingerprint."""

    name: str
    retriever: Mapping[str, Any]
    corpus: str
    images: int


@dataclass(frozen=True)
class DialogRanks:
    """The target's rank after each round of a dialog, that of the caption first.

    truncated: the first round whose text was longer than the retriever reads, one beyond the last if none was; None
    if the retriever cannot tell.
    """

    ranks: tuple[int, ...]
    truncated: int | None = None


def dialog_digest(dialog: Dialog) -> str:
    """What ranks of a dialog depend on, in 32 hex digits: its image, its caption and its rounds."""
    content = json.dumps([dialog.image, dialog.caption, *map(str, dialog.rounds)])
    return hashlib.sha256(content.encode()).hexdigest()[:32]


class RunRanks:
    """The ranks in an open run file."""

    def __init__(self, run: RunFile) -> None:
        self._run = run

    def rankings(self) -> list[Ranking]:
        """What the run has been ranked with, in the order in which that was first done."""
        if not self._scored():
            return []
        rows = self._run.rows("SELECT name, retriever, corpus, images FROM rankings ORDER BY ranking")
        return [Ranking(name, self._plain(config), corpus, images) for name, config, corpus, images in rows]

    def ranks(self, ranking: Ranking, dialogs: Sequence[Dialog]) -> dict[str, DialogRanks]:
        """The ranks of those dialogs that have them, by id; ranks of a dialog that has changed since are none."""
        if not self._scored():
            return {}
        now = {dialog.id: dialog_digest(dialog) for dialog in dialogs}
        query = """
            SELECT id, digest, ranks, truncated FROM ranks JOIN rankings USING (ranking)
            WHERE name = ? AND retriever = ? AND corpus = ?
            """
        rows = list(self._run.rows(query, *_key(ranking)))
        rounds = {dialog.id: len(dialog.rounds) for dialog in dialogs}
        found = {}
        for id_, digest, text, truncated in rows:
            if now.get(id_) != digest:
                continue
            ranks = self._plain(text)
            known = isinstance(ranks, list) and all(type(rank) is int and rank > 0 for rank in ranks)
            if not known or len(ranks) != rounds[id_] + 1:
                raise self._damaged()
            found[id_] = DialogRanks(tuple(ranks), truncated)
        return found

    def keep(
        self, ranking: Ranking, found: Iterable[tuple[Dialog, DialogRanks]], provenance: Mapping[str, Any]
    ) -> None:
        """Make ranks of dialogs durable, in the place of older ones. provenance: of the first ranks of a ranking."""
        with self._run.transaction() as db:
            for table in TABLES:
                db.execute(table)
            db.execute(
                "INSERT OR IGNORE INTO rankings VALUES (NULL, ?, ?, ?, ?, ?)",
                (*_key(ranking), ranking.images, json.dumps(provenance)),
            )
            select = "SELECT ranking FROM rankings WHERE name = ? AND retriever = ? AND corpus = ?"
            (number,) = db.execute(select, _key(ranking)).fetchone()
            db.executemany(
                "INSERT OR REPLACE INTO ranks VALUES (?, ?, ?, ?, ?)",
                [
                    (number, dialog.id, dialog_digest(dialog), json.dumps(kept.ranks), kept.truncated)
                    for dialog, kept in found
                ],
            )

    def _scored(self) -> bool:
        query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'ranks'"
        return next(self._run.rows(query), None) is not None

    def _plain(self, text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError:
            raise self._damaged() from None

    def _damaged(self) -> InputError:
        return InputError(f"{self._run.path}: the run file is damaged: some of its ranks cannot be read")


def _key(ranking: Ranking) -> tuple[str, str, str]:
    return ranking.name, json.dumps(ranking.retriever, sort_keys=True), ranking.corpus
