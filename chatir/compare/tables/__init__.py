"""A comparison as tables of text, for every format alike: digits, what is best, marks, and what each mark means."""

from __future__ import annotations

from chatir.compare.comparison import Comparison
from chatir.compare.tables.pair_tables import agreements_table, bounds_table, difference_tables, seeds_table
from chatir.compare.tables.run_tables import defects_table, language_table, repetition_table, retrieval_tables
from chatir.compare.tables.table import Cell, Column, Mark, Table

__all__ = ["Cell", "Column", "Mark", "Table", "tables"]


def tables(comparison: Comparison) -> list[Table]:
    """All that a comparison has to tell in figures. Tables for which there is nothing to tell are left out."""
    found = [
        repetition_table(comparison),
        language_table(comparison),
        *retrieval_tables(comparison),
        defects_table(comparison),
        *difference_tables(comparison),
    ]
    if comparison.agreements:
        found.append(agreements_table(comparison.agreements))
    if comparison.groups:
        found.append(seeds_table(comparison, comparison.groups))
    if comparison.bounds:
        found.append(bounds_table(comparison, comparison.bounds))
    return found
