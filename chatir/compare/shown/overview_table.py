"""The runs of a folder as a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from chatir.compare.shown.overviews import RunOverview
from chatir.compare.tables.table import Cell, Column, Table
from chatir.compare.tables.terminal_layout import blocks, text_console
from chatir.console import printable
from chatir.run.runs import RecordedPlayer

UNKNOWN = "-"
THIS_YEAR = timedelta(days=180)
COLUMNS = (
    *(Column(name, numeric=False) for name in ("name", "questioner", "answerer")),
    *(Column(name) for name in ("dialogs", "state", "repeats", "cost", "last change")),
)


def overview_text(runs: Sequence[RunOverview], *, width: int | None, now: datetime | None = None) -> str:
    """The runs as a table, a row each, and under it a line for what is wrong with one.

    `12/40+`: 12 of the 40 dialogs that an unfinished run has come to ended well. Repeats are those of a dialog, times
    local ones. width: of the terminal, None for what is none: nothing is folded. now: by which a time is told with its
    hour or its year, the present unless given.
    """
    at = now or datetime.now(UTC)
    rows = tuple(tuple(Cell(text) for text in _row(run, at)) for run in runs)
    console = text_console(width, color=False)
    for block in blocks([Table("runs", "", "", COLUMNS, rows, ())], width, ""):
        for part in block[1:]:  # without its title, of which it has none
            console.print(part)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    return "\n".join([*lines, *_remarks(runs)])


def _row(run: RunOverview, now: datetime) -> Iterator[str]:
    yield run.name
    yield _player(run.questioner)
    yield _player(run.answerer)
    yield dialogs_told(run)
    yield f"{run.failed} failed" if run.state == "failed dialogs" else run.state
    yield UNKNOWN if run.repeats_per_dialog is None else f"{run.repeats_per_dialog:.2f}"
    yield UNKNOWN if run.cost is None else f"${run.cost:.2f}"
    yield UNKNOWN if run.changed is None else _time(run.changed, now)


def _player(player: RecordedPlayer | None) -> str:
    return UNKNOWN if player is None else player.name


def dialogs_told(run: RunOverview) -> str:
    """Dialogs that ended well, of all or of those that the run has come to: `100/100`, `12/40+`."""
    more = "+" if run.state == "unfinished" else ""
    return UNKNOWN if run.dialogs is None else f"{run.dialogs}/{run.targets}{more}"


def _time(time: datetime, now: datetime) -> str:
    """A time as `ls -l` shows it: with the hour, or, where it is half a year away, with the year."""
    here = time.astimezone()
    return f"{here:%b} {here.day:>2} " + (f"{here:%H:%M}" if abs(now - time) < THIS_YEAR else f" {here:%Y}")


def _remarks(runs: Sequence[RunOverview]) -> Iterator[str]:
    if any(run.state == "unfinished" for run in runs):
        yield from ("", "+: an unfinished run has come to as many targets; there may be more")
    problems = [run for run in runs if run.problem]
    if problems:
        yield ""
    for run in problems:
        yield printable(f"{run.name}: {run.problem}")
