"""The primary figures of each run, or group of seeds, with plain 95% intervals that depend on nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chatir.compare.comparison import RunFigure, Summary
from chatir.compare.statistics.differences import ALPHA, DESCRIPTIVE_RESAMPLES
from chatir.compare.statistics.resampling import percentile_interval, resampled_means
from chatir.compare.statistics.sides import Measured, Side, primary
from chatir.compare.statistics.streams import Stream
from chatir.measures.names import ROUNDING
from chatir.measures.retrieval import Figures

LEVEL = 1 - ALPHA


def summaries(sides: Sequence[Side], rounds: int, seed: int) -> list[Summary]:
    """What a reader must know of each side. rounds: how many are compared; seed: of the resampling."""
    wanted = [(side, one) for side in sides for one in primary(side.labels, rounds) if _can_be_given(side, one)]
    if not wanted:
        return [Summary(side.name, tuple(run.name for run in side.runs), ()) for side in sides]
    values = np.stack([side[measured] for side, measured in wanted], axis=1)
    means = resampled_means(values, DESCRIPTIVE_RESAMPLES, Stream.ESTIMATES.generator(seed), sides[0].sizes)
    found: dict[str, list[RunFigure]] = {side.name: [] for side in sides}
    for place, (side, measured) in enumerate(wanted):
        found[side.name].append(_estimate(side, measured, values[:, place], means[:, place]))
    return [Summary(side.name, tuple(run.name for run in side.runs), tuple(found[side.name])) for side in sides]


def _can_be_given(side: Side, measured: Measured) -> bool:
    """Not repeats of what are no questions, nor BRI of dialogs stopped at their hits: theirs ends before it falls."""
    if measured.retriever is None:
        return side.asks
    return measured.metric != "bri" or not any(run.run.stopped_at_hits for run in side.runs)


def _estimate(side: Side, measured: Measured, values: Figures, means: Figures) -> RunFigure:
    """The mean of a figure of images [images], from means over resampled images [resamples]."""
    low, high = _interval(side, measured, values, means)
    return RunFigure(
        metric=measured.metric,
        retriever=measured.retriever,
        round=measured.round,
        value=float(values.mean()),
        low=low,
        high=high,
        chance=_chance(side, measured),
        between_seeds=side.between_seeds(measured) if len(side.runs) > 1 else None,
    )


def _interval(side: Side, measured: Measured, values: Figures, means: Figures) -> tuple[float, float]:
    """Wilson's interval where each image is either found or not, else a percentile bootstrap's."""
    if measured.metric.startswith("hits@") and side.has_one_outcome_an_image:
        return wilson_interval(int((values > 0).sum()), len(values))
    low, high = percentile_interval(means, LEVEL)
    # All found, or none: the bootstrap knows no other images.
    if measured.metric.startswith("hits@") and high - low < ROUNDING:
        return wilson_interval(float(values.mean()) / 100 * len(values), len(values))
    return float(low), float(high)


def wilson_interval(found: float, images: int, level: float = LEVEL) -> tuple[float, float]:
    """The interval of a percentage of so many images (Wilson 1927), which has a width at 0% and at 100%, too."""
    from scipy.special import ndtri

    square = float(ndtri((1 + level) / 2)) ** 2
    share, room = found / images, square / images
    centre = (share + room / 2) / (1 + room)
    margin = (room * (share * (1 - share) + room / 4)) ** 0.5 / (1 + room)
    return 100 * max(0.0, centre - margin), 100 * min(1.0, centre + margin)


def _chance(side: Side, measured: Measured) -> float | None:
    """What targets drawn at random would give, the mean over the runs of a group; None where it is not known."""
    known = [run.retrieval[measured.retriever].chance for run in side.runs] if measured.retriever else []
    found = [chance[measured.metric][-1] for chance in known if measured.metric in chance]
    return float(np.mean(found)) if found and np.isfinite(found).all() else None
