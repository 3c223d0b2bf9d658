"""An examination for people: a section each, a line each, and under it the lines that mend it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import StringIO
from textwrap import wrap

from chatir.commands.doctoring.examination import Examination, Section
from chatir.commands.doctoring.finding import Finding, State
from chatir.console import printable
from chatir.models.local.model_name import built_in_names

WIDTH = 100
LEAST_WIDTH = 60
ARROW = "-> "
OR = "or "
"""Before another line that mends the same."""
INDENT = "  "
WORD = 8
"""Columns of the word for a state."""
WORDS: dict[State, str] = {"ok": "ok", "optional": "-", "needs": "needs", "broken": "broken"}
STYLES: dict[State, str] = {"ok": "green", "optional": "dim", "needs": "yellow", "broken": "red"}
NAME = 32
"""Columns of a name; what is longer has a line of its own."""
DEMO = "chatir demo"

Line = tuple[str, str]
"""A style, and the text of a line that it is for."""


def as_text(found: Examination, *, width: int | None, color: bool, encoding: str = "utf-8") -> str:
    """The examination as lines of at most 100 columns, and of at most `width` if that is 60 or more.

    color: for a terminal; otherwise no escape code is in the text. encoding: of where it goes; what that lacks is
    shown as an escape, as is all that could command a terminal.
    """
    columns = min(WIDTH, max(width or WIDTH, LEAST_WIDTH))
    lines = [line for section in found.sections for line in _section(section, columns, encoding)]
    return _styled([*lines, *_end(found, columns)], color)


def _section(section: Section, columns: int, encoding: str) -> Iterator[Line]:
    def shown(text: str) -> str:
        return printable(text).encode(encoding, "backslashreplace").decode(encoding)

    yield "bold", section.name
    if not section.findings:
        yield "", f"{INDENT}none installed"
    name = min(max((len(shown(finding.what)) for finding in section.findings), default=0), NAME)
    for each in section.findings:
        mends = tuple(tuple(map(shown, lines)) for lines in each.mends)
        yield from _finding(Finding(shown(each.what), each.state, shown(each.detail), mends), name, columns)
    yield "", ""


def _finding(finding: Finding, name: int, columns: int) -> Iterator[Line]:
    style = STYLES[finding.state]
    start = f"{INDENT}{WORDS[finding.state]:<{WORD}}{finding.what:<{name}}  "
    body = " " * (len(INDENT) + WORD + name + 2)
    if len(finding.what) > name:
        yield from ((style, line) for line in wrap(start, columns, subsequent_indent=INDENT + " " * WORD))
        start = body
    for line in wrap(finding.detail, columns, initial_indent=start, subsequent_indent=body, break_on_hyphens=False):
        yield style, line
    for lines in finding.mends:
        for arrow, line in zip((ARROW, *[OR] * len(lines)), lines, strict=False):
            yield from (("", part) for part in _to_type(arrow, line, columns))


def _to_type(arrow: str, line: str, columns: int) -> Iterator[str]:
    """A line to type; one that is too long goes on in the next, as a shell takes it."""
    indent = " " * (len(INDENT) + WORD)
    more = indent + " " * len(arrow)
    parts = wrap(
        line,
        columns - 2,
        initial_indent=indent + arrow,
        subsequent_indent=more,
        break_on_hyphens=False,
        break_long_words=False,
    )
    yield from (f"{part} \\" for part in parts[:-1])
    yield from parts[-1:]


def _end(found: Examination, columns: int) -> Iterator[Line]:
    """What can be done at once, and the sum of it all."""
    ready = ", ".join(f"{len(names)} {kind}" for kind, names in found.ready.items())
    mended = ", each with the line that mends it" if found.gaps > 1 else ", with the line that mends it"
    gaps = f"{found.gaps} gap{'s' if found.gaps > 1 else ''}{mended}" if found.gaps else "no gaps"
    summary = f"ready: {ready}; {gaps}"
    at_once = f"at once, with nothing more: {DEMO}, and the small models {', '.join(built_in_names())}"
    yield from (("", line) for line in wrap(at_once, columns))
    yield from (("bold", line) for line in wrap(summary, columns))


def _styled(lines: Iterable[Line], color: bool) -> str:
    if not color:
        return "\n".join(text for _, text in lines)
    from rich.console import Console
    from rich.text import Text

    console = Console(
        file=StringIO(), width=1_000_000, force_terminal=True, color_system="standard", legacy_windows=False
    )
    for style, text in lines:
        console.print(Text(text, style=style))
    return console.file.getvalue().rstrip("\n")  # type: ignore[attr-defined,no-any-return]  # it is a StringIO
