"""The table that answers first: a row for each run or group of seeds, its primary figures, and what is decided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chatir.compare.comparison import Comparison, Difference, RunFigure, Summary
from chatir.compare.statistics.differences import ALPHA
from chatir.compare.summary_words import (
    BASELINE,
    HEADLINE,
    NOT_TESTED,
    PRIMARY,
    TOO_FEW,
    UNDECIDED,
    WITHHELD,
    decision_text,
    decisions,
    figure_texts,
    primary_differences_of,
    word_meaning,
)
from chatir.compare.tables.table import DIFFERS, Cell, Column, Mark, Table, at_round, counted
from chatir.measures.names import NOT_GIVEN, PRIMARY_HITS, measure

KEY = "summary"
WITHHELD_SIGN = "‡"

_TESTS = {"mcnemar": "exact McNemar test", "sign-flip": "paired sign-flip permutation test"}


def summary_table(comparison: Comparison, *, intervals: Sequence[str] = PRIMARY, daggers: bool = False) -> Table | None:
    """The primary figures of each run or group of seeds, by each retriever; None where there are none.

    intervals: the measures that have their 95% intervals beside them. daggers: whether marks beside the figures say
    what is decided, instead of a column of words.
    """
    found = [one for summary in comparison.summaries for one in summary.estimates]
    metrics = [metric for metric in PRIMARY if any(one.metric == metric for one in found)]
    if not metrics:
        return None
    ranked = dict.fromkeys(one.retriever for one in found if one.retriever)
    labels: list[str | None] = [*ranked] if ranked else [None]
    decides = len(comparison.summaries) > 1 and not daggers
    rows = tuple(
        tuple(_row(comparison, summary, label, metrics, intervals, daggers, len(labels) > 1, decides))
        for label in labels
        for summary in comparison.summaries
        if len(labels) == 1 or any(one.retriever == label for one in summary.estimates)
    )
    columns = tuple(_columns(comparison, metrics, len(labels) > 1, decides))
    marks = tuple(_marks(comparison, columns, rows, metrics, labels))
    return Table(KEY, "Summary", _about(comparison, metrics, labels), columns, rows, marks)


def _columns(comparison: Comparison, metrics: Sequence[str], several: bool, decides: bool) -> Iterator[Column]:
    yield Column("run", numeric=False)
    if several:
        yield Column("retriever", numeric=False)
    for metric in metrics:
        known = measure(metric, comparison.images)
        hits = metric == PRIMARY_HITS
        detail = ", ".join(part for part in (known.unit, at_round(comparison.rounds) if hits else "") if part)
        yield Column(known.name, detail, known.better)
        if hits:
            yield Column("chance", "%")
    if decides:
        yield Column("decision", numeric=False)


def _row(
    comparison: Comparison,
    summary: Summary,
    label: str | None,
    metrics: Sequence[str],
    intervals: Sequence[str],
    daggers: bool,
    several: bool,
    decides: bool,
) -> Iterator[Cell]:
    own = {one.metric: one for one in primary_differences_of(comparison, summary.name, label)}
    baseline = summary.name == comparison.baseline
    yield Cell(f"{summary.name} ({BASELINE})" if baseline and daggers else summary.name)
    if several:
        yield Cell(label or "")
    for metric in metrics:
        known = measure(metric, comparison.images)
        estimate = _estimate(summary, metric, label)
        mark = _dagger(own.get(metric)) if daggers else ""
        yield Cell(_figure(estimate, comparison.images, metric in intervals), mark=mark)
        if metric == PRIMARY_HITS:
            yield Cell(known.text(estimate.chance if estimate else None))
    if decides:
        yield Cell(BASELINE if baseline else "; ".join(map(decision_text, decisions(comparison, summary, label))))


def _estimate(summary: Summary, metric: str, label: str | None) -> RunFigure | None:
    return summary[metric, None if metric == "repeats_per_dialog" else label]


def _figure(one: RunFigure | None, images: int, interval: bool) -> str:
    """`66.0 [56, 75]`, of a group `66.0 ± 1.2 [58, 74]`; a dash where it cannot be given."""
    text, ends, seeds = figure_texts(one, images)
    text += f" ± {seeds}" if seeds else ""
    return f"{text} {ends}" if interval and ends else text


def _dagger(one: Difference | None) -> str:
    if one is None:
        return ""
    return DIFFERS if one.decided else WITHHELD_SIGN if one.withheld else ""


def _about(comparison: Comparison, metrics: Sequence[str], labels: Sequence[str | None]) -> str:
    return " ".join(_sentences(comparison, metrics, labels))


def _sentences(comparison: Comparison, metrics: Sequence[str], labels: Sequence[str | None]) -> Iterator[str]:
    yield f"{counted(comparison.images, 'image')}, {counted(comparison.rounds, 'round')} a dialog."
    rankings = {label: run.retrieval[label].ranking for run in comparison.runs for label in run.retrieval}
    for label in labels:
        if label in rankings:
            yield f"Ranked by {label} in {rankings[label].images:,} images."
    if PRIMARY_HITS in metrics:
        yield "Hits@10: targets ranked 10 or better in any round so far."
    if "bri" in metrics:
        yield "BRI: mean over rounds of ln of the best rank so far."
    tested = [one for one in comparison.differences if one.primary]
    if tested:
        yield f"Tested against {comparison.baseline}: {_tests(tested, comparison.tests)}."


def _tests(tested: Sequence[Difference], family: int) -> str:
    """By which test each measure is held against the baseline, and how p is adjusted."""
    by: dict[str, dict[str, None]] = {}
    for one in sorted(tested, key=lambda one: HEADLINE.index(one.metric)):
        by.setdefault(_TESTS[one.test or "sign-flip"], {})[measure(one.metric, 0).name] = None
    parts = [f"{', '.join(names)} by the {test}" for test, names in by.items()]
    if any(one.gate_p is not None for one in tested):
        parts.append("what ranks decide also by the ranks at each round (sign-flip)")
    return f"{'; '.join(parts)}; p adjusted by Holm over {counted(family, 'test')}"


def _marks(
    comparison: Comparison,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    metrics: Sequence[str],
    labels: Sequence[str | None],
) -> Iterator[Mark]:
    figures = [cell for row in rows for cell, column in zip(row, columns, strict=True) if column.numeric]
    texts = " ".join(cell.text for cell in figures)
    if "[" in texts:
        yield Mark("[ ]", "95% interval")
    if "±" in texts:
        yield Mark("±", "standard deviation between seeds")
    if PRIMARY_HITS in metrics:
        yield Mark("chance", "% of the corpus in the 10 best so far")
    if "bri" in metrics:
        yield Mark("exp(BRI)", "a typical best rank")
    directions = {column.better for column in columns}
    yield from (Mark(sign, f"{way} is better") for sign, way in (("↓", "lower"), ("↑", "higher")) if way in directions)
    names = [each.name for each in comparison.summaries]
    own = [one for label in labels for name in names for one in primary_differences_of(comparison, name, label)]
    marked = {cell.mark for cell in figures}
    if DIFFERS in marked:
        yield Mark(DIFFERS, f"differs from the baseline, p (Holm) at most {ALPHA}")
    if WITHHELD_SIGN in marked:
        yield Mark(WITHHELD_SIGN, word_meaning(WITHHELD, own))
    if columns[-1].name == "decision":
        yield from _decision_marks([row[-1].text for row in rows], own)
    if any(cell.text == NOT_GIVEN for cell in figures):
        yield Mark(NOT_GIVEN, ", or ".join(_missing(comparison, metrics, labels)))


def _decision_marks(decided: Sequence[str], own: Sequence[Difference]) -> Iterator[Mark]:
    words = " ".join(decided)
    said = (word for word in (WITHHELD, UNDECIDED, TOO_FEW, NOT_TESTED) if word in words)
    yield from (Mark(word, word_meaning(word, own)) for word in said)


def _missing(comparison: Comparison, metrics: Sequence[str], labels: Sequence[str | None]) -> Iterator[str]:
    """Why figures are not given."""
    summaries = comparison.summaries
    if "repeats_per_dialog" in metrics and any(_estimate(one, "repeats_per_dialog", None) is None for one in summaries):
        yield "most rounds hold no question"
    ranked = [
        _estimate(one, metric, label) for one in summaries for label in labels for metric in metrics[-2:] if label
    ]
    if any(one is None for one in ranked):
        stopped = any(run.run.stopped_at_hits for run in comparison.runs)
        yield "not ranked, or stopped at its hits" if stopped else "not ranked"
    if any(one and one.metric == PRIMARY_HITS and one.chance is None for one in ranked):
        yield "chance is known once 'chatir score' has ranked again"
