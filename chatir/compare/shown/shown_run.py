"""One run to look at: how it was made, and its dialogs, those that failed or are unfinished too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from chatir.compare.shown.overviews import (
    ENDINGS,
    RunOverview,
    dialogue_file_of,
    known_files,
    of_dialogs,
    of_run,
)
from chatir.datasets.dialogue_json import read_dialogs
from chatir.datasets.scenes.names import shown_config
from chatir.dialog import Dialog, Round
from chatir.errors import InputError
from chatir.measures.questions import repeated
from chatir.measures.ranks import DialogRanks
from chatir.run.file import RunFile
from chatir.run.ranking_labels import ranking_labels
from chatir.run.ranks import RunRanks
from chatir.run.rows import FailedDialog, Role, RoleTotals, State
from chatir.run.runs import Sitting, name_text
from chatir.storage.files import file_sha256, os_error
from chatir.storage.image_names import image_key

FOLDER = Path("outputs")
"""Where a run is looked for by its name."""


@dataclass(frozen=True)
class ShownReply:
    """What a player gave: a text, or a failure by its kind and message.

    raw: what the model gave, None where that is the text. notes: what is odd about it, such as an unknown finish
    reason.
    """

    role: Role
    text: str | None
    raw: str | None = None
    kind: str | None = None
    message: str | None = None
    notes: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ShownRound:
    """A round, as far as it was played.

    number: from 1; 0 for what an observer of the caption said. question, answer: None where there is none yet. repeats:
    the earlier round that asked the same, 0 for none. replies: everything that the run file holds about it, in the
    order in which it came.
    """

    number: int
    question: str | None
    answer: str | None
    repeats: int = 0
    replies: tuple[ShownReply, ...] = ()


@dataclass(frozen=True)
class ShownDialog:
    """A dialog. number: its place among the targets, from 0. state: None where no run file tells.

    ranks: of its target, by the label of the ranking; none where it has changed since, or was not ranked.
    """

    number: int
    id: str
    image: str
    caption: str
    state: State | None
    rounds: tuple[ShownRound, ...]
    ranks: Mapping[str, DialogRanks]

    def as_json(self) -> dict[str, Any]:
        """The dialog as `chatir show --target X --format json` prints it."""
        ranks = {label: list(found.ranks) for label, found in self.ranks.items()}
        return asdict(replace(self, ranks={})) | {"ranks": ranks}


class ShownRanking(NamedTuple):
    """What ranked a run's targets. images: in its corpus. dialogs: how many are ranked as they are now."""

    label: str
    images: int
    corpus: str
    dialogs: int


@dataclass(frozen=True)
class ShownRun:
    """A run, and those of its dialogs that were asked for.

    - `overview`: its files, players and state
    - `config`: everything that fixes its result, None where no run file tells; `sessions`, `totals`: when it was
      played, and what that took
    - `rankings`: what ranked its targets; `failed`: the dialogs that failed, each with its last failure
    - `dialogs`: as they were asked for
    """

    overview: RunOverview
    config: Mapping[str, Any] | None
    sessions: tuple[Sitting, ...]
    totals: Mapping[Role, RoleTotals]
    rankings: tuple[ShownRanking, ...]
    failed: tuple[FailedDialog, ...]
    dialogs: tuple[ShownDialog, ...]

    def as_json(self) -> dict[str, Any]:
        """The run as `chatir show --format json` prints it."""
        return self.overview.as_json() | {
            "config": self.config,
            "sessions": [asdict(session) for session in self.sessions],
            "totals": {role: asdict(totals) for role, totals in self.totals.items()},
            "rankings": [ranking._asdict() for ranking in self.rankings],
            "failures": [asdict(failed) for failed in self.failed],
            "shown": [dialog.as_json() for dialog in self.dialogs],
        }


def show_run(named: str, targets: Sequence[str] = ()) -> ShownRun:
    """Read a run, by its dialogue file, its run file, or its name in `outputs`.

    targets: ids, images or numbers (from 0) of the dialogs to show; an image that several dialogs are about stands for
    all of them. A run file that does not belong to the dialogue file that is named is left out, and the overview's
    problem says so. Raises InputError for a run or target that is not there, for damaged files, and for a run that is
    being written.
    """
    file, run_file = _files(named)
    known = known_files(file, run_file, name_text(file.stem))
    if known.run_file is not None:
        with RunFile.reading(run_file) as run:
            if known.file is None or named.endswith(".run") or run.belongs_to(file_sha256(file)):
                return _shown(replace(known, **of_run(run, known.file)), _of_run(run, known.file), run, targets)
    shown = replace(known, **of_dialogs(file))
    if known.run_file is not None:
        shown = replace(shown, problem=f"{run_file}: does not belong to {file.name} as it is now, and is left out")
    return _shown(shown, _of_file(read_dialogs(file)), None, targets)


def _files(named: str) -> tuple[Path, Path]:
    """The dialogue file and the run file that are meant; one of them is there. Raises InputError."""
    try:
        found = next(_there(named), None)
    except OSError as error:
        raise os_error(named, error) from None
    if found is None:
        raise InputError(f"{named}: there is no such dialogue file or run file; 'chatir runs' lists those in {FOLDER}")
    return (dialogue_file_of(found), found) if found.suffix == ".run" else (found, found.with_suffix(".run"))


def _there(named: str) -> Iterator[Path]:
    """The files of that name, as it is, without its ending, or in `FOLDER`; the run file where only that is there."""
    for path in (Path(named), FOLDER / named):
        candidates = [path, *(path.with_name(f"{path.name}{ending}") for ending in ENDINGS if path.name)]
        candidates += [path.with_suffix(".run")] if path.suffix == ".json" else []
        yield from (each for each in candidates if each.is_file())


class _Listed(NamedTuple):
    """A dialog as it is listed, before its rounds are read. ended: as its ranks know it, None if it has not ended."""

    number: int
    id: str
    image: str
    caption: str
    state: State | None
    ended: Dialog | None


def _of_file(dialogs: Sequence[Dialog]) -> list[_Listed]:
    return [_Listed(place, one.id, one.image, one.caption, None, one) for place, one in enumerate(dialogs)]


def _of_run(run: RunFile, file: Path | None) -> list[_Listed]:
    """The dialogs of a run; those of the dialogue file where the run file only holds its ranks."""
    if "imported" in run.config:
        return [] if file is None else _of_file(read_dialogs(file))
    ended = {dialog.id: dialog for dialog in run.dialogs()}
    rows = run.rows("SELECT position, id, image, caption, state FROM dialogs ORDER BY position")
    return [_Listed(number, id_, image, said, state, ended.get(id_)) for number, id_, image, said, state in rows]


def _shown(known: RunOverview, listed: Sequence[_Listed], run: RunFile | None, targets: Sequence[str]) -> ShownRun:
    wanted = list(dict.fromkeys(place for target in targets for place in _places(target, listed, known)))
    ended = [one.ended for one in listed if one.ended is not None]
    ranks = {} if run is None else _ranks(run, ended)
    plays = run is not None and "imported" not in run.config
    return ShownRun(
        overview=known,
        config=None if run is None else shown_config(run.config),
        sessions=() if run is None else tuple(Sitting(*row) for row in run.sittings()),
        totals={role: run.totals(role) for role in _ROLES} if run is not None and plays else {},
        rankings=tuple(ranking for ranking, _ in ranks.values()),
        failed=() if run is None else tuple(run.failed()),
        dialogs=tuple(_dialog(listed[place], run if plays else None, ranks) for place in wanted),
    )


def _places(target: str, listed: Sequence[_Listed], known: RunOverview) -> list[int]:
    """Where in the list the dialogs are that are meant: by id, else by image, else by number. Raises InputError."""
    key = image_key(target)
    found = [place for place, one in enumerate(listed) if one.id == target]
    found = found or [place for place, one in enumerate(listed) if image_key(one.image) == key]
    found = found or [place for place, one in enumerate(listed) if str(one.number) == target]
    if not found:
        there = f"it has {len(listed):,}, numbered from 0" if listed else "it has none"
        raise InputError(f"--target {target}: is the id, image or number of no dialog of {known.name}; {there}")
    return found


_Ranks = dict[str, tuple[ShownRanking, dict[str, DialogRanks]]]
_ROLES: tuple[Role, ...] = ("question", "answer")


def _ranks(run: RunFile, dialogs: Sequence[Dialog]) -> _Ranks:
    """By label, each ranking of a run, with the ranks by dialog id."""
    kept = RunRanks(run)
    rankings = kept.rankings()
    labels = ranking_labels([ranking.shown for ranking in rankings])
    told: _Ranks = {}
    for ranking in rankings:
        label, found = labels[ranking.shown.key], kept.ranks(ranking, dialogs)
        told[label] = ShownRanking(label, ranking.images, ranking.corpus, len(found)), found
    return told


def _dialog(one: _Listed, run: RunFile | None, ranks: _Ranks) -> ShownDialog:
    """A dialog with its rounds; run: the file that holds its replies, None for a dialogue file alone."""
    rounds = _played(run, one.number) if run is not None else _read(one.ended.rounds if one.ended else ())
    own = {label: found[one.id] for label, (_, found) in ranks.items() if one.id in found}
    return ShownDialog(one.number, one.id, one.image, one.caption, one.state, _with_repeats(rounds), own)


def _read(rounds: Sequence[Round]) -> list[ShownRound]:
    return [ShownRound(number, one.question, one.answer) for number, one in enumerate(rounds, start=1)]


def _played(run: RunFile, position: int) -> list[ShownRound]:
    """The rounds of a dialog from its replies."""
    has_notes = next(run.rows("SELECT 1 FROM sqlite_master WHERE name = 'notes'"), None) is not None
    notes, joined = ("notes.notes", "LEFT JOIN notes USING (reply)") if has_notes else ("NULL", "")
    columns = f"round, role, text, raw, kind, message, {notes}"
    rows = run.rows(f"SELECT {columns} FROM replies {joined} WHERE position = ? ORDER BY round, reply", position)  # noqa: S608
    played = []
    for number, group in groupby(rows, key=lambda row: row[0]):
        replies = [_reply(*row[1:]) for row in group]
        texts = {reply.role: reply.text for reply in replies if reply.kind is None}
        told = tuple(reply for reply in replies if reply.role != "observe" or reply.kind is not None)
        if told:
            played.append(ShownRound(number, texts.get("question"), texts.get("answer"), 0, told))
    return played


def _reply(
    role: Role, text: str | None, raw: str | None, kind: str | None, message: str | None, notes: str | None
) -> ShownReply:
    try:
        told = json.loads(notes) if notes else None
    except (ValueError, RecursionError):
        told = {"damaged": notes}
    return ShownReply(role, text, None if raw == text else raw, kind, message, told)


def _with_repeats(rounds: Sequence[ShownRound]) -> tuple[ShownRound, ...]:
    """The same rounds, each repeated question with the earlier round that asked it."""
    asked = [one for one in rounds if one.question is not None]
    places = repeated(str(one.question) for one in asked)
    again = {one.number: asked[place - 1].number for one, place in zip(asked, places, strict=True) if place}
    return tuple(replace(one, repeats=again.get(one.number, 0)) for one in rounds)
