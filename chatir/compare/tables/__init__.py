"""A comparison as tables of text, for every format alike: digits, what is best, marks, and what each mark means."""

from __future__ import annotations

from chatir.compare.comparison import Comparison
from chatir.compare.tables.pair_tables import agreements_table, bounds_table, difference_tables, seeds_table
from chatir.compare.tables.run_tables import (
    by_round_tables,
    defects_table,
    language_table,
    repetition_table,
    retrieval_tables,
)
from chatir.compare.tables.summary_table import summary_table
from chatir.compare.tables.table import Cell, Column, Mark, Table

__all__ = ["Cell", "Column", "Mark", "Table", "run_tables", "summary_table", "tables"]


def tables(comparison: Comparison) -> list[Table]:
    """All that a comparison has to tell in figures, the summary first. Empty tables are left out."""
    found = [summary_table(comparison), *run_tables(comparison), *difference_tables(comparison)]
    if comparison.agreements:
        found.append(agreements_table(comparison.agreements))
    if any(group.spread for group in comparison.groups):
        found.append(seeds_table(comparison, comparison.groups))
    if comparison.bounds:
        found.append(bounds_table(comparison, comparison.bounds))
    return [table for table in found if table is not None]


def run_tables(comparison: Comparison) -> list[Table]:
    """The tables with a row for each run: repetition, language, retrieval, Hits@10 by round, defects."""
    found = [
        repetition_table(comparison),
        language_table(comparison),
        *retrieval_tables(comparison),
        *by_round_tables(comparison),
        defects_table(comparison),
    ]
    return [table for table in found if table is not None]
