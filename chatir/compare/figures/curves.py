"""Figures of what changes from round to round: retrieval with its bands, onset of repetition, truncated texts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from chatir.compare.comparison import ComparedRun, Comparison
from chatir.compare.counted.retrieval import Curve
from chatir.compare.figures.labels import shortened, slugs
from chatir.compare.figures.look import COLUMN, LINE, PAGE, SMALL, Drawn, Look, drawable, new_figure
from chatir.compare.figures.palette import Style
from chatir.measures.names import PRIMARY_K
from chatir.measures.retrieval import Figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

FIRST_SCREEN = 4.3
"""Width, inches, of a figure beside the first table of a report."""
MOST_BANDS = 8
"""Runs up to which bands are drawn: more of them hide one another."""
MANY = 12
"""Runs beyond which a legend needs a page's width."""
MOST_TICKS = 12
LONGEST_TITLE = 46
"""Characters of a retriever's label over a panel of a column's width."""
NEAR_ZERO = 0.4
"""Percentages that begin below this share of the axis are shown from 0 on."""

Curves = Mapping[str, Curve]
"""A measure's curve for each run, by name."""


def hits_figures(comparison: Comparison, look: Look) -> Iterator[Drawn]:
    """For each retriever: Hits@K by round, a panel for each K, that of K=10 (else the greatest) the largest."""
    for label, name in retriever_slugs(comparison).items():
        by_k = {k: _curves(comparison, label, f"hits@{k}") for k in comparison.ks}
        by_k = {k: curves for k, curves in by_k.items() if curves}
        if not by_k:
            continue
        primary = PRIMARY_K if PRIMARY_K in by_k else max(by_k)
        others = [k for k in sorted(by_k) if k != primary]
        chance = {k: _chance(comparison, label, f"hits@{k}") for k in by_k}
        width = PAGE if others else COLUMN
        figure = _sheet(width, 2.6, look, list(by_k[primary]), chance=chance[primary] is not None)
        largest, *small = _panels(figure, len(others))
        for axes, k in zip([largest, *small], [primary, *others], strict=True):
            _draw_hits(axes, by_k[k], chance[k], look)
            axes.set_ylabel(f"Hits@{k} (% of dialogs)" if axes is largest else f"Hits@{k} (%)")
            _round_axis(axes, len(next(iter(by_k[k].values())).values), len(by_k[k]) if axes is largest else 0)
        _name_retriever(comparison, largest, label)
        yield Drawn(f"hits_{name}", f"Hits@K by round, retrieval by {drawable(label)}", figure)


def first_screen_figures(comparison: Comparison, look: Look) -> Iterator[Drawn]:
    """For each retriever: Hits@10 by round alone, of the size that the first screen of a report has room for."""
    measure = f"hits@{PRIMARY_K}"
    for label, name in retriever_slugs(comparison).items():
        curves, chance = _curves(comparison, label, measure), _chance(comparison, label, measure)
        if not curves:
            continue
        figure = _sheet(FIRST_SCREEN, 2.7, look, list(curves), chance=chance is not None)
        axes = figure.add_subplot()
        _draw_hits(axes, curves, chance, look)
        axes.set_ylabel(f"Hits@{PRIMARY_K} (% of dialogs)")
        _round_axis(axes, len(next(iter(curves.values())).values), len(curves))
        title = f"Hits@{PRIMARY_K} by round with simultaneous 95% bands, retrieval by {drawable(label)}"
        yield Drawn(first_screen_name(name), title, figure)


def first_screen_name(slug: str) -> str:
    """The name of a retriever's figure on the first screen. slug: its piece of a file name."""
    return f"first_{slug}"


def atr_figures(comparison: Comparison, look: Look) -> Iterator[Drawn]:
    """For each retriever: the average target rank by round, on a logarithmic axis."""
    for label, name in retriever_slugs(comparison).items():
        curves = _curves(comparison, label, "atr")
        if not curves:
            continue
        figure = _sheet(COLUMN, 2.4, look, list(curves))
        axes = figure.add_subplot()
        _draw(axes, curves, look)
        axes.set_ylabel("average target rank\n(log scale, lower is better)")
        _log_axis(axes)
        _round_axis(axes, len(next(iter(curves.values())).values), len(curves))
        _name_retriever(comparison, axes, label)
        yield Drawn(f"atr_{name}", f"Average target rank by round, retrieval by {drawable(label)}", figure)


def truncation_figures(comparison: Comparison, look: Look) -> Iterator[Drawn]:
    """For each retriever that can tell and cut any text: the share of dialogs whose text it could not read whole."""
    for label, name in retriever_slugs(comparison).items():
        told = {
            run.name: run.retrieval[label].truncated
            for run in comparison.runs
            if label in run.retrieval and run.retrieval[label].truncated is not None
        }
        shares = {run: share for run, share in told.items() if share is not None}
        if not any(np.nansum(share) > 0 for share in shares.values()):
            continue
        figure = _sheet(COLUMN, 2.2, look, list(shares))
        axes = figure.add_subplot()
        _draw(axes, {run: _bare(share) for run, share in shares.items()}, look)
        axes.set_ylabel("text longer than is read\n(% of dialogs)")
        _percent_axis(axes, from_zero=True)
        _round_axis(axes, len(next(iter(shares.values()))), 0)
        _name_retriever(comparison, axes, label)
        yield Drawn(f"truncation_{name}", f"Dialogs longer than {drawable(label)} reads, by round", figure)


def onset_figures(comparison: Comparison, look: Look) -> Iterator[Drawn]:
    """The share of dialogs that have repeated a question by each round; none where no run ever repeats one."""
    shares = {
        run.name: repeated_by_round(run, comparison.rounds) for run in comparison.runs if run.dialogs and run.asks
    }
    if not any(share.any() for share in shares.values()):
        return
    figure = _sheet(COLUMN, 2.2, look, list(shares))
    axes = figure.add_subplot()
    _draw(axes, {run: _bare(share) for run, share in shares.items()}, look, first=1)
    axes.set_ylabel("a question repeated so far\n(% of dialogs)")
    _percent_axis(axes, from_zero=True)
    _round_axis(axes, comparison.rounds, 0, first=1)
    yield Drawn("onset", "Dialogs that have repeated a question, by round", figure)


def repeated_by_round(run: ComparedRun, rounds: int) -> Figures:
    """Percent of dialogs whose first repeat was in rounds 1..r [rounds]."""
    onset = run.counts.onset
    return np.array([100 * float((onset <= number).mean()) for number in range(1, rounds + 1)])


def retriever_slugs(comparison: Comparison) -> dict[str, str]:
    """The retrievers' labels, each with its piece of a file name."""
    return slugs([label for run in comparison.runs for label in run.retrieval])


def _curves(comparison: Comparison, label: str, measure: str) -> dict[str, Curve]:
    """The runs' curves of a measure; runs without a single figure are left out."""
    found = {run.name: run.retrieval[label].curves.get(measure) for run in comparison.runs if label in run.retrieval}
    return {run: curve for run, curve in found.items() if curve is not None and not np.isnan(curve.values).all()}


def _chance(comparison: Comparison, label: str, measure: str) -> Curve | None:
    """What targets drawn at random would give, from the run with the least to that with the most, where it is known."""
    found = [run.retrieval[label].chance.get(measure) for run in comparison.runs if label in run.retrieval]
    known = [one for one in found if one is not None and not np.isnan(one).any()]
    return Curve(np.mean(known, axis=0), np.min(known, axis=0), np.max(known, axis=0)) if known else None


def _bare(values: Figures) -> Curve:
    return Curve(values, values, values)


def _sheet(width: float, height: float, look: Look, runs: Sequence[str], *, chance: bool = False) -> Figure:
    """A figure with a legend of its runs below all panels, where it covers nothing; higher by what that needs.

    chance: whether the line of chance is drawn, and named.
    """
    labels = [look.labels[run] for run in runs]
    handles = [_line(look.styles[run], look) for run in runs]
    if chance:
        labels.append("chance")
        handles.append(_chance_line(look))
    width = width if len(runs) <= MANY else PAGE
    longest = max(map(len, labels))
    columns = max(1, min(len(labels), int(width * 72 / (longest * SMALL * 0.6 + 34))))
    lines = math.ceil(len(labels) / columns)
    figure = new_figure(width, height + lines * LINE)
    # A legend is filled column by column; names are read row by row.
    order = [place for column in range(columns) for place in range(column, len(labels), columns)]
    figure.legend(
        [handles[place] for place in order],
        [labels[place] for place in order],
        loc="outside lower center",
        ncols=columns,
        handlelength=3,
        columnspacing=1.4,
        labelspacing=0.35,
    )
    return figure


def _line(style: Style, look: Look) -> Line2D:
    from matplotlib.lines import Line2D

    line = Line2D([], [], color=style.color, linewidth=1.4)
    if style.dash:
        line.set_linestyle((0, style.dash))
    line.set(marker=style.marker, markersize=4.6, markeredgewidth=0.4, markeredgecolor=look.theme.behind)
    return line


def _chance_line(look: Look) -> Line2D:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=look.theme.chance, linewidth=2)


def _panels(figure: Figure, others: int) -> list[Axes]:
    """A large panel, and smaller ones to its right, two or more above one another."""
    if not others:
        return [figure.add_subplot()]
    rows = 2 if others <= 4 else 3
    rows = min(rows, others)
    columns = math.ceil(others / rows)
    grid = figure.add_gridspec(rows, 1 + columns, width_ratios=[1.9 if columns == 1 else 2.2, *([1] * columns)])
    large = figure.add_subplot(grid[:, 0])
    return [large, *(figure.add_subplot(grid[place % rows, 1 + place // rows]) for place in range(others))]


def _draw(axes: Axes, curves: Curves, look: Look, first: int = 0) -> None:
    """A line for each run, with its band unless there are too many."""
    if len(curves) <= MOST_BANDS:
        for run, curve in curves.items():
            _draw_band(axes, curve, look.styles[run].color, first)
    for run, curve in curves.items():
        line = _line(look.styles[run], look)
        line.set_data(np.arange(first, first + len(curve.values)), curve.values)
        axes.add_line(line)
    axes.autoscale_view()
    axes.grid(axis="y")


def _draw_hits(axes: Axes, curves: Curves, chance: Curve | None, look: Look) -> None:
    """The runs' curves; beneath them in grey what chance gives, one line if it is the same for all of them."""
    _draw(axes, curves, look)
    if chance is not None:
        rounds, grey = np.arange(len(chance.values)), look.theme.chance
        axes.fill_between(rounds, chance.low, chance.high, color=grey, alpha=0.35, linewidth=0, zorder=0.9)
        for edge in (chance.low, chance.high):
            axes.plot(rounds, edge, color=grey, linewidth=0.8, zorder=0.9)
    _percent_axis(axes)


def _draw_band(axes: Axes, curve: Curve, color: str, first: int) -> None:
    """A band, with thin edges that can be followed where bands lie over one another."""
    if np.array_equal(curve.low, curve.high, equal_nan=True):
        return
    rounds = np.arange(first, first + len(curve.values))
    axes.fill_between(rounds, curve.low, curve.high, color=color, alpha=0.17, linewidth=0)
    for edge in (curve.low, curve.high):
        axes.plot(rounds, edge, color=color, linewidth=0.4, alpha=0.6)


def _round_axis(axes: Axes, rounds: int, bands: int, first: int = 0) -> None:
    """Whole rounds below. bands: how many runs have some, so that it is said where they are not drawn."""
    from matplotlib.ticker import MaxNLocator

    last = first + rounds - 1
    if rounds <= MOST_TICKS:
        axes.set_xticks(range(first, last + 1))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(MOST_TICKS, integer=True))
    axes.set_xlim(first - 0.3, last + 0.3)
    axes.set_xlabel(f"round (bands: only up to {MOST_BANDS} runs)" if bands > MOST_BANDS else "round")


def _percent_axis(axes: Axes, *, from_zero: bool = False) -> None:
    """Not beyond 0 and 100, but with room for the markers there."""
    low, high = axes.get_ylim()
    axes.set_ylim(-0.02 * high if from_zero or low < NEAR_ZERO * high else low, min(high, 102))


def _log_axis(axes: Axes) -> None:
    """A logarithmic axis with plain numbers: 1, 2, 5, 10 ...; even steps where these are too far apart."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    steps = [digit * 10.0**power for power in range(10) for digit in (1, 2, 5)]
    inside = [step for step in steps if low <= step <= high]
    axes.yaxis.set_major_locator(FixedLocator(inside) if len(inside) > 2 else MaxNLocator(5))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda rank, _: f"{rank:,.10g}"))


def _name_retriever(comparison: Comparison, axes: Axes, label: str) -> None:
    """Who ranked, over the panel, where that is not the same for all figures."""
    if len(retriever_slugs(comparison)) > 1:
        axes.set_title(shortened(drawable(label), LONGEST_TITLE))
