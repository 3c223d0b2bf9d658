"""The primary differences with their intervals: what a paper's claim stands on, as a forest plot."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from chatir.compare.comparison import Comparison, Difference
from chatir.compare.figures.labels import LONGEST, short_labels, shortened
from chatir.compare.figures.look import COLUMN, LINE, PAGE, SMALL, Drawn, Look, drawable, new_figure
from chatir.measures.names import Better, Measure, interval_decimals, measure, number, percent_level

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PAIRS = 60
"""Pairs up to which all are shown."""
COLUMNS = 3
MINUS = "\u2212"
LONGEST_OF_PAIR = 16
"""Characters of each name where a row has two."""
ROW = 0.34
LOW_ROW = 0.19
"""Heights of a pair's row, inches, with figures above the interval and without."""
BROAD, THIN = 2.2, 0.7
"""Widths of the lines of the two intervals, points."""
MOST_TOLD = 12
"""Pairs up to which each row has its figures."""
TOWARDS: dict[Better | None, str] = {"higher": "better →", "lower": "← better", None: ""}

Pair = tuple[str, str]
Panel = tuple[str, str | None, str | None, int | None]
"""Metric, retriever, corpus, round."""


def difference_figures(comparison: Comparison, look: Look) -> Iterator[Drawn]:
    """The primary differences: a panel for each measure and retriever, a row for each pair, decided ones filled."""
    primary = [one for one in comparison.differences if one.primary and math.isfinite(one.delta)]
    every = list(dict.fromkeys((one.a, one.b) for one in primary))
    pairs = every[:MOST_PAIRS]
    panels: dict[Panel, list[Difference]] = {}
    for one in primary:
        if (one.a, one.b) in pairs:
            panels.setdefault((one.metric, one.retriever, one.corpus, one.round), []).append(one)
    if not panels:
        return
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    row = ROW if len(pairs) <= MOST_TOLD else LOW_ROW
    lines = 2 if columns > 1 else 4
    figure = new_figure(PAGE if columns > 1 else COLUMN, (lines + 2) * LINE + 0.2 + rows * (0.7 + row * len(pairs)))
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    names = _row_names(pairs, look)
    retrievers = {(retriever, corpus) for _, retriever, corpus, _ in panels if retriever}
    for place, ((metric, retriever, _, round_), differences) in enumerate(panels.items()):
        axes = grid[place]
        _draw(axes, differences, pairs, look, measure(metric, comparison.images))
        if len(pairs) <= MOST_TOLD:
            _tell(axes, differences, pairs, look, measure(metric, comparison.images))
        axes.set_yticks(range(len(pairs)), names if place % columns == 0 else [""] * len(pairs))
        title = measure(metric, comparison.images).name + (f", round {round_}" if round_ is not None else "")
        axes.set_title(
            f"{title}\n{shortened(drawable(retriever), LONGEST)}" if retriever and len(retrievers) > 1 else title
        )
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    left_out = f", the first {len(pairs)} of {len(every)} pairs" if len(every) > len(pairs) else ""
    _legend(figure, primary, look, left_out, 2 if columns > 1 else 1)
    yield Drawn("differences", "Primary differences between runs, with their intervals", figure)


def _row_names(pairs: Sequence[Pair], look: Look) -> list[str]:
    """What each row is called: `b - a`, or only b where all are held against the same run."""
    if len({a for a, _ in pairs}) == 1:
        return [look.labels[b] for _, b in pairs]
    labels = short_labels(look.labels.values(), str, LONGEST_OF_PAIR)
    return [f"{labels[look.labels[b]]} {MINUS} {labels[look.labels[a]]}" for a, b in pairs]


def _draw(axes: Axes, differences: Sequence[Difference], pairs: Sequence[Pair], look: Look, shown: Measure) -> None:
    axes.axvline(0, color=look.theme.text, linewidth=0.7)
    for one in differences:
        style = look.styles[one.b]
        row = pairs.index((one.a, one.b))
        value = shown.scale * one.delta
        for low, high, width in _intervals(one):
            ends = [shown.scale * low, shown.scale * high]
            axes.plot(ends, [row, row], color=style.color, linewidth=width, solid_capstyle="butt")
        filling = style.color if one.decided else look.theme.behind
        axes.plot(value, row, style.marker, color=style.color, markerfacecolor=filling, markersize=5.5)
    axes.set_ylim(len(pairs) - 0.5, -0.5)
    axes.margins(x=0.08)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    unit = "percentage points" if shown.unit == "%" else shown.unit
    axes.set_xlabel((f"difference ({unit})" if unit else "difference") + f"\n{TOWARDS[shown.better]}")


def _intervals(one: Difference) -> Iterator[tuple[float, float, float]]:
    """Ends and line width of the 95% interval, and of the wider one at the level at which it was decided."""
    yield one.ci_low, one.ci_high, BROAD
    if one.adjusted_low is not None and one.adjusted_high is not None:
        yield one.adjusted_low, one.adjusted_high, THIN


def _tell(axes: Axes, differences: Sequence[Difference], pairs: Sequence[Pair], look: Look, shown: Measure) -> None:
    """The figures themselves, above each interval at the panel's edge."""
    from matplotlib.patheffects import withStroke

    for one in differences:
        low, value, high = (shown.scale * figure for figure in (one.ci_low, one.delta, one.ci_high))
        digits = interval_decimals(shown.decimals, low, high)
        ends = f"[{number(low, digits)}, {number(high, digits)}]".replace("-", MINUS)
        told = number(value, digits, sign=True).replace("-", MINUS)
        row = pairs.index((one.a, one.b))
        place = axes.get_yaxis_transform()
        text = axes.text(1, row - 0.2, f"{told} {ends}", ha="right", va="bottom", fontsize=SMALL, transform=place)
        text.set_path_effects([withStroke(linewidth=4, foreground=look.theme.behind)])  # lines stop before it


def _legend(figure: Figure, differences: Sequence[Difference], look: Look, left_out: str, columns: int) -> None:
    """What is subtracted from what, which interval is which, and what is filled."""
    from matplotlib.lines import Line2D

    baselines = {one.a for one in differences}
    minus = f"difference from {look.labels[baselines.pop()]}" if len(baselines) == 1 else "difference"
    text = look.theme.text
    point: dict[str, Any] = {"color": text, "linestyle": "none", "marker": "o", "markersize": 5.5}
    named = {
        f"{minus}, {percent_level(differences[0].level)} interval{left_out}": Line2D(
            [], [], color=text, linewidth=BROAD
        )
    }
    levels = sorted({one.adjusted_level for one in differences if one.adjusted_level is not None})
    if levels:
        range_ = percent_level(levels[0]) + (f" to {percent_level(levels[-1])}" if len(levels) > 1 else "")
        named[f"interval adjusted by Holm ({range_})"] = Line2D([], [], color=text, linewidth=THIN)
    named["decided: test and adjusted interval agree"] = Line2D([], [], **point)
    named["not decided"] = Line2D([], [], markerfacecolor=look.theme.behind, **point)
    figure.legend(list(named.values()), list(named), loc="outside lower center", ncols=columns, handlelength=1.6)
