"""Resampling of paired figures: sign-flip permutation tests, and bootstrap intervals and bands of means.

Rows are images, columns are measures (or rounds, or pairs of runs). An image is flipped or drawn as a whole, in all
columns alike, so what goes together in the data goes together in every resample. Resamples are worked through in chunks
of bounded memory; neither their size nor the number of columns changes what is flipped or drawn.

Each function raises ValueError for shapes that do not fit together, and for figures that are not finite: a round that
not all dialogs played has to be left out by the caller.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chatir.measures.retrieval import Figures

_CELLS = 2**21
"""Resamples times images that are held at once: 16 MiB of float64."""

_ROUNDING = 1e-12
"""Columns whose figures differ by less than this share of the largest one differ by rounding only."""


def sign_flip_p(differences: ArrayLike, resamples: int, rng: np.random.Generator) -> Figures:
    """Two-sided paired permutation test of each column: whether b could as well be a [m].

    differences: b minus a of each image [n, m]. Where the two could be exchanged, each image's differences could as
    well have the other sign. p = (1 + resamples with |mean| >= the observed one) / (1 + resamples), so that p is never
    0 and the test keeps its level for any number of resamples (Phipson & Smyth 2010; Davison & Hinkley 1997, 4.3).
    Means that are equal but for the rounding of their sums count as equal.
    """
    flipped = _table(differences, "differences")
    total = flipped.sum(axis=0)
    rounding = len(flipped) * _rounding_of_means(flipped)
    as_extreme = np.ones(flipped.shape[1])
    for chunk in _chunks(resamples, len(flipped)):
        kept = _coin_tosses(chunk, len(flipped), rng)
        sums = 2 * (kept @ flipped) - total
        as_extreme += (np.abs(sums) >= np.abs(total) - rounding).sum(axis=0)
    return np.asarray(as_extreme / (resamples + 1))


def resampled_means(
    values: ArrayLike, resamples: int, rng: np.random.Generator, sizes: Figures | None = None
) -> Figures:
    """Means of each column over n images drawn with replacement [resamples, m]: the bootstrap of values[n, m].

    sizes: the dialogs of each image, over their mean [n], where these differ and values[n, m] are `per_image`'s: a mean
    over dialogs is a ratio of sums over images, and so is each resampled one (Davison & Hinkley 1997, 3.8).

    A draw takes the same images for all columns. Of differences between two runs, or of several runs' columns side by
    side, this is the paired bootstrap (Davison & Hinkley 1997, 2.2).
    """
    drawn_from = _table(values, "values")
    images = len(drawn_from)
    draws = (_draw_counts(chunk, images, rng) for chunk in _chunks(resamples, images))
    if sizes is None:
        return np.concatenate([counts @ drawn_from / images for counts in draws])
    return np.concatenate([counts @ drawn_from / (counts @ sizes)[:, np.newaxis] for counts in draws])


def percentile_interval(means: ArrayLike, level: ArrayLike) -> tuple[Figures, Figures]:
    """Low and high end of the percentile interval of each column of means[B, m], or of the one column means[B].

    level: of confidence, between 0 and 1; one for all columns, or one each [m]. The ends are [m], or one figure each
    (Davison & Hinkley 1997, 5.3.1).
    """
    columns, shape = _columns(means, "means")
    tail = (1 - _levels(level, columns.shape[1])) / 2
    return _ends(columns, tail, 1 - tail, shape)


def bca_interval(
    values: ArrayLike, means: ArrayLike, level: ArrayLike, sizes: Figures | None = None
) -> tuple[Figures, Figures]:
    """Low and high end of the bias-corrected and accelerated interval of a mean (Efron 1987), for skewed figures.

    values[n, m] or [n], and means[B, m] or [B]: what `resampled_means` made of them, with sizes[n] or without. level:
    as for `percentile_interval`. Resampled means that equal the observed one count half as below it; the acceleration
    is by the jackknife, which for a mean is the skewness / 6 sqrt(n). A column without spread has an interval of one
    point.

    Where a few outliers among thousands of figures decide the mean, as they do for ranks in a corpus of 50,000, no
    bootstrap interval covers as often as it says: what was not drawn cannot be resampled.
    """
    from scipy.special import ndtr, ndtri

    sample, shape = _columns(values, "values")
    resampled, _ = _columns(means, "means")
    mean = _centre(sample, resampled)
    size = len(resampled)
    rounding = _rounding_of_means(sample)
    below = (resampled < mean - rounding).mean(axis=0) / 2 + (resampled <= mean + rounding).mean(axis=0) / 2
    bias = ndtri(np.clip(below, 0.5 / size, 1 - 0.5 / size))
    sample = evened(sample, sizes)
    from_mean = sample - mean
    spread = has_spread(sample)
    squares = np.where(spread, (from_mean**2).sum(axis=0), 1)
    acceleration = (from_mean**3).sum(axis=0) / (6 * squares**1.5)

    def corrected(normal_quantile: Figures) -> Figures:
        moved = bias + normal_quantile
        left = np.maximum(1 - acceleration * moved, np.finfo(np.float64).eps)
        return np.asarray(ndtr(bias + moved / left))

    upper = ndtri((1 + _levels(level, len(mean))) / 2)
    low, high = _ends(resampled, corrected(-upper), corrected(upper), mean.shape)
    return _shaped(np.where(spread, low, mean), shape), _shaped(np.where(spread, high, mean), shape)


def max_t_band(
    values: ArrayLike, means: ArrayLike, level: float, sizes: Figures | None = None
) -> tuple[Figures, Figures]:
    """Low and high edge [m] of a band that holds the true means of all columns at once with confidence `level`.

    values[n, m]: a curve, its rounds the columns; means[B, m]: what `resampled_means` made of it, with sizes[n] or
    without. The band is the mean
    plus and minus c bootstrap standard errors, c the `level` quantile of the largest |resampled mean - mean| / standard
    error of any column (sup-t band: Montiel Olea & Plagborg-Moller 2019). A column without spread is its point and
    widens no other. A band of percentages may be cut to 0 and 100: nothing true lies beyond.
    """
    sample, resampled = _table(values, "values"), _table(means, "means")
    return _band(_centre(sample, resampled), resampled, has_spread(evened(sample, sizes)), level)


def log_band(
    values: ArrayLike, means: ArrayLike, level: float, sizes: Figures | None = None
) -> tuple[Figures, Figures]:
    """The band of `max_t_band` built on the logarithms of positive means: for mean ranks.

    values[n, m], means[B, m] and sizes[n] as there; the edges are [m]. Means of ranks are skewed; their band stays
    above 0 and reaches further up than down. In a large corpus it still holds the true curve less often than it says,
    as `bca_interval` does. Raises ValueError for values that are not positive.
    """
    sample, resampled = _table(values, "values"), _table(means, "means")
    if (sample <= 0).any() or (resampled <= 0).any():
        raise ValueError("values and means must be positive for a band on their logarithms")
    mean = _centre(sample, resampled)
    spread = has_spread(evened(sample, sizes))
    low, high = _band(np.log(mean), np.log(resampled), spread, level)
    return np.where(spread, np.exp(low), mean), np.where(spread, np.exp(high), mean)


def evened(values: Figures, sizes: Figures | None) -> Figures:
    """Figures of images [n, ...] without the share of their spread that only their numbers of dialogs, sizes[n], have.

    The mean stays. What is the same for every dialog is the same for every image then.
    """
    if sizes is None:
        return values
    mean = values.mean(axis=0)
    return np.asarray(values - np.multiply.outer(sizes - 1, mean))


def has_spread(values: Figures) -> NDArray[np.bool_]:
    """Whether the figures of a column [n, ...] differ by more than rounding [...]."""
    return np.asarray(np.ptp(values, axis=0) > _ROUNDING * np.abs(values).max(axis=0))


def _chunks(resamples: int, images: int) -> Iterator[int]:
    """Sizes of chunks that together are the resamples."""
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}, but must be at least 1")
    most = max(1, _CELLS // images)
    yield from (min(most, resamples - start) for start in range(0, resamples, most))


def _coin_tosses(resamples: int, images: int, rng: np.random.Generator) -> Figures:
    """0 or 1 with equal chance [resamples, images], a bit of the generator each.

    Each resample takes whole words of 32 bits: the generator hands out no less, so chunks of any size meet the same.
    """
    bytes_each = 4 * -(-images // 32)
    packed = np.frombuffer(rng.bytes(resamples * bytes_each), dtype=np.uint8).reshape(resamples, bytes_each)
    return np.unpackbits(packed, axis=1, count=images).astype(np.float64)


def _draw_counts(resamples: int, images: int, rng: np.random.Generator) -> Figures:
    """How often each image is among n drawn with replacement [resamples, images]."""
    drawn = rng.integers(images, size=(resamples, images))
    drawn += images * np.arange(resamples)[:, np.newaxis]
    counts = np.bincount(drawn.ravel(), minlength=resamples * images)
    return counts.reshape(resamples, images).astype(np.float64)


def _rounding_of_means(values: Figures) -> Figures:
    """By how much two sums of values[n, m], taken in different order, may differ by rounding, over n [m]."""
    return np.asarray(2 * len(values) * np.finfo(np.float64).eps * np.abs(values).mean(axis=0))


def _band(centre: Figures, estimates: Figures, spread: NDArray[np.bool_], level: float) -> tuple[Figures, Figures]:
    (share,) = _levels(level, 1)
    errors = np.where(spread, estimates.std(axis=0), 0)
    counted = errors > 0
    if not counted.any():
        return centre.copy(), centre.copy()
    largest = (np.abs(estimates[:, counted] - centre[counted]) / errors[counted]).max(axis=1)
    margin = np.quantile(largest, share) * errors
    return centre - margin, centre + margin


def _ends(columns: Figures, low: Figures, high: Figures, shape: tuple[int, ...]) -> tuple[Figures, Figures]:
    """The quantiles low[m] and high[m], each of its own column of columns[B, m]."""
    wanted = np.stack([low, high], axis=1)
    ends = np.empty_like(wanted)
    for column, (quantiles, end) in enumerate(zip(wanted, ends, strict=True)):
        end[:] = np.quantile(columns[:, column], quantiles)
    return _shaped(ends[:, 0], shape), _shaped(ends[:, 1], shape)


def _shaped(figures: Figures, shape: tuple[int, ...]) -> Figures:
    """Figures of columns as they were given: [m], or one number."""
    shaped: Figures = figures.reshape(shape)[()]
    return shaped


def _centre(values: Figures, means: Figures) -> Figures:
    if values.shape[1] != means.shape[1]:
        raise ValueError(f"values have {values.shape[1]} columns, but means have {means.shape[1]}")
    return np.asarray(values.mean(axis=0))


def _levels(level: ArrayLike, columns: int) -> Figures:
    levels = np.asarray(level, dtype=np.float64)
    if levels.shape not in ((), (columns,)):
        raise ValueError(f"level must be one figure or one for each of {columns} columns, not {list(levels.shape)}")
    if not ((levels > 0) & (levels < 1)).all():
        raise ValueError(f"level is {levels.tolist()}, but must be between 0 and 1")
    return np.broadcast_to(levels, (columns,))


def _columns(figures: ArrayLike, name: str) -> tuple[Figures, tuple[int, ...]]:
    """A table of columns, and the shape of one row of what was given."""
    array = np.asarray(figures, dtype=np.float64)
    table = _table(array[:, np.newaxis] if array.ndim == 1 else array, name)
    return table, array.shape[1:]


def _table(figures: ArrayLike, name: str) -> Figures:
    array = np.asarray(figures, dtype=np.float64)
    if array.ndim != 2 or not len(array):
        raise ValueError(f"{name} must be rows and columns with at least one row, not {list(array.shape)}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite numbers")
    return array
