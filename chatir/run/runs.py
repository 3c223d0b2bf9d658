"""The runs of a comparison: a dialogue file, and what the run file beside it tells of how it was made."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from chatir.datasets.data_folder import RELEASED
from chatir.datasets.dialogue_json import read_dialogs
from chatir.datasets.scenes.names import shown_config
from chatir.dialog import Dialog
from chatir.errors import InputError
from chatir.measures.labels import run_names
from chatir.measures.ranks import DialogRanks
from chatir.run.file import RunFile
from chatir.run.named_alike import named_by_keys
from chatir.run.ranks import Ranking, RunRanks
from chatir.run.rows import FailedDialog, Role, RoleTotals
from chatir.storage.files import file_sha256


@dataclass(frozen=True)
class RecordedPlayer:
    """Who played. config: what fixes its replies; None where only the name is known."""

    name: str
    config: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Sitting:
    """One sitting of a run: when it started (UTC), its seconds, and its provenance: versions, git revision, machine."""

    started: str
    seconds: float
    provenance: Mapping[str, Any]


class Ranked(NamedTuple):
    """How a run's dialogs were ranked, and with what: the ranks by dialog id.

    provenance: what was noted when it was first done.
    """

    ranking: Ranking
    ranks: Mapping[str, DialogRanks]
    provenance: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Record:
    """What a run file tells beside the dialogs.

    - `config`: everything that fixes the result, with names as they are shown
    - `sittings`: when it was played, and on what; `totals`: what questions and answers took
    - `digests`: of all its targets, by id: what a target is, with what people said about it; `images`: theirs
    - `failed`: those whose dialogs failed
    - `lost`: ids of those whose dialogs ended, but are not in the dialogue file, which is older
    - `rankings`: one for each retriever and corpus
    """

    config: Mapping[str, Any]
    sittings: tuple[Sitting, ...]
    totals: Mapping[Role, RoleTotals]
    digests: Mapping[str, str]
    images: Mapping[str, str]
    failed: tuple[FailedDialog, ...]
    lost: frozenset[str]
    rankings: tuple[Ranked, ...]

    @property
    def gone(self) -> frozenset[str]:
        """Targets, by id, of which the dialogue file has no dialog although the run came to their end."""
        return self.lost | {failed.id for failed in self.failed}

    @property
    def imported(self) -> bool:
        """Whether the run file was made for the ranks of a dialogue file that came from elsewhere."""
        return "imported" in self.config


@dataclass(frozen=True, eq=False)
class Run:
    """A dialogue file, by the hash (sha256) of its content, with all of its dialogs.

    name: its stem, with folders before it where two files have the same. record: what its run file tells, None where
    none belongs to it. questioner, answerer: None where nobody tells who played.
    """

    name: str
    file: Path
    sha256: str
    dialogs: tuple[Dialog, ...]
    record: Record | None
    questioner: RecordedPlayer | None
    answerer: RecordedPlayer | None

    @property
    def rounds(self) -> int:
        """How many rounds its dialogs may have: those of a run that stops at hits are shorter."""
        declared = self.record.config.get("rounds", 0) if self.record else 0
        return max(declared, *(len(dialog.rounds) for dialog in self.dialogs))

    @property
    def seed(self) -> int | None:
        """The seed of its players, None where nobody tells."""
        return self.record.config.get("seed") if self.record else None

    @property
    def stopped_at_hits(self) -> bool:
        """Whether dialogs were ended as soon as their targets were found (`simulate --stop-on-hit`)."""
        return self.record is not None and self.record.config.get("observer") is not None

    @property
    def released(self) -> bool:
        """Whether it is one of the files that Levy et al. released."""
        return self.sha256 in RELEASED_PLAYERS


_PLAYERS = {
    "VisDial_v1.0_queries_val": ("Human", "Human"),
    "ChatGPT_BLIP2": ("ChatGPT", "BLIP2"),
    "FLAN_ALPACA_XXL_BLIP2": ("FLAN_ALPACA_XXL", "BLIP2"),
    "Human_BLIP2": ("Human", "BLIP2"),
    "Unanswered_ChatGPT_BLIP2": ("Unanswered_ChatGPT", "BLIP2"),
}
"""Who played in the released files, by their names. One BLIP-2 answers in all comparisons (Levy et al., section 4)."""

RELEASED_PLAYERS = {
    file.sha256: tuple(map(RecordedPlayer, _PLAYERS[stem]))
    for file in RELEASED
    if (stem := Path(file.name).stem) in _PLAYERS
}
"""Questioner and answerer of a released file, by its sha256."""


def read_runs(
    files: Sequence[Path | str],
    note: Callable[[str], None],
    report: Callable[[object], None] = lambda progress: None,
) -> list[Run]:
    """Read dialogue files with their run files.

    note: called with a line for a run file that is left out. report: called with what to show as it goes on.

    Raises InputError for what is no dialogue file, holds no dialogs, or is named twice; for a run file that is damaged,
    or that a run is writing now.
    """
    paths = [Path(file) for file in files]
    if not paths:
        raise InputError("no dialogue file is named; there must be one at least")
    seen: dict[str, Path] = {}
    for path in paths:
        if (first := seen.setdefault(os.path.realpath(path), path)) is not path:
            raise InputError(f"{path}: is named twice" + (f", first as {first}" if first != path else ""))
    runs = []
    for number, path in enumerate(paths):
        report(f"{number} of {len(paths)} files read")
        runs.append(_read(path, note))
    return [replace(run, name=name_text(name)) for run, name in zip(runs, run_names(paths), strict=True)]


def name_text(name: str) -> str:
    """A file's name as text: bytes of it that are no UTF-8 are replaced."""
    return os.fsencode(name).decode("utf-8", "replace")


def _read(path: Path, note: Callable[[str], None]) -> Run:
    if path.suffix == ".run":
        raise InputError(f"{path}: is a run file; name its dialogue file, {path.with_suffix('.json').name}")
    dialogs = tuple(read_dialogs(path))
    if not dialogs:
        raise InputError(f"{path}: holds no dialogs")
    sha256 = file_sha256(path)
    record = _record(path, sha256, dialogs, note)
    questioner, answerer = RELEASED_PLAYERS.get(sha256, (None, None))
    if record is not None and not record.imported:
        questioner, answerer = (recorded_player(record.config.get(role), path) for role in ("questioner", "answerer"))
    return named_by_keys(Run(path.stem, path, sha256, dialogs, record, questioner, answerer))


def recorded_player(declared: Any, path: Path) -> RecordedPlayer:
    """A player as the configuration in the run file of a dialogue file declares it. Raises InputError."""
    if not isinstance(declared, dict) or not isinstance(declared.get("name"), str):
        raise InputError(f"{path.with_suffix('.run')}: the run file is damaged: it does not tell who played")
    return RecordedPlayer(declared["name"], declared.get("config", {}))


def _record(path: Path, sha256: str, dialogs: Sequence[Dialog], note: Callable[[str], None]) -> Record | None:
    file = path.with_suffix(".run")
    if not file.exists():
        return None
    with RunFile.reading(file) as run:
        config = run.config
        if type(config.get("rounds", 0)) is not int:
            raise InputError(f"{file}: the run file is damaged: its rounds are {config['rounds']!r}")
        if not run.belongs_to(sha256):
            note(
                f"{file}: does not belong to {path.name} as it is now, and is left out: its ranks, failures and "
                "configuration are not told"
            )
            return None
        part = run.part(sha256)  # a file of fewer targets than the run has lacks none of the others
        ranks, targets, there = RunRanks(run), run.targets()[:part], {dialog.id for dialog in dialogs}
        lost = frozenset(id_ for id_, _, state, _ in targets if state in ("done", "stopped") and id_ not in there)
        if lost:
            note(
                f"{path}: is older than its run, which has {len(lost):,} dialogs more; 'chatir simulate' writes it anew"
            )
        return Record(
            config=shown_config(config),
            sittings=tuple(Sitting(*row) for row in run.sittings()),
            totals={"question": run.totals("question"), "answer": run.totals("answer")},
            digests={id_: digest for id_, _, _, digest in targets},
            images={id_: image for id_, image, _, _ in targets},
            failed=tuple(run.failed(part)),
            lost=lost,
            rankings=tuple(
                Ranked(ranking.shown, ranks.ranks(ranking, dialogs), ranks.provenance(ranking))
                for ranking in ranks.rankings()
            ),
        )
