"""The shape of a table, before any format: heads, cells of text, marks and what they mean."""

from __future__ import annotations

from dataclasses import dataclass

from chatir.compare.comparison import Comparison
from chatir.measures.names import Better

BASELINE = " (baseline)"
DIFFERS = "†"
BEST = "bold"


@dataclass(frozen=True)
class Mark:
    """A mark in a table and its meaning. sign: `bold`, or the mark as it stands."""

    sign: str
    meaning: str

    def __str__(self) -> str:
        return f"{self.sign}: {self.meaning}"


@dataclass(frozen=True)
class Column:
    """The head of a column: a name, and beneath it, as detail, the unit or round.

    better: the direction that is an improvement, None where neither is. numeric: figures, which stand to the right.
    """

    name: str
    detail: str = ""
    better: Better | None = None
    numeric: bool = True

    @property
    def arrow(self) -> str:
        """Which way is better: `↓`, `↑`, or nothing."""
        return {"lower": "↓", "higher": "↑", None: ""}[self.better]


@dataclass(frozen=True)
class Cell:
    """A cell, as it is to be read; names in it are as files have them, escaped for no format.

    best: whether it is the best of its column. mark: `†` or nothing, to stand after the text.
    """

    text: str
    best: bool = False
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """A table. key: a name for links and labels, unlike those of the other tables.

    title, about: what a reader calls it; what is measured, and how. columns: their heads. rows: a cell for each column.
    marks: what each mark that is used in the table means.
    """

    key: str
    title: str
    about: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    marks: tuple[Mark, ...]


def run_name(comparison: Comparison, name: str) -> str:
    """A run's or group's name, told to be the baseline if it is, or is a run of the group that is."""
    group = next((group for group in comparison.groups if group.name == comparison.baseline), None)
    return name + (BASELINE if name == comparison.baseline or (group and name in group.runs) else "")


def counted(many: int, what: str) -> str:
    """`1 image`, `2,064 images`."""
    return f"{many:,} {what}{'' if many == 1 else 's'}"


def at_round(number: int | None) -> str:
    """`round 10`; nothing for None."""
    return "" if number is None else f"round {number}"
