"""The report's first table: the primary figures of each run, or group of seeds, and what is decided about it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from chatir.compare.comparison import Comparison, Difference, Estimate
from chatir.compare.measures import MANY_IMAGES, PRIMARY_K, interval_decimals, measure, number
from chatir.compare.statistics.differences import ALPHA
from chatir.compare.verdicts import HEADLINE

HITS = f"hits@{PRIMARY_K}"

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
    drawn: Estimate | None
    decisions: tuple[tuple[str, str], ...]


def summary_rows(comparison: Comparison, label: str | None) -> list[Row]:
    """The rows of a retriever's table, in the order of the runs. label: None where nothing ranked them."""
    rows = []
    for each in comparison.summaries:
        hits = each[HITS, label]
        rows.append(
            Row(
                name=each.name,
                repeats=_figure(comparison, each["repeats_per_dialog", None]),
                hits=_figure(comparison, hits),
                bri=_figure(comparison, each["bri", label]),
                drawn=hits if _figure(comparison, hits) else None,
                decisions=() if each.name == comparison.baseline else tuple(_decisions(comparison, each.name, label)),
            )
        )
    return rows


def _figure(comparison: Comparison, one: Estimate | None) -> Figure | None:
    if one is None or not math.isfinite(one.value):
        return None
    known = measure(one.metric, comparison.images)
    least = 0 if known.unit == "%" and comparison.images < MANY_IMAGES else known.decimals
    digits = interval_decimals(least, one.low, one.high)
    interval = f"[{number(one.low, digits)}, {number(one.high, digits)}]"
    seeds = () if one.between_seeds is None else (f"SD over seeds {known.text(one.between_seeds)}",)
    return known.text(one.value), interval, *seeds


def _decisions(comparison: Comparison, name: str, label: str | None) -> Iterator[tuple[str, str]]:
    """What is decided about a run, in a few words; what is withheld; if neither, why."""
    own = [
        one
        for one in comparison.differences
        if one.primary and (one.a, one.b) == (comparison.baseline, name) and one.retriever in (None, label)
    ]
    own.sort(key=lambda one: HEADLINE.index(one.metric))
    for kind in ("better", "worse"):
        if measures := [_name(one) for one in own if one.decided and _kind(one) == kind]:
            yield kind, f"{kind}: {', '.join(measures)}"
    if withheld := [_name(one) for one in own if one.withheld is not None]:
        yield "open", f"withheld: {', '.join(withheld)}"
    if not any(one.decided or one.withheld for one in own):
        yield "open", _undecided(own)
    if own and label is not None and not any(one.retriever for one in own):
        yield "open", "retrieval not tested"


def _undecided(own: list[Difference]) -> str:
    if not own:
        return "not tested"
    return "too few images" if all((one.least_p or 0) > ALPHA for one in own) else "no difference shown"


def _kind(one: Difference) -> str:
    return "better" if (one.delta > 0) == (measure(one.metric, one.n).better == "higher") else "worse"


def _name(one: Difference) -> str:
    return measure(one.metric, one.n).name
