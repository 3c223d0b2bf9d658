"""The report's first table: the primary figures of each run, or group of seeds, and what is decided about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chatir.compare.comparison import Comparison, RunFigure, Summary
from chatir.compare.summary_words import decision_text, decisions, figure_texts
from chatir.measures.names import PRIMARY_HITS

Figure = tuple[str, ...]
"""A figure as it is read, its 95% interval, and, of a group of seeds, how far apart they are."""


@dataclass(frozen=True)
class Row:
    """A run, or a group of seeds.

    repeats, hits, bri: None where they cannot be given. drawn: Hits@10 once more, to be drawn. decisions: against the
    baseline, each with its kind (`better`, `worse`, `open`); none for the baseline.
    """

    name: str
    repeats: Figure | None
    hits: Figure | None
    bri: Figure | None
    drawn: RunFigure | None
    decisions: tuple[tuple[str, str], ...]


def summary_rows(comparison: Comparison, label: str | None) -> list[Row]:
    """The rows of a retriever's table, in the order of the runs. label: None where nothing ranked them."""
    rows = []
    for each in comparison.summaries:
        hits = each[PRIMARY_HITS, label]
        rows.append(
            Row(
                name=each.name,
                repeats=_figure(comparison, each["repeats_per_dialog", None]),
                hits=_figure(comparison, hits),
                bri=_figure(comparison, each["bri", label]),
                drawn=hits if _figure(comparison, hits) else None,
                decisions=() if each.name == comparison.baseline else tuple(_decisions(comparison, each, label)),
            )
        )
    return rows


def _figure(comparison: Comparison, one: RunFigure | None) -> Figure | None:
    text, interval, seeds = figure_texts(one, comparison.images)
    return (text, interval, *([f"SD over seeds {seeds}"] if seeds else [])) if interval else None


def _decisions(comparison: Comparison, each: Summary, label: str | None) -> Iterator[tuple[str, str]]:
    """What is decided about a run, each with its kind."""
    for decision in decisions(comparison, each, label):
        word = decision[0]
        yield word if word in ("better", "worse") else "open", decision_text(decision)
