"""Figures of what is counted in each dialog: repeats and distinct tokens, as bars with the runs' names beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chatir.compare.comparison import ComparedRun, Comparison
from chatir.compare.figures.look import COLUMN, LINE, PAGE, SMALL, Drawn, Look, new_figure
from chatir.compare.figures.palette import mixed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

Z = 1.96
"""Standard errors on each side of a mean that make its 95% interval."""
PALE = 0.25
"""How much of a run's color is in its second, paler bar."""
BAR = 0.17
"""Height of a bar, inches."""
INTERVAL = "(mean, 95% interval)"


def repeats_figures(comparison: Comparison, look: Look) -> Iterator[Drawn]:
    """Repeats per dialog, and beneath them, paler and hatched, exact ones."""
    from matplotlib.patches import Patch

    runs = [run for run in comparison.runs if run.dialogs and run.asks]
    if not runs:
        return
    figure = new_figure(COLUMN, 0.5 + 2 * LINE + 2.5 * BAR * len(runs))
    axes = figure.add_subplot()
    counts = [[run.counts.repeats for run in runs], [run.counts.exact_repeats for run in runs]]
    _bars(axes, runs, counts, look)
    axes.set_xlabel(f"repeats per dialog\n{INTERVAL}")
    handles = [Patch(**_filling(look.theme.text, kind, look)) for kind in (0, 1)]
    figure.legend(handles, ["same once normalised", "exactly the same"], loc="outside lower center", ncols=2)
    yield Drawn("repeats", "Repeated questions per dialog: the same once normalised, and exactly the same", figure)


def unique_tokens_figures(comparison: Comparison, look: Look) -> Iterator[Drawn]:
    """Distinct tokens per dialog, of questions and of answers."""
    runs = [run for run in comparison.runs if run.dialogs and run.asks]
    if not runs:
        return
    figure = new_figure(PAGE, 0.5 + LINE + 1.7 * BAR * len(runs))
    questions, answers = figure.subplots(1, 2, sharey=True)
    _bars(questions, runs, [[run.counts.unique_question_tokens for run in runs]], look)
    _bars(answers, runs, [[run.counts.unique_answer_tokens for run in runs]], look)
    questions.set_xlabel(f"unique question tokens per dialog\n{INTERVAL}")
    answers.set_xlabel(f"unique answer tokens per dialog\n{INTERVAL}")
    answers.tick_params(axis="y", labelleft=False)
    yield Drawn("unique_tokens", "Unique tokens per dialog, of questions and of answers", figure)


def _bars(axes: Axes, runs: Sequence[ComparedRun], counts: Sequence[Sequence[NDArray[np.int64]]], look: Look) -> None:
    """For each run a bar of each kind of count [kinds][runs][dialogs], the second kind paler, with its mean beside."""
    import seaborn as sns
    from matplotlib.patches import Rectangle

    flat = [count for kind in counts for count in kind]
    places = [place for _ in counts for place in range(len(runs))]
    sizes = [len(count) for count in flat]
    kinds = np.repeat(np.arange(len(counts)), len(runs))
    sns.barplot(
        x=np.concatenate(flat),
        y=np.repeat(places, sizes),
        hue=np.repeat(kinds, sizes) if len(counts) > 1 else None,
        orient="h",
        order=range(len(runs)),
        errorbar=("se", Z),
        err_kws={"color": look.theme.text, "linewidth": 0.9},
        width=0.85,
        legend=False,
        ax=axes,
    )
    ends = np.array([line.get_xdata() for line in axes.lines], dtype=np.float64)[:, -1]
    bars = [bar for bar in axes.patches if isinstance(bar, Rectangle)]
    for place, (bar, end) in enumerate(zip(bars, ends, strict=True)):
        kind, run = divmod(place, len(runs))
        bar.set(**_filling(look.styles[runs[run].name].color, kind, look))
        _value(axes, bar.get_width(), end, bar.get_y() + bar.get_height() / 2)
    axes.margins(x=0.14)
    axes.set_xlim(left=0)
    axes.set_yticks(range(len(runs)), [look.labels[run.name] for run in runs])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_ylabel("")


def _filling(color: str, kind: int, look: Look) -> dict[str, Any]:
    """Bars of the second kind are paler, and hatched, so that grey shows it too."""
    if kind == 0:
        return {"facecolor": color, "edgecolor": color, "linewidth": 0}
    return {"facecolor": mixed(color, look.theme.behind, PALE), "edgecolor": color, "linewidth": 0, "hatch": "/////"}


def _value(axes: Axes, mean: float, end: float, y: float) -> None:
    """The mean, to the right of its interval."""
    axes.annotate(
        f"{mean:.2f}" if mean < 10 else f"{mean:.1f}",
        (np.nanmax([mean, end]), y),
        xytext=(3, 0),
        textcoords="offset points",
        va="center_baseline",
        fontsize=SMALL,
    )
