"""A comparison for a terminal: what is best, what differs, and last, next to the prompt, what can be concluded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from chatir.compare.comparison import ComparedRun, Comparison
from chatir.compare.summary_words import PRIMARY
from chatir.compare.tables import run_tables, summary_table, tables
from chatir.compare.tables.summary_table import KEY
from chatir.compare.tables.table import BEST, Table, counted
from chatir.compare.tables.terminal_layout import blocks, natural_width, text_console
from chatir.console import printable
from chatir.measures.names import PRIMARY_HITS
from chatir.measures.questions import repeated

if TYPE_CHECKING:
    from rich.console import Console

INTERVALS = (PRIMARY, (PRIMARY_HITS, "bri"), (PRIMARY_HITS,))
"""Which measures have their intervals in the summary: as many as the terminal has room for."""
NOTES = 5
"""Notes that are shown unless all is asked for."""
HANGING = 2
"""Columns by which the second line of a verdict or note is indented."""
LEAST_WIDTH = 66
"""In a narrower terminal lines are left to the terminal to fold: no figure is ever cut."""
STAR = "*"
ARROWS = ("↓", "↑")
LONGEST = 300
"""Characters of a dialog's text that are shown."""


def as_text(
    comparison: Comparison,
    *,
    width: int | None,
    color: bool,
    everything: bool = False,
    each_run: bool = False,
    method: bool = False,
) -> str:
    """The comparison as lines, no more than `width` columns wide if that is 66 or more.

    width: None for what is no terminal: as wide as needs be, and nothing is folded.
    color: for a terminal that can print bold. Otherwise no escape code is in the text, and a star stands for bold.
    everything: every table and note; otherwise the summary, the verdicts and the first notes. each_run: the tables
    with a row for each run too, as they are without a summary. method: how it was tested, too. Whatever files hold is
    shown, never obeyed.
    """
    width = width and max(width, LEAST_WIDTH)
    console = text_console(width, color)
    if everything:
        shown = tables(comparison)
        _print(console, _title(comparison), "")
    else:
        shown = _first_screen(comparison, width, each_run)
    for place, block in enumerate(blocks(shown, width, "" if color else STAR)):
        if place:
            console.print()
        for part in block:
            console.print(part)
    _print(console, *_marks(shown, color))
    for run in comparison.runs:
        _print(console, *_worst(run, comparison.worst.get(run.name, ())))
    if method and comparison.method:
        _print(console, "", comparison.method)
    notes = comparison.notes if everything else comparison.notes[:NOTES]
    if comparison.verdicts or notes:
        _print(console, "")
    _print(console, *(verdict.sentence for verdict in comparison.verdicts), hanging=HANGING)
    _print(console, *(f"note: {note}" for note in notes), hanging=HANGING)
    _print(console, "", _more(len(comparison.notes) - len(notes), comparison.tests, everything, method))
    lines = console.file.getvalue().split("\n")  # type: ignore[attr-defined]  # it is a StringIO
    return "\n".join(line.rstrip() for line in lines).rstrip("\n")


def _first_screen(comparison: Comparison, width: int | None, each_run: bool) -> list[Table]:
    """The summary, as wide as fits, under a title of its own; tables of each run where they are needed."""
    found = [table for metrics in INTERVALS if (table := summary_table(comparison, intervals=metrics))]
    fitting = (table for table in found if width is None or natural_width(table) <= width)
    shown = [replace(table, title=_title(comparison)) for table in [next(fitting, found[-1])]] if found else []
    return [*shown, *(run_tables(comparison) if each_run or not found else [])]


def _more(notes: int, tests: int, everything: bool, method: bool) -> str:
    """What else can be asked for."""
    hidden = f" and {counted(notes, 'more note')}" if notes else ""
    parts = [] if everything else [f"--all: every table{hidden}"]
    of_tests = f" ({counted(tests, 'test')}, Holm)" if tests else ""
    parts += [] if method else [f"--method: how it was tested{of_tests}"]
    return "; ".join([*parts, "--report FILE.html: a page"])


def _print(console: Console, *lines: str, hanging: int = 0) -> None:
    """Each line as a paragraph, folded where it is too long: further lines are indented by `hanging` more."""
    from rich.text import Text

    for line in lines:
        text = printable(line)
        indent = len(text) - len(text.lstrip())
        room = console.width - indent
        first, *rest = Text(text[indent:]).wrap(console, room, overflow="fold") or [Text("")]
        if hanging and rest:
            rest = list(Text(text[indent + len(first) :].lstrip()).wrap(console, room - hanging, overflow="fold"))
        for place, part in enumerate([first, *rest]):
            part.rstrip()
            console.print(Text(" " * (indent + hanging * bool(place))) + part)


def _title(comparison: Comparison) -> str:
    runs = counted(len(comparison.runs), "run")
    corpora = {label: found.ranking.images for run in comparison.runs for label, found in run.retrieval.items()}
    ranked = ", ".join(f"{label} among {images:,} images" for label, images in corpora.items())
    extent = f"{runs}: {counted(comparison.images, 'image')}, {counted(comparison.rounds, 'round')} a dialog"
    return f"{extent}; each ranked by {ranked}" if ranked else extent


def _marks(shown: Sequence[Table], color: bool) -> Iterator[str]:
    """Each sign once, with all that it means, if there are any. In the summary arrows speak for themselves."""
    told: dict[str, dict[str, None]] = {}
    for table in shown:
        for mark in table.marks:
            if table.key == KEY and mark.sign in ARROWS:
                continue
            told.setdefault(STAR if mark.sign == BEST and not color else mark.sign, {})[mark.meaning] = None
    if told:
        yield "; ".join(f"{sign}: {', or '.join(meanings)}" for sign, meanings in told.items())


def _worst(run: ComparedRun, places: Iterable[int]) -> Iterator[str]:
    """The dialogs at these places, each repeated question with the round that it repeats."""
    for number, place in enumerate(places):
        dialog = run.dialogs[place]
        if not number:
            yield from ("", f"Dialogs of {run.name} with most repeats")
        repeats = counted(int(run.counts.repeats[place]), "repeat")
        yield f"  {_cut(dialog.id)}: {repeats}: {_cut(dialog.caption)}"
        numbers = repeated(one.question for one in dialog.rounds)
        for at, (one, earlier) in enumerate(zip(dialog.rounds, numbers, strict=True), start=1):
            again = f"(= {earlier}) " if earlier else ""
            yield f"    {at:>2} {again}{_cut(str(one))}"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
