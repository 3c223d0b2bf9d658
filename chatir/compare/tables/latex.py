"""A comparison as LaTeX tables, ready for a paper: booktabs rules, and captions that tell what was measured and how."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap

from chatir.compare.comparison import Comparison
from chatir.compare.tables import run_tables, summary_table, tables
from chatir.compare.tables.summary_table import KEY
from chatir.compare.tables.table import BEST, Cell, Column, Mark, Table
from chatir.console import printable
from chatir.measures.names import NOT_GIVEN

HEADER = "% \\usepackage{booktabs,graphicx} and \\usepackage[T1]{fontenc}; table* is as wide as the page."
SHRUNK = 0.66
"""To what a table may be shrunk, so that \\small is still as large as a footnote's index."""
TEXT_WIDTH = 341.0 / SHRUNK
"""Points: of article's one column, the narrowest page to be reckoned with, less a little; before it is shrunk."""
FITTED = r"\resizebox{\ifdim\width>\textwidth \textwidth\else \width\fi}{!}{%"
"""Begins what is shrunk to the width of the text if it is wider."""
CHARACTER, GAP = 4.65, 6.0
"""Points: what a digit takes in \\small, and what stands between two columns."""
NAMES = 60
"""Characters that names may have beside each other in a table; what is longer is folded."""
LONGEST_WORD = 24
"""Characters of a word of a language."""
PIECE = 6
"""Characters of a longer word after which a line may break wherever it is."""
BREAKS = "_-./"
"""Characters after which any word may break in a narrow column."""
PAGE, HEAD = 38, 5
"""Lines of a table that fit on a page with their caption, and lines of a tabular's own head and rules."""

Row = tuple[Cell, ...]

_LATIN = frozenset(
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþÿĂăĄąĆćČčĎďĐđĘęĚěĞğİıĹĺĽľŁłŃńŇňŊŋŐőŔŕŘřŚśŠšŞşŢţŤťŮůŰűŸŹźŻżŽž"
    "Œœ¡¿§«»“”„‘’‚…–—"  # noqa: RUF001 - what the T1 encoding can print
)
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "-": "-{}",
    "[": "{[}",  # after a row's end it would begin an option, and a star would be one
    "*": "{*}",
    "†": r"\textdagger{}",
    "‡": r"$\ddagger$",
    "±": r"$\pm$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    **{c: f"\\{c}" for c in "{}%$#&_"},
}

_FIGURE = {"-": "$-$", "<": "$<$", "±": r"$\pm$", "%": r"\%", NOT_GIVEN: "--"}


def as_latex(comparison: Comparison, *, everything: bool = False, each_run: bool = False, method: bool = False) -> str:
    """The summary as one `table*`, in which a dagger says what is decided. What pdflatex cannot print is named by its
    code point.

    everything: a `table*` for each other table, then the verdicts and how was tested, as paragraphs. each_run: the
    tables with a row for each run too, as they are without a summary. method: how was tested, too.
    """
    summary = summary_table(comparison, daggers=True)
    shown = [summary] if summary else []
    if everything:
        shown += [table for table in tables(comparison) if table.key != KEY]
    elif each_run or not summary:
        shown += run_tables(comparison)
    parts = [HEADER, *("\n".join(_table(table)) for table in shown)]
    verdicts = " ".join(f"{verdict.sentence}." for verdict in comparison.verdicts) if everything else ""
    told = comparison.method if everything or method else ""
    for title, text in (("Verdicts.", verdicts), ("Method.", told)):
        parts += [rf"{{\sloppy \paragraph{{{title}}} {_escaped(text)}\par}}"] if text else []
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> Iterator[str]:
    """One `table*`, or as many as the pages that it takes, all of one number."""
    names = _name_widths(table)
    for number, (rows, parts) in enumerate(_pages(table, names, _parts(table, names))):
        if number:
            yield r"\clearpage \addtocounter{table}{-1}"
        yield r"\begin{table*}[tp]"
        yield r"\centering"
        yield rf"\caption{{{f'{_escaped(table.title)}, continued.' if number else _caption(table)}}}"
        if not number:
            yield rf"\label{{tab:chatir-{table.key}}}"
        yield r"\smallskip"
        yield r"\small"
        yield r"\setlength{\tabcolsep}{3pt}"
        for part in parts:
            if part is not parts[0]:
                yield r"\par\medskip"
            yield from _tabular(table, names, rows, part)
        yield r"\end{table*}"


def _caption(table: Table) -> str:
    marks = f" {'; '.join(map(_mark, table.marks))}." if table.marks else ""
    return f"{_escaped(table.title)}. {_escaped(table.about)}{marks}"


def _mark(mark: Mark) -> str:
    sign = r"\textbf{bold}" if mark.sign == BEST else _escaped(mark.sign)
    return f"{sign}: {_escaped(mark.meaning)}"


def _name_widths(table: Table) -> list[int]:
    """Of the columns before the first figures, in characters."""
    leading = next((place for place, column in enumerate(table.columns) if column.numeric), len(table.columns))
    widths = [max(len(_plain(text)) for text in _texts(table, place)) for place in range(leading)]
    while sum(widths) > NAMES:
        widths[widths.index(max(widths))] -= 1
    return widths


def _texts(table: Table, place: int) -> list[str]:
    return [table.columns[place].name, *(row[place].text for row in table.rows)]


def _parts(table: Table, names: Sequence[int]) -> list[list[int]]:
    """The places of the figures of each tabular: as many columns as fit on the page beside the names."""
    room = TEXT_WIDTH - sum(width * CHARACTER + GAP for width in names)
    parts: list[list[int]] = [[]]
    used = 0.0
    for place in range(len(names), len(table.columns)):
        width = _width(table, place) * CHARACTER + GAP
        if parts[-1] and used + width > room:
            parts.append([])
            used = 0.0
        parts[-1].append(place)
        used += width
    return parts


def _width(table: Table, place: int) -> int:
    """Of a column of figures, in characters."""
    column = table.columns[place]
    arrow = 1 if column.arrow else 0
    heads = [*(len(word) + arrow for word in column.name.split()), *map(len, re.split(r"(?<=,) ", column.detail))]
    return max(*heads, *(len(row[place].text) for row in table.rows))


def _pages(
    table: Table, names: Sequence[int], parts: list[list[int]]
) -> Iterator[tuple[Sequence[Row], list[list[int]]]]:
    """What stands on each page: all parts of some rows, or one part of them where a page is too small for all parts."""
    lines = [
        max(
            -(-len(_plain(cell.text)) // max(width - PIECE, 1)) if len(_plain(cell.text)) > width else 1
            for cell, width in zip(row, names, strict=False)
        )
        for row in table.rows
    ]
    together = len(parts) * (HEAD + max(lines)) <= PAGE
    for some in [parts] if together else [[part] for part in parts]:
        start = used = 0
        for place, tall in enumerate(lines):
            if place > start and len(some) * (HEAD + used + tall) > PAGE:
                yield table.rows[start:place], some
                start, used = place, 0
            used += tall
        yield table.rows[start:], some


def _tabular(table: Table, names: Sequence[int], rows: Iterable[Row], part: Sequence[int]) -> Iterator[str]:
    places = [*range(len(names)), *part]
    columns = [table.columns[place] for place in places]
    folds = [max(map(len, map(_plain, _texts(table, place)))) > width for place, width in enumerate(names)]
    kinds = [rf"p{{{width * CHARACTER:.0f}pt}}" if fold else "l" for width, fold in zip(names, folds, strict=True)]
    kinds += ["r" if table.columns[place].numeric else "l" for place in part]
    heads = [[_escaped(column.name)] for column in columns[: len(names)]]
    heads += [_head(table.columns[place], _width(table, place)) for place in part]
    tallest = max(map(len, heads))
    yield FITTED
    yield rf"\begin{{tabular}}{{@{{}}{''.join(kinds)}@{{}}}}"
    yield r"\toprule"
    for line in range(tallest):
        yield _row(head[line - tallest] if tallest - line <= len(head) else "" for head in heads)
    yield r"\midrule"
    for row in rows:
        texts = [
            rf"\raggedright {_escaped(cell.text, width - 2)}" if fold else _escaped(cell.text)
            for cell, width, fold in zip(row, names, folds, strict=False)
        ]
        yield _row([*texts, *(_cell(row[place], table.columns[place]) for place in part)])
    yield r"\bottomrule"
    yield r"\end{tabular}}"


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _head(column: Column, width: int) -> list[str]:
    """The lines of a column's head, of which the last stands above the rule."""
    lines = wrap(column.name, width, break_long_words=False, break_on_hyphens=False)
    heads = [_escaped(line) for line in lines]
    if column.arrow:
        heads[-1] += rf"\,{_escaped(column.arrow)}"
    details = wrap(column.detail.replace("round ", "round\N{NO-BREAK SPACE}"), width, break_long_words=False)
    return [*heads, *(_escaped(line.replace("\N{NO-BREAK SPACE}", " ")) for line in details)]


def _cell(cell: Cell, column: Column) -> str:
    """A figure with a true minus; a mark after it takes no room, so that digits stand in line."""
    if not column.numeric:
        return _escaped(cell.text)
    text = "".join(_FIGURE.get(character, character) for character in cell.text)
    text = rf"\textbf{{{text}}}" if cell.best else text
    return text + (rf"\rlap{{\textsuperscript{{{_escaped(cell.mark)}}}}}" if cell.mark else "")


def _escaped(text: str, longest: int = LONGEST_WORD) -> str:
    """Text that LaTeX prints as it stands. longest: characters of a word; one that is longer may break anywhere."""
    return " ".join(_word(word, longest) for word in printable(text).split(" "))


def _word(word: str, longest: int) -> str:
    shown = [_shown(c) for c in word]
    piece = PIECE if sum(map(len, shown)) > longest else math.inf
    escaped = []
    since = 0
    for c in shown:
        escaped.append("".join(_SPECIAL.get(each, each) for each in c))
        since += len(c)
        if (longest < LONGEST_WORD and c in BREAKS) or since >= piece:
            escaped.append(r"\allowbreak{}")
            since = 0
    return "".join(escaped)


def _plain(text: str) -> str:
    """The characters that will be printed."""
    return "".join(map(_shown, printable(text)))


def _shown(c: str) -> str:
    """A character, or its code point where pdflatex cannot print it."""
    return c if c.isascii() or c in _LATIN or c in _SPECIAL else f"[U+{ord(c):04X}]"
