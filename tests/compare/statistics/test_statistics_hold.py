"""Tests keep their levels, intervals cover and effects are found: simulated on ranks and repeats like real ones.

Each simulation asks whether a count of rejections, or of intervals that hold the truth, lies among the 99.9% likeliest
counts of a binomial of the promised chance. Truth is exact: images are drawn from a population whose means are known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from chatir.compare.statistics.resampling import (
    bca_interval,
    log_band,
    max_t_band,
    percentile_interval,
    resampled_means,
    sign_flip_p,
)
from chatir.compare.statistics.significance import exact_mcnemar, holm
from chatir.measures.retrieval import best_ranks

Figures = NDArray[np.float64]
Counts = NDArray[np.int64]

ROUNDS = 10
# mean and deviation of the log rank of captions, deviation of a round's step: in a small corpus, ranks of the built-in
# scenes look like this; in a large one, Hits@10 of 65% at the caption and a tail that reaches the last image
CORPORA = {1_000: (3.5, 1.2, 0.4), 50_000: (1.5, 2.2, 0.3)}


@dataclass(frozen=True)
class Played:
    """What a questioner reached with each image: ranks[rounds + 1, images], repeats[images]."""

    ranks: Counts
    repeats: Figures

    @property
    def bri(self) -> Figures:
        return np.asarray(np.trapezoid(np.log(best_ranks(self.ranks)), axis=0) / ROUNDS)

    @property
    def hits(self) -> NDArray[np.bool_]:
        return np.asarray(best_ranks(self.ranks)[-1] <= 10)


def played(rng: np.random.Generator, images: int, skills: tuple[float, ...], corpus: int = 50_000) -> list[Played]:
    """Questioners with the same images and captions; of equal skill, their results on an image could be exchanged.

    Images are hard or easy, and dull or not, for all of them. Questions that repeat bring the target no nearer.
    """
    middle, spread, step = CORPORA[corpus]
    caption = rng.normal(middle, spread, images)
    dull = rng.beta(0.5, 2, images)
    runs = []
    for skill in skills:
        repeats = rng.binomial(9, dull).astype(float)
        steps = rng.normal(0, step, (ROUNDS + 1, images)) - skill * (1 - repeats / 9)
        steps[0] = caption
        ranks = np.exp(np.cumsum(steps, axis=0)).clip(1, corpus).astype(np.int64)
        runs.append(Played(ranks, repeats))
    return runs


def p_of_each(differences: Figures, resamples: int, rng: np.random.Generator) -> Figures:
    """The p of each simulation's column, with fresh flips for every few of them."""
    blocks = [differences[:, start : start + 50] for start in range(0, differences.shape[1], 50)]
    return np.concatenate([sign_flip_p(block, resamples, rng) for block in blocks])


def likely_counts(trials: int, chance: float) -> tuple[float, float]:
    """The counts between which 99.9% of binomial counts lie."""
    return stats.binom.ppf(0.0005, trials, chance), stats.binom.ppf(0.9995, trials, chance)


def is_likely(count: int, trials: int, chance: float) -> bool:
    low, high = likely_counts(trials, chance)
    return bool(low <= count <= high)


# tests under the null hypothesis

SIMULATIONS, IMAGES = 2_000, 200


@pytest.fixture(scope="module")
def alike() -> list[Played]:
    """Two questioners of the same skill; image i of simulation s is number i * SIMULATIONS + s."""
    return played(np.random.default_rng(1), SIMULATIONS * IMAGES, (0.12, 0.12))


def test_the_simulated_ranks_look_like_published_ones(alike: list[Played]) -> None:
    at_caption, at_end = best_ranks(alike[0].ranks)[[0, -1]]
    assert 0.6 < (at_caption <= 10).mean() < 0.7
    assert 0.75 < (at_end <= 10).mean() < 0.85
    assert (at_caption == 50_000).any()
    assert stats.skew(at_caption) > 10


@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize("measure", ["bri", "repeats", "atr"])
def test_the_sign_flip_test_keeps_its_level(alike: list[Played], measure: str, alpha: float) -> None:
    figures = [run.ranks[-1] if measure == "atr" else getattr(run, measure) for run in alike]
    differences = (figures[1] - figures[0]).astype(float).reshape(IMAGES, SIMULATIONS)
    p = p_of_each(differences, 1_999, np.random.default_rng(2))
    assert is_likely(np.count_nonzero(p <= alpha), SIMULATIONS, alpha)


def attained(discordant: int, alpha: float) -> float:
    """The chance at which an exact McNemar test at alpha rejects a true hypothesis, by its definition."""
    won = np.arange(discordant + 1)
    tail = stats.binom.cdf(np.minimum(won, discordant - won), discordant, 0.5)
    return float(stats.binom.pmf(won, discordant, 0.5)[2 * tail <= alpha].sum())


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_mcnemar_s_test_has_the_level_that_its_counts_can_attain(alike: list[Played], alpha: float) -> None:
    first, second = (run.hits.reshape(IMAGES, SIMULATIONS) for run in alike)
    lost, won = (first & ~second).sum(axis=0).tolist(), (second & ~first).sum(axis=0).tolist()
    rejected = sum(exact_mcnemar(*counts) <= alpha for counts in zip(lost, won, strict=True))
    expected = np.mean([attained(sum(counts), alpha) for counts in zip(lost, won, strict=True)])
    assert expected < alpha
    assert is_likely(rejected, SIMULATIONS, float(expected))


def family_p(runs: list[Played], images: int, simulations: int, rng: np.random.Generator) -> Figures:
    """p of Hits@10, BRI and repeats of each run against the first [simulations, 3 * (runs - 1)]."""
    columns = []
    for run in runs[1:]:
        lost = (runs[0].hits & ~run.hits).reshape(images, simulations).sum(axis=0)
        won = (run.hits & ~runs[0].hits).reshape(images, simulations).sum(axis=0)
        columns.append(np.array([exact_mcnemar(*counts) for counts in zip(lost.tolist(), won.tolist(), strict=True)]))
        for difference in (run.bri - runs[0].bri, run.repeats - runs[0].repeats):
            columns.append(p_of_each(difference.reshape(images, simulations), 999, rng))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("others", [1, 2, 3])
def test_a_family_is_rejected_wrongly_no_more_often_than_alpha(others: int) -> None:
    simulations, images = 1_000, 150
    rng = np.random.default_rng(others)
    p = family_p(played(rng, simulations * images, (0.12,) * (others + 1)), images, simulations, rng)
    _, most = likely_counts(simulations, 0.05)
    wrongly = sum((holm(family)[0] <= 0.05).any() for family in p)
    assert 0 < wrongly <= most
    if others == 3:
        assert np.count_nonzero((p <= 0.05).any(axis=1)) > most, "a family too small to tell that adjusting is needed"


def test_true_hypotheses_beside_false_ones_are_rejected_wrongly_no_more_often_than_alpha() -> None:
    simulations, images = 1_000, 150
    rng = np.random.default_rng(9)
    p = family_p(played(rng, simulations * images, (0.12, 0.12, 0.5)), images, simulations, rng)
    rejected = np.stack([holm(family)[0] <= 0.05 for family in p])
    assert rejected[:, 4].mean() > 0.9, "the better questioner's BRI is found"
    # repeats do not depend on skill: of the second comparison's measures only that one is equal
    wrongly = rejected[:, [0, 1, 2, 5]].any(axis=1)
    assert 0 < np.count_nonzero(wrongly) <= likely_counts(simulations, 0.05)[1]


# tests where there is a difference


@pytest.fixture(scope="module")
def unlike() -> list[Played]:
    """A population of images, for two questioners the second of which is a little better."""
    return played(np.random.default_rng(4), 50_000, (0.12, 0.175))


def drawn(population: Figures, images: int, simulations: int, seed: int) -> Figures:
    return population[np.random.default_rng(seed).integers(len(population), size=(images, simulations))]


@pytest.mark.parametrize("images", [50, 150, 300])
def test_the_sign_flip_test_finds_a_difference_as_often_as_the_t_test_should(unlike: list[Played], images: int) -> None:
    difference = unlike[1].bri - unlike[0].bri
    rejected = p_of_each(drawn(difference, images, 1_000, images), 1_999, np.random.default_rng(5)) <= 0.05
    shift = difference.mean() / difference.std() * np.sqrt(images)
    edge = stats.t.ppf(0.975, images - 1)
    power = stats.nct.sf(edge, images - 1, shift) + stats.nct.cdf(-edge, images - 1, shift)
    assert 0.2 < power < 0.98
    assert np.count_nonzero(rejected) >= likely_counts(1_000, power)[0]


@pytest.mark.parametrize("images", [200, 600])
def test_mcnemar_s_test_finds_a_difference_as_often_as_its_counts_allow(unlike: list[Played], images: int) -> None:
    outcome = unlike[1].hits.astype(float) - unlike[0].hits
    sample = drawn(outcome, images, 1_000, images)
    lost, won = (sample < 0).sum(axis=0).tolist(), (sample > 0).sum(axis=0).tolist()
    rejected = sum(exact_mcnemar(*counts) <= 0.05 for counts in zip(lost, won, strict=True))
    share_discordant, share_won = (outcome != 0).mean(), (outcome > 0).sum() / (outcome != 0).sum()
    power = 0.0
    for discordant in range(images + 1):
        ways = np.arange(discordant + 1)
        tail = stats.binom.cdf(np.minimum(ways, discordant - ways), discordant, 0.5)
        found = stats.binom.pmf(ways, discordant, share_won)[2 * tail <= 0.05].sum()
        power += stats.binom.pmf(discordant, images, share_discordant) * found
    assert 0.1 < power < 0.95
    assert is_likely(rejected, 1_000, power)


# intervals

DRAWS = 1_999


def covered(values: Figures, truth: float, level: float, seed: int = 0) -> dict[str, int]:
    """How many simulations' intervals hold the truth, of values[n, simulations]."""
    means = resampled_means(values, DRAWS, np.random.default_rng(seed))
    ends = {
        "percentile": percentile_interval(means, level),
        "bca": bca_interval(values, means, level),
    }
    return {name: np.count_nonzero((low <= truth) & (truth <= high)) for name, (low, high) in ends.items()}


@pytest.mark.parametrize("level", [0.95, 0.99])
@pytest.mark.parametrize("measure", ["bri", "repeats", "hits"])
def test_intervals_of_mean_differences_hold_the_true_one(unlike: list[Played], measure: str, level: float) -> None:
    first, second = (np.asarray(getattr(run, measure), dtype=float) for run in unlike)
    held = covered(drawn(second - first, 300, 1_000, 6), float((second - first).mean()), level)
    assert is_likely(held["percentile"], 1_000, level)
    assert is_likely(held["bca"], 1_000, level)


@pytest.mark.parametrize("images", [1_000, 2_000])
def test_bca_intervals_of_atr_differences_hold_the_true_one_in_a_corpus_of_1_000(images: int) -> None:
    first, second = played(np.random.default_rng(7), 50_000, (0.2, 0.3), corpus=1_000)
    for after in (2, 10):
        difference = (second.ranks[after] - first.ranks[after]).astype(float)
        held = covered(drawn(difference, images, 500, images), float(difference.mean()), 0.95)
        assert is_likely(held["bca"], 500, 0.95)


def test_bca_intervals_hold_a_skewed_mean_more_often_than_percentile_intervals() -> None:
    repeats = played(np.random.default_rng(7), 50_000, (0.2,))[0].repeats
    assert stats.skew(repeats) > 1
    held = covered(drawn(repeats, 30, 4_000, 8), float(repeats.mean()), 0.95)
    assert held["percentile"] < held["bca"] < likely_counts(4_000, 0.95)[1]


def test_mean_ranks_in_a_corpus_of_50_000_have_intervals_that_promise_too_much(alike: list[Played]) -> None:
    # a few images in thousands decide the mean: what is not drawn cannot be resampled. Where runs are alike the
    # acceleration follows the one outlier that was drawn, and BCa does worse than the percentile interval
    difference = (alike[1].ranks[-1] - alike[0].ranks[-1]).astype(float)
    held = covered(drawn(difference, 2_000, 500, 10), float(difference.mean()), 0.95)
    assert 0.7 * 500 < held["bca"] < held["percentile"] < likely_counts(500, 0.95)[1]


# bands


def curves_drawn(
    curves: Figures, images: int, simulations: int, rng: np.random.Generator
) -> Iterator[tuple[Figures, Figures]]:
    """values[n, rounds + 1] and means[draws, rounds + 1] of each simulation; a few of them share the draws."""
    together, rounds = 20, curves.shape[1]
    for _ in range(simulations // together):
        values = curves[rng.integers(len(curves), size=(images, together))].reshape(images, -1)
        means = resampled_means(values, 999, rng)
        for start in range(0, values.shape[1], rounds):
            yield values[:, start : start + rounds], means[:, start : start + rounds]


@pytest.mark.parametrize(("measure", "images"), [("hits", 300), ("hits", 1_000), ("atr", 1_000), ("atr", 2_000)])
def test_a_band_holds_the_whole_true_curve(measure: str, images: int) -> None:
    simulations = 500
    (run,) = played(np.random.default_rng(11), 50_000, (0.2,), corpus=1_000)
    curves = {"hits": 100.0 * (best_ranks(run.ranks) <= 10), "atr": run.ranks.astype(float)}[measure].T
    truth = curves.mean(axis=0)
    in_band = in_intervals = 0
    for values, means in curves_drawn(curves, images, simulations, np.random.default_rng(images)):
        low, high = (log_band if measure == "atr" else max_t_band)(values, means, 0.95)
        in_band += bool(((low <= truth) & (truth <= high)).all())
        low, high = percentile_interval(means, 0.95)
        in_intervals += bool(((low <= truth) & (truth <= high)).all())
    assert is_likely(in_band, simulations, 0.95)
    assert in_intervals < likely_counts(simulations, 0.95)[0], "intervals of single rounds do not hold a curve"


def test_a_band_of_mean_ranks_in_a_corpus_of_50_000_promises_too_much_but_less_so_on_logarithms(
    alike: list[Played],
) -> None:
    curves = alike[0].ranks.T.astype(float)
    truth = curves.mean(axis=0)
    in_log_band = in_plain_band = 0
    for values, means in curves_drawn(curves, 1_000, 300, np.random.default_rng(12)):
        low, high = log_band(values, means, 0.95)
        in_log_band += bool(((low <= truth) & (truth <= high)).all())
        low, high = max_t_band(values, means, 0.95)
        in_plain_band += bool(((low <= truth) & (truth <= high)).all())
    assert 0.5 * 300 < in_plain_band < in_log_band < likely_counts(300, 0.95)[0]
