"""Tables laid out for a terminal: side by side where there is room, cut into blocks of columns where there is not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from textwrap import wrap
from typing import TYPE_CHECKING

from chatir.compare.tables.table import Cell, Column, Table
from chatir.console import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

GAP = 2
NARROWEST = 8
ENOUGH = 16
"""Characters of a name that can be read well."""
WORDS = 13
"""Characters that a column of words is left at least, where its lines are folded."""
NAMES_SHARE = 0.5
"""How much of the width names may have at most where figures need several blocks; what is longer is folded."""


def text_console(width: int | None, color: bool) -> Console:
    """A console that writes to a string, whatever the environment says of the real one.

    width: None for one that folds nothing.
    """
    from rich.console import Console

    return Console(
        file=StringIO(),
        width=width or 1_000_000,
        height=100,
        force_terminal=color,
        color_system="standard" if color else None,
        legacy_windows=False,
    )


@dataclass(frozen=True)
class _Set:
    """A column as it is printed: its head and its cells, all lines of `width`."""

    head: tuple[str, ...]
    cells: tuple[Text, ...]
    width: int


@dataclass(frozen=True)
class _Section:
    """Some columns of one table, under a title. beside: the title where other sections stand beside it."""

    title: str
    beside: str
    columns: tuple[_Set, ...]

    @property
    def width(self) -> int:
        """Of all columns, with the gaps between them."""
        return _width(self.columns)


def blocks(tables: Iterable[Table], width: int | None, star: str) -> Iterator[list[RenderableType]]:
    """What to print, block by block. No block is wider than `width` unless a single column with its names is.

    star: what stands beside the best figures, which are bold as well.
    """
    names: tuple[_Set, ...] = ()
    waiting: list[_Section] = []
    beside: tuple[object, ...] = ()
    for table in tables:
        leading = _leading(table)
        rows = (table.columns[:leading], *(row[:leading] for row in table.rows))
        together = width is not None and rows == beside
        if not together:
            if waiting:
                yield _block(names, waiting)
            waiting, beside = [], rows
            names = _names(table, leading, width, star)
        room = None if width is None else width - sum(column.width + GAP for column in names)
        for section in _sections(table, _figure_sets(table, leading, width, star), room):
            needed = sum(each.width + GAP for each in waiting) + section.width
            fits = room is None or needed <= room
            titled = all(_widest([each.beside]) <= each.width for each in (*waiting, section))
            if waiting and not (fits and titled):
                yield _block(names, waiting)
                waiting = []
            waiting.append(section)
    if waiting:
        yield _block(names, waiting)


def natural_width(table: Table) -> int:
    """Columns of the screen that the table takes where nothing is folded."""
    leading = _leading(table)
    return _width([*_names(table, leading, None, ""), *_figure_sets(table, leading, None, "")])


def _leading(table: Table) -> int:
    """How many columns say what a row is about."""
    return next((place for place, column in enumerate(table.columns) if column.numeric), len(table.columns))


def _names(table: Table, leading: int, width: int | None, star: str) -> tuple[_Set, ...]:
    """The columns that say what a row is about, narrow enough that most of the width is left for figures."""
    from rich.text import Text

    texts = [[printable(row[place].text) for row in table.rows] for place in range(leading)]
    heads = [column.name for column in table.columns[:leading]]
    widths = [_widest([head, *cells]) for head, cells in zip(heads, texts, strict=True)]
    if width is not None:
        figures = _width(_figure_sets(table, leading, width, star))
        left = width - figures - GAP * leading
        if left < ENOUGH * leading:  # The figures need more than one block however narrow the names are.
            left = max(int(width * NAMES_SHARE) - GAP * leading, NARROWEST * leading)
        while sum(widths) > left:
            widths[widths.index(max(widths))] -= 1
    return tuple(
        _Set((head,), tuple(Text(cell, overflow="fold") for cell in cells), wide)
        for head, cells, wide in zip(heads, texts, widths, strict=True)
    )


def _sections(table: Table, figures: Iterable[_Set], room: int | None) -> Iterator[_Section]:
    """The table's figures, in as many sections as it takes for each to fit beside the names."""
    title = printable(table.title)
    beside = title
    part: list[_Set] = []
    for column in figures:
        if part and room is not None and _width([*part, column]) > room:
            yield _Section(title, beside, tuple(part))
            title, beside, part = f"{printable(table.title)}, continued", "continued", []
        part.append(column)
    yield _Section(title, beside, tuple(part))


def _figure_sets(table: Table, leading: int, width: int | None, star: str) -> list[_Set]:
    """All columns but the names. Where they do not fit, words are folded as far as names of their usual width need."""
    columns = [(column, [row[place] for row in table.rows]) for place, column in enumerate(table.columns)]
    sets = [_figures(column, cells, star) for column, cells in columns[leading:]]
    if width is None:
        return sets
    names = sum(
        _widest([column.name, *(printable(cell.text) for cell in cells)]) + GAP for column, cells in columns[:leading]
    )
    for place, (column, cells) in enumerate(columns[leading:]):
        over = names + _width(sets) - width
        if not column.numeric and over > 0:
            sets[place] = _words(sets[place], column, cells, max(WORDS, sets[place].width - over))
    return sets


def _words(natural: _Set, column: Column, cells: Sequence[Cell], width: int) -> _Set:
    """A column of words, folded between them."""
    from rich.text import Text

    lines = [_folded(printable(cell.text), width) for cell in cells]
    width = _widest([column.name, *(line for some in lines for line in some)])
    return (
        natural
        if width >= natural.width
        else _Set((column.name,), tuple(Text("\n".join(some)) for some in lines), width)
    )


def _figures(column: Column, cells: Sequence[Cell], star: str) -> _Set:
    """A column of figures, as narrow as it can be; their last digits stand in line, whatever mark follows."""
    from rich.text import Text

    marks = [(star if cell.best else "") + cell.mark for cell in cells]
    room = _widest(marks)
    texts = [printable(cell.text) + mark.ljust(room) for cell, mark in zip(cells, marks, strict=True)]
    details = column.detail.replace("round ", "round\N{NO-BREAK SPACE}").replace("per ", "per\N{NO-BREAK SPACE}")
    words = [*f"{column.name}{column.arrow}".split(" "), *details.split(" ")]
    width = max(_widest(texts), _widest(words))
    head = [*_folded(f"{column.name}{column.arrow}", width), *_folded(details, width)]
    lines = (text.rjust(width) if column.numeric else text for text in texts)
    shown = tuple(Text(line, "bold" if cell.best else "") for line, cell in zip(lines, cells, strict=True))
    return _Set(tuple(line.rjust(width) if column.numeric else line for line in head), shown, width)


def _folded(text: str, width: int) -> list[str]:
    lines = wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _width(columns: Sequence[_Set]) -> int:
    return sum(column.width for column in columns) + GAP * (len(columns) - 1)


def _widest(texts: Iterable[str]) -> int:
    from rich.cells import cell_len

    return max(map(cell_len, texts), default=0)


def _block(names: Sequence[_Set], sections: Sequence[_Section]) -> list[RenderableType]:
    from rich.table import Table as Grid
    from rich.text import Text

    columns = [*names, *(column for section in sections for column in section.columns)]
    grid = Grid(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="")
    for place, column in enumerate(columns):
        folds = place < len(names)
        grid.add_column(Text("\n".join(column.head)), width=column.width, overflow="fold", no_wrap=not folds)
    for row in zip(*(column.cells for column in columns), strict=True):
        grid.add_row(*row)
    return [_titles(names, sections), grid]


def _titles(names: Sequence[_Set], sections: Sequence[_Section]) -> Text:
    """The title of a section alone stands at the margin; those of several, each over its columns, with a rule."""
    from rich.text import Text

    if len(sections) == 1:
        return Text(sections[0].title, overflow="fold")
    line = " " * sum(name.width + GAP for name in names)
    return Text(line + (" " * GAP).join(_ruled(section) for section in sections))


def _ruled(section: _Section) -> str:
    left = section.width - _widest([section.beside])
    return section.beside + (" " + "─" * (left - 1) if left else "")
