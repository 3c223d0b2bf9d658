"""The runs of a comparison: a dialogue file, and what the run file beside it tells of how it was made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from chatir.compare.run_names import run_names
from chatir.data import RELEASED
from chatir.dialog import Dialog
from chatir.dialogue_json import read_dialogs
from chatir.errors import InputError
from chatir.files import file_sha256
from chatir.simulate.run_file import FailedDialog, Role, RoleTotals, RunFile
from chatir.simulate.run_ranks import DialogRanks, Ranking, RunRanks


@dataclass(frozen=True)
class Player:
    """Who played. config: what fixes its replies; None where only the name is known."""

    name: str
    config: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Sitting:
    """One sitting of a run: when it began (UTC), its seconds, and versions, git revision and machine."""

    started: str
    seconds: float
    provenance: Mapping[str, Any]


class Ranked(NamedTuple):
    """How a run's dialogs were ranked: the ranks by dialog id, and what was noted when it was first done."""

    ranking: Ranking
    ranks: Mapping[str, DialogRanks]
    provenance: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Record:
    """What a run file tells beside the dialogs.

    config: everything that fixes the result. ids: those of all its targets, failed ones too. rankings: one for each
    retriever and corpus.
    """

    config: Mapping[str, Any]
    sittings: tuple[Sitting, ...]
    totals: Mapping[Role, RoleTotals]
    ids: frozenset[str]
    failed: tuple[FailedDialog, ...]
    rankings: tuple[Ranked, ...]

    @property
    def imported(self) -> bool:
        """Whether the run file was made for the ranks of a dialogue file that came from elsewhere."""
        return "imported" in self.config


@dataclass(frozen=True, eq=False)
class Run:
    """A dialogue file. name: its stem, with folders before it where two files have the same.

    record: None where no run file belongs to it. questioner, answerer: None where nobody tells who played.
    """

    name: str
    file: Path
    sha256: str
    dialogs: tuple[Dialog, ...]
    record: Record | None
    questioner: Player | None
    answerer: Player | None

    @property
    def seed(self) -> int | None:
        """The seed of its players, None where nobody tells."""
        return self.record.config.get("seed") if self.record else None

    @property
    def released(self) -> bool:
        """Whether it is one of the files that Levy et al. released."""
        return self.sha256 in _RELEASED


_PLAYERS = {
    "VisDial_v1.0_queries_val": ("Human", "Human"),
    "ChatGPT_BLIP2": ("ChatGPT", "BLIP2"),
    "FLAN_ALPACA_XXL_BLIP2": ("FLAN_ALPACA_XXL", "BLIP2"),
    "Human_BLIP2": ("Human", "BLIP2"),
    "Unanswered_ChatGPT_BLIP2": ("Unanswered_ChatGPT", "BLIP2"),
}
"""Who played in the released files, by their names. One BLIP-2 answers in all comparisons (Levy et al., section 4)."""

_RELEASED = {
    file.sha256: tuple(map(Player, _PLAYERS[stem])) for file in RELEASED if (stem := Path(file.name).stem) in _PLAYERS
}


def read_runs(files: Sequence[Path | str], note: Callable[[str], None]) -> list[Run]:
    """Read dialogue files with their run files. note: called with a line for a run file that is left out.

    Raises InputError for what is no dialogue file, holds no dialogs, or is named twice; for a run file that is damaged,
    or that a run is writing now.
    """
    paths = [Path(file) for file in files]
    if not paths:
        raise InputError("no dialogue file is named; there must be one at least")
    seen: dict[Path, Path] = {}
    for path in paths:
        if (first := seen.setdefault(path.resolve(), path)) is not path:
            raise InputError(f"{path}: is named twice" + (f", first as {first}" if first != path else ""))
    runs = [_read(path, note) for path in paths]
    return [replace(run, name=name) for run, name in zip(runs, run_names(paths), strict=True)]


def _read(path: Path, note: Callable[[str], None]) -> Run:
    if path.suffix == ".run":
        raise InputError(f"{path}: is a run file; name its dialogue file, {path.with_suffix('.json').name}")
    dialogs = tuple(read_dialogs(path))
    if not dialogs:
        raise InputError(f"{path}: holds no dialogs")
    sha256 = file_sha256(path)
    record = _record(path, sha256, dialogs, note)
    questioner, answerer = _RELEASED.get(sha256, (None, None))
    if record is not None and not record.imported:
        questioner, answerer = (_player(record.config.get(role)) for role in ("questioner", "answerer"))
    return Run(path.stem, path, sha256, dialogs, record, questioner, answerer)


def _player(declared: Any) -> Player | None:
    return Player(declared["name"], declared.get("config", {})) if isinstance(declared, dict) else None


def _record(path: Path, sha256: str, dialogs: Sequence[Dialog], note: Callable[[str], None]) -> Record | None:
    file = path.with_suffix(".run")
    if not file.exists():
        return None
    with RunFile.reading(file) as run:
        config = run.config
        if not run.exported(sha256) and config.get("imported") != sha256:
            note(
                f"{file}: does not belong to {path.name} as it is now, and is left out: its ranks, failures and "
                "configuration are not told"
            )
            return None
        ranks = RunRanks(run)
        return Record(
            config=config,
            sittings=tuple(Sitting(*row) for row in run.sittings()),
            totals={"question": run.totals("question"), "answer": run.totals("answer")},
            ids=frozenset(run.ids()),
            failed=tuple(run.failed()),
            rankings=tuple(
                Ranked(ranking, ranks.ranks(ranking, dialogs), ranks.provenance(ranking))
                for ranking in ranks.rankings()
            ),
        )
