"""A comparison as Markdown with GitHub's tables; text from files is escaped, so that it is only ever text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chatir.compare.comparison import Comparison
from chatir.compare.tables import tables
from chatir.compare.tables.table import BEST, Cell, Column, Mark, Table, counted
from chatir.console import printable

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>&|~$])")
_LINK = re.compile(r"(?i)(https?|ftp|mailto)(:)|(www)(\.)")
_BLOCK = re.compile(r"^(\d*)([#+\-=.)])")
"""What would begin a heading, a list or a rule if a line began with it."""


def as_markdown(comparison: Comparison) -> str:
    """The verdicts, then every table with what it measures and what its marks mean, then notes and method."""
    runs = counted(len(comparison.runs), "run")
    parts = [f"## Comparison of {runs}"]
    parts.append("\n".join(f"- {_line(verdict.sentence)}" for verdict in comparison.verdicts))
    parts += ["\n\n".join(_table(table)) for table in tables(comparison)]
    parts.append("\n".join(f"- {_line(note)}" for note in comparison.notes))
    parts.append(_line(comparison.method))
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(table: Table) -> Iterator[str]:
    yield f"### {_line(table.title)}"
    yield _line(table.about)
    rows = [[_head(column) for column in table.columns]]
    rows.append(["---:" if column.numeric else ":---" for column in table.columns])
    rows += [[_cell(cell) for cell in row] for row in table.rows]
    yield "\n".join(f"| {' | '.join(row)} |" for row in rows)
    if table.marks:
        yield "; ".join(map(_mark, table.marks))


def _head(column: Column) -> str:
    arrow = f" {column.arrow}" if column.arrow else ""
    return _escaped(f"{column.name}{arrow}" + (f" ({column.detail})" if column.detail else ""))


def _cell(cell: Cell) -> str:
    text = _escaped(cell.text)
    return (f"**{text}**" if cell.best else text) + cell.mark


def _mark(mark: Mark) -> str:
    sign = f"**{mark.sign}**" if mark.sign == BEST else _escaped(mark.sign)
    return f"{sign}: {_escaped(mark.meaning)}"


def _line(text: str) -> str:
    """Text that begins a line, of which nothing is a heading, a list or code."""
    return _BLOCK.sub(r"\1\\\2", _escaped(text).lstrip(), count=1)


def _escaped(text: str) -> str:
    """Text on one line that means only itself: no markup, no HTML, no entity, no link."""
    return _LINK.sub(r"\1\3\\\2\4", _SPECIAL.sub(r"\\\1", printable(text)))
