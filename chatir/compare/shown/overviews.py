"""The runs in a folder, in short. Nothing is changed, nothing waited for; what cannot be read is told as that."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from chatir.datasets.dialogue_json import read_dialogs
from chatir.datasets.scenes.names import shown_config
from chatir.dialog import Dialog
from chatir.errors import InputError
from chatir.measures.counts import defects, most_lack_questions
from chatir.measures.questions import repeats
from chatir.run.dialogue_files import is_folder, is_other
from chatir.run.file import RunFile
from chatir.run.runs import RELEASED_PLAYERS, RecordedPlayer, name_text, recorded_player
from chatir.run.schema import RunInUseError
from chatir.storage.files import file_sha256, os_error
from chatir.storage.sqlite import log_of

RunState = Literal["done", "unfinished", "being written", "failed dialogs", "imported", "damaged"]
ENDINGS = (".json", ".run")


@dataclass(frozen=True)
class RunOverview:
    """A run in short: of a dialogue file and the run file beside it, or of one of them alone.

    - `name`: the path without its ending, from the folder that was searched; `file`, `run_file`: None where there is
      none
    - `questioner`, `answerer`: None where no file tells who played, as everything else that is not known
    - `state`: `imported` for a dialogue file that no run of chatir wrote, or of which none is known
    - `dialogs`: those that ended well; `failed`: those that failed; `targets`: those that the run has come to, which
      are all unless it is unfinished
    - `repeats_per_dialog`: a mean over the dialogs that ended well, None where most rounds hold no question
    - `cost`: US dollars that replies tell, over all sessions
    - `changed`: when one of the files, or the log of a run, was last written
    - `problem`: what is wrong with the files, a line
    """

    name: str
    file: Path | None
    run_file: Path | None
    state: RunState
    changed: datetime | None
    questioner: RecordedPlayer | None = None
    answerer: RecordedPlayer | None = None
    dialogs: int | None = None
    failed: int | None = None
    targets: int | None = None
    repeats_per_dialog: float | None = None
    cost: float | None = None
    problem: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The run as `chatir runs --format json` prints it; times are UTC."""
        return {
            "name": self.name,
            "file": None if self.file is None else name_text(str(self.file)),
            "run_file": None if self.run_file is None else name_text(str(self.run_file)),
            "questioner": self.questioner and self.questioner.name,
            "answerer": self.answerer and self.answerer.name,
            "state": self.state,
            "dialogs": self.dialogs,
            "failed": self.failed,
            "targets": self.targets,
            "repeats_per_dialog": self.repeats_per_dialog,
            "cost": self.cost,
            "changed": self.changed and self.changed.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "problem": self.problem,
        }


def find_runs(
    folder: Path, note: Callable[[str], None], report: Callable[[object], None] = lambda progress: None
) -> list[RunOverview]:
    """The runs in a folder and the folders below it, by name; a run that is being written is no hindrance.

    Hidden folders are passed over, and links to folders are not followed. note: called with a line for a folder that
    cannot be read. report: called with what to show as it goes on. Raises InputError where `folder` is none.
    """
    if not is_folder(folder):
        raise InputError(f"{folder}: there is no such folder; 'chatir runs DIR' looks in DIR")
    found: list[RunOverview] = []
    for place, stem in _stems(folder, note):
        report(f"{len(found)} runs read")
        run_file = place / f"{stem}.run"
        name = name_text((place / stem).relative_to(folder).as_posix())
        if (one := overview(dialogue_file_of(run_file), run_file, name)) is not None:
            found.append(one)
    return found


def dialogue_file_of(run_file: Path) -> Path:
    """The dialogue file beside a run file, or where it would be; that of a run which `--fresh` set aside is `.kept`."""
    file = run_file.with_suffix(".json")
    kept = run_file.with_suffix(".json.kept")
    return kept if os.path.lexists(kept) and not os.path.lexists(file) else file


def _stems(folder: Path, note: Callable[[str], None]) -> Iterator[tuple[Path, str]]:
    """Folder and name, without its ending, of everything that may be a run."""

    def unreadable(error: OSError) -> None:
        note(f"{os_error(error.filename, error)}: it is not searched")

    for place, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        stems = {name.removesuffix(end) for name in names for end in ENDINGS if name.endswith(end)}
        for stem in sorted(stem for stem in stems if stem and not stem.startswith(".")):
            yield Path(place), stem


def overview(file: Path, run_file: Path, name: str) -> RunOverview | None:
    """What stands in a dialogue file and the run file beside it, one of which may be missing.

    None for a `file` that is something else and has no run file. Whatever is wrong with them is told by `problem`.
    """
    known = known_files(file, run_file, name)
    if known.run_file is None and (is_other(file) or is_folder(file)):
        return None
    try:
        if known.file is not None and not file.is_file():  # a pipe would never end
            return replace(known, problem=f"{file}: is a link to nothing, or no regular file")
        if known.run_file is None:
            return replace(known, **of_dialogs(file))
        with RunFile.reading(run_file) as run:
            return replace(known, **of_run(run, known.file))
    except RunInUseError:
        return replace(known, state="being written")
    except InputError as error:
        return replace(known, problem=str(error))
    except OSError as error:
        return replace(known, problem=str(os_error(file, error)))


def known_files(file: Path, run_file: Path, name: str) -> RunOverview:
    """What is known of a run before its files are read."""
    return RunOverview(
        name=name,
        file=file if os.path.lexists(file) else None,
        run_file=run_file if os.path.lexists(run_file) else None,
        state="damaged",
        changed=_changed(file, run_file),
    )


def _changed(file: Path, run_file: Path) -> datetime | None:
    times = []
    for path in (file, run_file, log_of(run_file)):
        with suppress(OSError):
            times.append(path.stat().st_mtime)
    return datetime.fromtimestamp(max(times), UTC) if times else None


def of_dialogs(file: Path) -> dict[str, Any]:
    """The fields of the overview that a dialogue file alone fills. Raises InputError for a damaged one."""
    dialogs = read_dialogs(file)
    if not dialogs:
        raise InputError(f"{file}: holds no dialogs")
    questioner, answerer = RELEASED_PLAYERS.get(file_sha256(file), (None, None))
    return {
        "state": "imported",
        "questioner": questioner,
        "answerer": answerer,
        "dialogs": len(dialogs),
        "targets": len(dialogs),
        "repeats_per_dialog": _repeats(dialogs),
    }


def _repeats(dialogs: Sequence[Dialog]) -> float | None:
    if most_lack_questions(defects(dialogs), sum(len(dialog.rounds) for dialog in dialogs)):
        return None
    return sum(repeats(one.question for one in dialog.rounds) for dialog in dialogs) / len(dialogs)


def of_run(run: RunFile, file: Path | None) -> dict[str, Any]:
    """The fields that a run file fills. file: the dialogue file beside it, if there is one. Raises InputError."""
    config = shown_config(run.config)
    sha256 = None if file is None else file_sha256(file)
    if "imported" in config:
        return _of_imported(run, file, sha256)
    states, done = run.states(), run.ended_well()
    failed = states.get("failed", 0)
    ours = sha256 is not None and run.belongs_to(sha256)
    told: dict[str, Any] = {
        "state": "unfinished" if states.get("open") or not (ours or failed) else "failed dialogs" if failed else "done",
        "questioner": recorded_player(config.get("questioner"), run.path),
        "answerer": recorded_player(config.get("answerer"), run.path),
        "dialogs": done,
        "failed": failed,
        "targets": sum(states.values()),
        "repeats_per_dialog": _repeats(read_dialogs(file))
        if file and ours
        else run.repeats()[0] / done
        if done
        else None,
        "cost": _cost(run),
    }
    if file is not None and ours:
        told["repeats_per_dialog"] = _repeats(read_dialogs(file))
    elif sha256 is not None:
        told |= {"state": "damaged", "problem": f"{file}: is not the file that its run wrote"}
    return told


def _cost(run: RunFile) -> float | None:
    costs = (run.totals("question").cost, run.totals("answer").cost)
    told = [cost for cost in costs if cost is not None]
    return sum(told) if told else None


def _of_imported(run: RunFile, file: Path | None, sha256: str | None) -> dict[str, Any]:
    """What is known where the run file holds the ranks of a dialogue file from elsewhere."""
    if file is None:
        return {"state": "imported", "problem": f"{run.path}: holds ranks of a dialogue file that is not beside it"}
    told = of_dialogs(file)
    if sha256 is None or not run.belongs_to(sha256):
        told["problem"] = f"{run.path}: was written for another version of {file.name}; its ranks are ignored"
    return told
