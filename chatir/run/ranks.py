"""The ranks that a run file keeps: of each dialog, by each retriever in each corpus, refused when stale."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from sys import intern
from typing import Any

from chatir.datasets.scenes.names import shown_config, shown_name
from chatir.dialog import Dialog
from chatir.errors import InputError
from chatir.measures.ranks import DialogRanks, Top
from chatir.run.file import RunFile
from chatir.storage.image_names import image_key, image_problem

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
    # With a digest of its own: a chatir that knows nothing of this table may replace ranks and leave these rows.
    """
    CREATE TABLE IF NOT EXISTS top_images (
        ranking INTEGER NOT NULL REFERENCES rankings, id TEXT NOT NULL, digest TEXT NOT NULL,
        images TEXT NOT NULL, PRIMARY KEY (ranking, id)
    ) WITHOUT ROWID
    """,
)


@dataclass(frozen=True)
class Ranking:
    """What ranks were made with.

    name, retriever: the retriever's name, and all that fixes its vectors. corpus, images: the corpus by its
    fingerprint, and how many images it has.
    """

    name: str
    retriever: Mapping[str, Any]
    corpus: str
    images: int

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes two rankings the same: retriever, its configuration, corpus."""
        return self.name, json.dumps(self.retriever, sort_keys=True), self.corpus

    @property
    def shown(self) -> Ranking:
        """The same, with names as people read them."""
        name = shown_name(self.name, self.retriever)
        return replace(self, name=name, retriever=shown_config(self.retriever))


def dialog_digest(dialog: Dialog) -> str:
    """What ranks of a dialog depend on, in 32 hex digits: its image, its caption and its rounds."""
    content = json.dumps([dialog.image, dialog.caption, *map(str, dialog.rounds)])
    return hashlib.sha256(content.encode()).hexdigest()[:32]


class RunRanks:
    """The ranks in an open run file."""

    def __init__(self, run: RunFile) -> None:
        self._run = run

    def rankings(self) -> list[Ranking]:
        """What the run has been ranked with, in the order in which that was first done.

        Raises InputError where that cannot be read.
        """
        if not self._has("ranks"):
            return []
        rows = self._run.rows("SELECT name, retriever, corpus, images FROM rankings ORDER BY ranking")
        found = [Ranking(name, self._plain(config, dict), corpus, images) for name, config, corpus, images in rows]
        if not all(map(_is_plain, found)):
            raise self._damaged()
        return found

    def ranks(self, ranking: Ranking, dialogs: Sequence[Dialog]) -> dict[str, DialogRanks]:
        """The ranks of those dialogs that have them, by id; ranks of a dialog that has changed since are none.

        Raises InputError for ranks that cannot be: of other rounds, beyond the corpus, at odds with the best images.
        """
        if (number := self._number(ranking)) is None:
            return {}
        now = {dialog.id: dialog for dialog in dialogs}
        digests = {id_: dialog_digest(dialog) for id_, dialog in now.items()}
        rows = self._run.rows("SELECT id, digest, ranks, truncated FROM ranks WHERE ranking = ?", number)
        found = {
            id_: self._checked(now[id_], ranking, text, truncated)
            for id_, digest, text, truncated in rows
            if digests.get(id_) == digest
        }
        for id_, top in self._tops(number, digests):
            if id_ in found:
                if not _agree(now[id_].image, found[id_].ranks, top):
                    raise self._damaged()
                found[id_] = replace(found[id_], top=top)
        return found

    def provenance(self, ranking: Ranking) -> dict[str, Any]:
        """What a ranking's first ranks were made on, and what was typed for it; nothing where it is not known."""
        if (number := self._number(ranking)) is None:
            return {}
        (text,) = next(self._run.rows("SELECT provenance FROM rankings WHERE ranking = ?", number))
        return dict(self._plain(text, dict))

    def keep(
        self, ranking: Ranking, found: Iterable[tuple[Dialog, DialogRanks]], provenance: Mapping[str, Any]
    ) -> None:
        """Make ranks of dialogs durable, in the place of older ones. provenance: of the first ranks of a ranking."""
        with self._run.transaction() as db:
            for table in TABLES:
                db.execute(table)
            db.execute(
                "INSERT OR IGNORE INTO rankings VALUES (NULL, ?, ?, ?, ?, ?)",
                (*ranking.key, ranking.images, json.dumps(provenance)),
            )
            number = self._number(ranking)
            for dialog, kept in found:
                row = (number, dialog.id, dialog_digest(dialog))
                insert = "INSERT OR REPLACE INTO ranks VALUES (?, ?, ?, ?, ?)"
                db.execute(insert, (*row, json.dumps(kept.ranks), kept.truncated))
                db.execute("DELETE FROM top_images WHERE ranking = ? AND id = ?", row[:2])
                if kept.top is not None:
                    db.execute("INSERT INTO top_images VALUES (?, ?, ?, ?)", (*row, _packed(kept.top)))

    def _has(self, table: str) -> bool:
        query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        return next(self._run.rows(query, table), None) is not None

    def _number(self, ranking: Ranking) -> int | None:
        """What the tables call a ranking, None if the run has none like it."""
        if not self._has("ranks"):
            return None
        query = "SELECT ranking FROM rankings WHERE name = ? AND retriever = ? AND corpus = ?"
        found: tuple[int] | None = next(self._run.rows(query, *ranking.key), None)
        return found and found[0]

    def _checked(self, dialog: Dialog, ranking: Ranking, text: str, truncated: Any) -> DialogRanks:
        ranks = self._plain(text, list)
        known = all(type(rank) is int and 0 < rank <= ranking.images for rank in ranks)
        if not known or len(ranks) != len(dialog.rounds) + 1 or not isinstance(truncated, int | None):
            raise self._damaged()
        return DialogRanks(tuple(ranks), truncated)

    def _tops(self, number: int, digests: Mapping[str, str]) -> Iterator[tuple[str, Top]]:
        """The best images of those dialogs that have them; of a dialog that has changed since, none."""
        if self._has("top_images"):
            rows = self._run.rows("SELECT id, digest, images FROM top_images WHERE ranking = ?", number)
            for id_, digest, text in rows:
                if digests.get(id_) == digest:
                    yield id_, self._unpacked(text)

    def _unpacked(self, text: str) -> Top:
        """The best images, each name once in memory."""
        kept = self._plain(text, dict)
        try:
            names = [intern(name) for name in kept["names"]]
            top = tuple(tuple(names[place] for place in places if place >= 0) for places in kept["rounds"])
        except (LookupError, TypeError):
            raise self._damaged() from None
        if any(map(image_problem, names)):
            raise self._damaged()
        return top

    def _plain(self, text: str, kind: type[Any]) -> Any:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            raise self._damaged() from None
        if not isinstance(found, kind):
            raise self._damaged()
        return found

    def _damaged(self) -> InputError:
        return InputError(f"{self._run.path}: the run file is damaged: some of its ranks cannot be read")


def _is_plain(ranking: Ranking) -> bool:
    return isinstance(ranking.name, str) and isinstance(ranking.corpus, str) and isinstance(ranking.images, int)


def _packed(top: Top) -> str:
    """Best images as JSON that names each of them once: most stay among the best from round to round."""
    places: dict[str, int] = {}
    rounds = [[places.setdefault(name, len(places)) for name in names] for names in top]
    return json.dumps({"names": list(places), "rounds": rounds}, ensure_ascii=False, separators=(",", ":"))


def _agree(target: str, ranks: Sequence[int], top: Top) -> bool:
    """Whether the best images are of the same rounds as the ranks, and have the target where its rank says."""
    if len(top) != len(ranks) or not top[0]:
        return False
    key = image_key(target)
    return all(
        len(names) == len(top[0]) == len(set(names))
        and (image_key(names[rank - 1]) == key if rank <= len(names) else key not in map(image_key, names))
        for rank, names in zip(ranks, top, strict=True)
    )
