"""A comparison for a terminal: what is best, what differs, and last, next to the prompt, what can be concluded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from chatir.compare.comparison import ComparedRun, Comparison
from chatir.compare.tables import tables
from chatir.compare.tables.table import BEST, Mark, counted
from chatir.compare.tables.terminal_layout import blocks, text_console
from chatir.console import printable
from chatir.questions import repeated

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

ELSEWHERE = ("descriptive", "rounds")
"""Tables that are not shown: no verdict rests on them, and they are longer than all others together."""
LEAST_WIDTH = 66
"""In a narrower terminal lines are left to the terminal to fold: no figure is ever cut."""
STAR = "*"
LONGEST = 300
"""Characters of a dialog's text that are shown."""


def as_text(comparison: Comparison, *, width: int | None, color: bool) -> str:
    """The comparison as lines, no more than `width` columns wide if that is 66 or more.

    width: None for what is no terminal: as wide as needs be, and nothing is folded.
    color: for a terminal that can print bold. Otherwise no escape code is in the text, and a star stands for bold.
    Whatever files hold is shown, never obeyed.
    """
    width = width and max(width, LEAST_WIDTH)
    found = tables(comparison)
    shown = [table for table in found if table.key not in ELSEWHERE]
    console = text_console(width, color)
    _print(console, _extent(comparison))
    for block in blocks(shown, width, "" if color else STAR):
        console.print()
        for part in block:
            console.print(part)
    paragraphs = [_marks((mark for table in shown for mark in table.marks), color), *_further(comparison, shown)]
    paragraphs += [f"note: {note}" for note in comparison.notes]
    console.print()
    _print(console, *paragraphs, *([comparison.method] if comparison.method else []))
    for run in comparison.runs:
        _print(console, *_worst(run, comparison.worst.get(run.name, ())))
    if comparison.verdicts:
        _print(console, "", *(f"=> {verdict.sentence}" for verdict in comparison.verdicts))
    lines = console.file.getvalue().split("\n")  # type: ignore[attr-defined]  # it is a StringIO
    return "\n".join(line.rstrip() for line in lines).rstrip("\n")


def _print(console: Console, *lines: str) -> None:
    """Each line as a paragraph, folded where it is too long; what folds is indented as its line is."""
    from rich.padding import Padding
    from rich.text import Text

    for line in lines:
        text = printable(line)
        indent = len(text) - len(text.lstrip())
        body: RenderableType = Text(text[indent:], overflow="fold")
        console.print(Padding(body, (0, 0, 0, indent), expand=False) if indent else body)


def _extent(comparison: Comparison) -> str:
    runs = counted(len(comparison.runs), "run")
    return f"{runs}: {counted(comparison.images, 'image')}, {counted(comparison.rounds, 'round')} a dialog"


def _marks(marks: Iterable[Mark], color: bool) -> str:
    """Each sign once, with all that it means; the words in tables are explained with the method."""
    told: dict[str, dict[str, None]] = {}
    for mark in marks:
        if mark.sign.isascii() and mark.sign != BEST:
            continue
        told.setdefault(STAR if mark.sign == BEST and not color else mark.sign, {})[mark.meaning] = None
    return "; ".join(f"{sign}: {', or '.join(meanings)}" for sign, meanings in told.items())


def _further(comparison: Comparison, shown: Iterable[object]) -> Iterator[str]:
    last = sum(not each.primary for each in comparison.differences)
    if last:
        yield f"{counted(last, 'further difference')}, on which no verdict rests: --format markdown, csv or json"


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
