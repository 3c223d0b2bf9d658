"""The differences between sides, measure by measure: paired figures, and those that are only described."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from chatir.compare.comparison import Difference
from chatir.compare.statistics.resampling import (
    bca_interval,
    evened,
    max_t_band,
    percentile_interval,
    resampled_means,
    sign_flip_p,
)
from chatir.compare.statistics.sides import Measured, Pair, Side
from chatir.compare.statistics.significance import cohens_g, standardised_mean
from chatir.compare.statistics.streams import Stream
from chatir.measures.names import PRIMARY_K
from chatir.measures.retrieval import Figures

ALPHA = 0.05
DESCRIPTIVE_RESAMPLES = 9_999

_CELLS = 2**24
"""Resampled means that are held at once: 128 MiB."""


@dataclass(frozen=True, eq=False)
class Paired:
    """A figure of both sides of a pair, of the same images in the same order; all [images].

    measured: what the figure is of. values_a, values_b: the figure of each image on either side.
    """

    a: Side
    b: Side
    measured: Measured
    values_a: Figures
    values_b: Figures

    @classmethod
    def of(cls, pair: Pair, measured: Measured) -> Paired:
        """Take the figure from both sides."""
        a, b = pair
        return cls(a, b, measured, a[measured], b[measured])

    @property
    def delta(self) -> Figures:
        """The figure of b minus that of a [images]."""
        return self.values_b - self.values_a

    @property
    def discordant(self) -> tuple[int, int] | None:
        """Targets that only a found, and that only b found; None where the figure is not one of finding a target."""
        hit = self.measured.metric.startswith(("hits@", "recall@"))
        if not hit or not (self.a.has_one_outcome_an_image and self.b.has_one_outcome_an_image):
            return None
        return int((self.delta < 0).sum()), int((self.delta > 0).sum())

    def difference(self, low: float, high: float, level: float) -> Difference:
        """The difference with its interval, before any test."""
        measured, delta, discordant = self.measured, self.delta, self.discordant
        ranked = self.a.runs[0].retrieval.get(measured.retriever or "")
        return Difference(
            a=self.a.name,
            b=self.b.name,
            metric=measured.metric,
            retriever=measured.retriever,
            corpus=ranked.ranking.corpus if ranked else None,
            round=measured.round,
            n=len(delta),
            delta=float(delta.mean()),
            effect=standardised_mean(evened(delta, self.a.sizes)) if discordant is None else cohens_g(*discordant),
            ci_low=float(low),
            ci_high=float(high),
            level=float(level),
            test=None,
            p=None,
        )


def shared_labels(a: Side, b: Side) -> list[str]:
    """The retrievers, in their corpora, that have ranked both sides."""
    return [label for label in a.labels if label in b.labels]


def same_kind(a: Side, b: Side) -> bool:
    """Whether the texts of all runs of both sides can be compared: questions, each dialog with as many rounds."""
    lengths = [run.counts.rounds for side in (a, b) for run in side.runs]
    return a.asks and b.asks and all((other == lengths[0]).all() for other in lengths[1:])


def descriptive_differences(pairs: Sequence[Pair], rounds: int, ks: Sequence[int], seed: int) -> list[Difference]:
    """What else can be told of the pairs: 95% intervals that no verdict rests on, and the curves' differences.

    rounds: how many are compared. ks: ranks that count as a hit. seed: of the resampling.
    """
    columns = [Paired.of(pair, one) for pair in pairs for one in _described(pair, rounds, ks)]
    columns = [column for column in columns if np.isfinite(column.delta).all()]
    if not columns:
        return []
    deltas = np.stack([column.delta for column in columns], axis=1)
    level = 1 - ALPHA
    levels, mean_ranks = np.full(len(columns), level), [column.measured.metric == "atr" for column in columns]
    low, high = intervals(
        deltas,
        levels,
        DESCRIPTIVE_RESAMPLES,
        Stream.DESCRIPTIVE_INTERVALS,
        seed,
        columns[0].a.sizes,
        skewed=np.array(mean_ranks),
    )
    found = [columns[place].difference(low[place], high[place], level) for place in range(len(columns))]
    told = _with_p_of_ranks(found, deltas, seed)
    return [*told, *_curve_differences(pairs, rounds, seed)]


def intervals(
    deltas: Figures,
    levels: Figures,
    resamples: int,
    stream: Stream,
    seed: int,
    sizes: Figures | None,
    skewed: NDArray[np.bool_] | None = None,
) -> tuple[Figures, Figures]:
    """Bootstrap intervals of the mean of each column; BCa for those that are skewed, else percentile.

    deltas: [images, columns]. levels: shares [columns]. sizes: as `resampled_means` takes them [images]. Both ends are
    [columns]. As many columns at a time as memory has room for; the same images are drawn for all.
    """
    low, high = np.empty(len(levels)), np.empty(len(levels))
    at_once = max(1, _CELLS // resamples)
    for start in range(0, len(levels), at_once):
        part = slice(start, start + at_once)
        means = resampled_means(deltas[:, part], resamples, stream.generator(seed), sizes)
        low[part], high[part] = percentile_interval(means, levels[part])
        if skewed is not None and (chosen := skewed[part]).any():
            ends = bca_interval(deltas[:, part][:, chosen], means[:, chosen], levels[part][chosen], sizes)
            low[part][chosen], high[part][chosen] = ends
    return low, high


def _described(pair: Pair, rounds: int, ks: Sequence[int]) -> Iterator[Measured]:
    yield from _texts(pair) if same_kind(*pair) else ()
    for label in shared_labels(*pair) if rounds else []:
        yield from (Measured(f"hits@{k}", label, rounds) for k in ks if k != PRIMARY_K)
        yield from (Measured(f"recall@{k}", label, rounds) for k in ks)
        yield from (Measured(metric, label, rounds) for metric in ("atr", "log_rank", "mrr"))
        yield from (Measured(metric, label) for metric in ("mean_log_rank", f"mean_recall@{PRIMARY_K}"))


def _texts(pair: Pair) -> Iterator[Measured]:
    yield Measured("exact_repeats_per_dialog")
    if all(run.counts.near_duplicates is not None for side in pair for run in side.runs):
        yield Measured("near_duplicates_per_dialog")
    yield Measured("unique_question_tokens_per_dialog")
    yield Measured("unique_answer_tokens_per_dialog")


def _with_p_of_ranks(found: Sequence[Difference], deltas: Figures, seed: int) -> list[Difference]:
    """The rows with an unadjusted p for the mean rank, and for its logarithm, which a few far targets do not rule."""
    tested = [place for place, one in enumerate(found) if one.metric in ("atr", "log_rank")]
    told = list(found)
    if tested:
        p = sign_flip_p(deltas[:, tested], DESCRIPTIVE_RESAMPLES, Stream.RANK_TESTS.generator(seed))
        for place, each in zip(tested, p, strict=True):
            told[place] = replace(told[place], test="sign-flip", p=float(each))
    return told


def _curve_differences(pairs: Sequence[Pair], rounds: int, seed: int) -> Iterator[Difference]:
    """Hits at every round after the caption but the last, which is primary, in one simultaneous band of them all."""
    for pair in pairs:
        for label in shared_labels(*pair):
            curve = [Paired.of(pair, Measured(f"hits@{PRIMARY_K}", label, number)) for number in range(1, rounds + 1)]
            if not curve:
                continue
            deltas = np.stack([column.delta for column in curve], axis=1)
            rng = Stream.CURVE_DIFFERENCES.generator(seed)
            means = resampled_means(deltas, DESCRIPTIVE_RESAMPLES, rng, pair[0].sizes)
            band = max_t_band(deltas, means, 1 - ALPHA, pair[0].sizes)
            for column, low, high in zip(curve[:-1], *band, strict=False):
                yield column.difference(low, high, 1 - ALPHA)
