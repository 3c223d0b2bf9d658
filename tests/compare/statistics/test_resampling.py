"""Sign flips, bootstrap, intervals and bands, against exact enumeration and scipy."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import stats

from chatir.compare.statistics import resampling
from chatir.compare.statistics.resampling import (
    bca_interval,
    evened,
    log_band,
    max_t_band,
    percentile_interval,
    resampled_means,
    sign_flip_p,
)
from chatir.compare.statistics.significance import standardised_mean
from chatir.measures.retrieval_by_dialog import image_sizes, per_image

Figures = NDArray[np.float64]

tables = arrays(
    np.float64,
    st.tuples(st.integers(2, 40), st.integers(1, 5)),
    elements=st.integers(-1000, 1000).map(lambda whole: whole / 8),
)
seeds = st.integers(0, 2**32)


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def binomial_band(trials: int, chance: float) -> tuple[float, float]:
    """The counts between which 99.9% of binomial counts lie."""
    return stats.binom.ppf(0.0005, trials, chance), stats.binom.ppf(0.9995, trials, chance)


# sign flips


def every_flip_p(differences: Figures) -> float:
    """The exact p of whole numbers, by all 2**n flips."""
    flips = np.array(list(product((-1, 1), repeat=len(differences))))
    return float(np.mean(np.abs(flips @ differences) >= abs(differences.sum())))


@pytest.mark.parametrize("wholes", [[5, 3, -1, 4, 2, 7, -2, 6], [1, 1, 1, 0, 0, -1, 2, 0], [9, -9, 3, -4, 1, 2, 0, 5]])
@pytest.mark.parametrize("unit", [1.0, 0.1, 1 / 3])
def test_p_estimates_the_share_of_all_flips_that_are_as_extreme_ties_included(wholes: list[int], unit: float) -> None:
    resamples = 20_000
    p = sign_flip_p(unit * np.array(wholes, dtype=float)[:, None], resamples, seeded())
    low, high = binomial_band(resamples, every_flip_p(np.array(wholes)))
    assert low <= p[0] * (resamples + 1) - 1 <= high


def test_p_agrees_with_scipy_s_permutation_test() -> None:
    differences = seeded(3).normal(0.4, 1, 11)
    exact = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    low, high = binomial_band(50_000, exact)
    p = sign_flip_p(differences[:, None], 50_000, seeded())
    assert low <= p[0] * 50_001 - 1 <= high


def test_the_order_of_images_does_not_change_what_p_estimates() -> None:
    differences = np.array([5.0, 3, -1, 4, 2, 7, -2, 6])
    exact = every_flip_p(differences)
    orders = np.stack([seeded(order).permutation(differences) for order in range(40)], axis=1)
    low, high = binomial_band(20_000, exact)
    counts = sign_flip_p(orders, 20_000, seeded()) * 20_001 - 1
    assert ((low <= counts) & (counts <= high)).all()


def test_a_sum_that_is_zero_but_for_rounding_is_as_extreme_as_any() -> None:
    differences = np.array([0.1, 0.2, -0.3])
    assert differences.sum() != 0
    assert sign_flip_p(differences[:, None], 500, seeded()) == 1


def test_no_difference_at_all_has_p_1() -> None:
    assert sign_flip_p(np.zeros((30, 2)), 99, seeded()).tolist() == [1, 1]


def test_one_image_tells_nothing() -> None:
    assert sign_flip_p([[3.5]], 99, seeded()) == 1


def test_the_smallest_p_is_one_over_resamples_and_one() -> None:
    assert sign_flip_p(np.ones((200, 1)), 999, seeded()) == 1 / 1000


def test_every_image_is_flipped_half_of_the_time_whatever_their_number() -> None:
    for images in (1, 7, 31, 32, 33, 64, 100):
        tossed = resampling._coin_tosses(4_000, images, seeded(images))
        low, high = binomial_band(4_000, 0.5)
        assert set(np.unique(tossed)) == {0, 1}
        assert ((low <= tossed.sum(axis=0)) & (tossed.sum(axis=0) <= high)).mean() > 0.95


def test_images_are_flipped_independently_of_each_other_and_from_resample_to_resample() -> None:
    tossed = 2 * resampling._coin_tosses(20_000, 40, seeded()) - 1
    among_images = tossed.T @ tossed / len(tossed)
    assert np.abs(among_images - np.eye(40)).max() < 5 / np.sqrt(len(tossed))
    assert np.abs((tossed[1:] * tossed[:-1]).mean(axis=0)).max() < 5 / np.sqrt(len(tossed))


@given(tables, seeds)
def test_p_is_a_count_of_resamples_and_the_observed_one(differences: Figures, seed: int) -> None:
    counts = sign_flip_p(differences, 199, seeded(seed)) * 200
    assert counts == pytest.approx(np.round(counts))
    assert ((counts > 0.5) & (counts < 200.5)).all()


@given(tables, seeds)
def test_a_and_b_may_change_places(differences: Figures, seed: int) -> None:
    assert (sign_flip_p(differences, 199, seeded(seed)) == sign_flip_p(-differences, 199, seeded(seed))).all()


@given(tables, seeds, st.sampled_from([0.001, 0.1, 3.0, 1e6]))
def test_the_unit_of_a_difference_is_free(differences: Figures, seed: int, unit: float) -> None:
    assert (sign_flip_p(differences, 199, seeded(seed)) == sign_flip_p(unit * differences, 199, seeded(seed))).all()


@given(tables, seeds)
def test_p_of_a_measure_does_not_depend_on_the_other_measures(differences: Figures, seed: int) -> None:
    alone = [sign_flip_p(column[:, None], 199, seeded(seed))[0] for column in differences.T]
    with_zeros = np.hstack([differences, np.zeros((len(differences), 1))])
    assert sign_flip_p(with_zeros, 199, seeded(seed)).tolist() == [*alone, 1]


# the bootstrap


def test_all_draws_of_three_images_come_as_often_as_they_should() -> None:
    sums = np.rint(3 * resampled_means([[0.0], [1.0], [10.0]], 27_000, seeded())[:, 0])
    expected: dict[float, int] = {}
    for draw in product((0, 1, 10), repeat=3):
        expected[sum(draw)] = expected.get(sum(draw), 0) + 1
    assert set(np.unique(sums)) == set(expected)
    for total, ways in expected.items():
        low, high = binomial_band(27_000, ways / 27)
        assert low <= (sums == total).sum() <= high


def test_resampled_means_are_as_scipy_draws_them() -> None:
    values = seeded(1).lognormal(0, 1, 300)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=9_999, rng=seeded(2)).bootstrap_distribution
    ours = resampled_means(values[:, None], 9_999, seeded(3))[:, 0]
    assert stats.ks_2samp(ours, theirs).pvalue > 0.001


@given(tables, seeds)
def test_the_same_images_are_drawn_for_all_columns(values: Figures, seed: int) -> None:
    means = resampled_means(np.hstack([values, 2 * values]), 50, seeded(seed))
    columns = values.shape[1]
    assert (means[:, columns:] == 2 * means[:, :columns]).all()


@given(tables, seeds)
def test_a_resampled_mean_lies_within_the_figures(values: Figures, seed: int) -> None:
    means = resampled_means(values, 50, seeded(seed))
    assert means.shape == (50, values.shape[1])
    assert (means >= values.min(axis=0) - 1e-9).all()
    assert (means <= values.max(axis=0) + 1e-9).all()


@pytest.mark.parametrize("cells", [1, 100, 1_234, 10**6])
def test_the_size_of_a_chunk_changes_no_result(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    differences = seeded(5).integers(-9, 10, (37, 3)).astype(float)
    p, means = sign_flip_p(differences, 501, seeded()), resampled_means(differences, 501, seeded())
    monkeypatch.setattr(resampling, "_CELLS", cells)
    assert (sign_flip_p(differences, 501, seeded()) == p).all()
    assert (resampled_means(differences, 501, seeded()) == means).all()


# intervals


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99, 0.998])
@pytest.mark.parametrize("shape", ["skewed", "counts", "negative"])
def test_intervals_of_the_same_resamples_are_scipy_s(shape: str, level: float) -> None:
    values = {
        "skewed": seeded(1).lognormal(0, 1.5, 60),
        "counts": seeded(2).poisson(0.7, 25).astype(float),
        "negative": -seeded(3).exponential(1, 40),
    }[shape]
    for method, ours in (("percentile", percentile_interval), ("BCa", lambda m, lv: bca_interval(values, m, lv))):
        theirs = stats.bootstrap(
            (values,), np.mean, n_resamples=1_999, confidence_level=level, method=method, rng=seeded(4)
        )
        interval = theirs.confidence_interval
        # scipy compares sums that rounding may tell apart: one resample may go to another side
        close = pytest.approx((interval.low, interval.high), rel=1e-12 if shape != "counts" else 5e-3)
        assert ours(theirs.bootstrap_distribution, level) == close


def test_a_mean_over_dialogs_is_resampled_by_images_as_the_ratio_that_it_is() -> None:
    rng = seeded(3)
    images = [str(n) for n in range(60) for _ in range(1 + 5 * (n % 3 == 0))]
    level = {image: rng.exponential(10) for image in images}
    values = np.array([level[image] + rng.normal() for image in images])
    of_images, sizes = per_image(values, images), image_sizes(images)
    assert of_images.mean() == pytest.approx(values.mean())
    means = resampled_means(of_images[:, np.newaxis], 9_999, seeded(), sizes)[:, 0]
    expected = stats.bootstrap(
        (of_images, sizes),
        lambda sums, of, axis: sums.sum(axis) / of.sum(axis),
        paired=True,
        n_resamples=9_999,
        random_state=seeded(1),
    )
    assert means.std() == pytest.approx(expected.standard_error, rel=0.05)
    assert bca_interval(of_images, means, 0.95, sizes) == pytest.approx(expected.confidence_interval, rel=0.03)
    same = per_image(np.full(len(images), 7.0), images)
    alike = resampled_means(same[:, np.newaxis], 99, seeded(), sizes)[:, 0]
    assert bca_interval(same, alike, 0.95, sizes) == pytest.approx((7, 7))


def test_a_figure_that_all_dialogs_share_widens_no_band_however_many_dialogs_an_image_has() -> None:
    rng = seeded(3)
    images = [str(n) for n in range(30) for _ in range(1 + n % 3 * (n > 4))]
    varied, sizes = per_image(1 + 99.0 * (rng.random(len(images)) < 0.6), images), image_sizes(images)
    alone = np.stack([varied], axis=1)
    beside = np.stack([varied, per_image(np.full(len(images), 100.0), images)], axis=1)
    bands = [
        band(columns, resampled_means(columns, 999, seeded(), sizes), 0.95, sizes)
        for columns in (alone, beside)
        for band in (max_t_band, log_band)
    ]
    for (low, high), (low_beside, high_beside) in zip(bands[:2], bands[2:], strict=True):
        assert (low_beside[0], high_beside[0]) == pytest.approx((low[0], high[0]))
        assert (low_beside[1], high_beside[1]) == pytest.approx((100, 100))
    assert standardised_mean(evened(beside[:, 1], sizes)) is None


def test_bca_reaches_further_to_the_side_of_the_long_tail() -> None:
    values = seeded(1).lognormal(0, 1.5, 100)
    means = resampled_means(values[:, None], 4_999, seeded())[:, 0]
    percentile, bca = percentile_interval(means, 0.95), bca_interval(values, means, 0.95)
    assert bca[0] > percentile[0]
    assert bca[1] > percentile[1]
    mirrored = bca_interval(-values, -means, 0.95)
    assert mirrored == pytest.approx((-bca[1], -bca[0]))


@given(tables, seeds, st.floats(0.5, 0.99))
def test_each_column_has_the_interval_that_it_has_alone_at_its_own_level(
    values: Figures, seed: int, level: float
) -> None:
    means = resampled_means(values, 99, seeded(seed))
    levels = np.linspace(level, 0.999, values.shape[1])
    together = [percentile_interval(means, levels), bca_interval(values, means, levels)]
    for column, at in enumerate(levels):
        alone = [
            percentile_interval(means[:, column], at),
            bca_interval(values[:, column], means[:, column], at),
        ]
        picked = [(low[column], high[column]) for low, high in together]
        assert np.array(picked) == pytest.approx(np.array(alone), abs=1e-9)


@given(tables, seeds, st.floats(0.05, 0.99))
def test_a_higher_level_has_the_wider_interval(values: Figures, seed: int, level: float) -> None:
    means = resampled_means(values, 99, seeded(seed))
    for interval in (percentile_interval, lambda m, lv: bca_interval(values, m, lv)):
        low, high = interval(means, level)
        wider_low, wider_high = interval(means, (1 + level) / 2)
        assert ((wider_low <= low) & (low <= high) & (high <= wider_high)).all()


@given(tables, seeds, st.sampled_from([1 - 1e-15, 0.999999, 1e-9]))
def test_no_level_is_too_extreme_for_bca(values: Figures, seed: int, level: float) -> None:
    means = resampled_means(values, 20, seeded(seed))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        low, high = bca_interval(values, means, level)
    assert np.isfinite([low, high]).all()
    assert (low <= high).all()


def test_an_outlier_at_an_extreme_level_ends_where_its_resamples_end() -> None:
    values = np.zeros(50)
    values[0] = 1
    means = resampled_means(values[:, None], 999, seeded())[:, 0]
    assert bca_interval(values, means, 1 - 1e-13)[1] == means.max()


@pytest.mark.parametrize("values", [[0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], [3.0], [0.0, 0.0]])
def test_figures_without_spread_have_an_interval_of_one_point(values: list[float]) -> None:
    means = resampled_means(np.array(values)[:, None], 99, seeded())[:, 0]
    assert bca_interval(values, means, 0.95) == (np.mean(values), np.mean(values))
    assert percentile_interval(means, 0.95) == pytest.approx((values[0], values[0]))


def test_figures_that_only_rounding_tells_apart_have_no_spread() -> None:
    values = np.log([[8, 4], [4, 2], [2, 1]]) @ [1, -1]
    assert len(set(values)) > 1
    means = resampled_means(values[:, None], 99, seeded())
    low, high = bca_interval(values[:, None], means, 0.95)
    assert low == high
    low, high = max_t_band(values[:, None], means, 0.95)
    assert low == high


def test_resamples_on_one_side_only_leave_bca_finite() -> None:
    low, high = bca_interval([0.0, 1.0, 5.0], [4.0, 4.5, 5.0], 0.9)
    assert 4 <= low <= high <= 5


def test_a_single_column_has_plain_numbers_for_ends() -> None:
    low, high = percentile_interval([1.0, 2.0, 3.0], 0.5)
    assert isinstance(low, float)
    assert (low, high) == (1.5, 2.5)


# bands


def curve(rounds: int = 11, images: int = 300) -> Figures:
    ranks: Figures = np.exp(seeded(7).normal(4, 1.5, (images, 1)) - np.arange(rounds) * 0.2) + 1
    return np.round(ranks)


def test_a_band_of_one_round_holds_the_level_s_share_of_resampled_means() -> None:
    values = curve(1)
    means = resampled_means(values, 9_999, seeded())
    low, high = max_t_band(values, means, 0.9)
    assert ((low <= means) & (means <= high)).mean() == pytest.approx(0.9, abs=0.001)


@pytest.mark.parametrize("band", [max_t_band, log_band])
def test_a_band_holds_the_level_s_share_of_whole_resampled_curves(
    band: Callable[[Figures, Figures, float], tuple[Figures, Figures]],
) -> None:
    values = curve()
    means = resampled_means(values, 9_999, seeded())
    low, high = band(values, means, 0.95)
    assert ((low <= means) & (means <= high)).all(axis=1).mean() == pytest.approx(0.95, abs=0.001)
    assert ((low < values.mean(axis=0)) & (values.mean(axis=0) < high)).all()


@given(tables, seeds)
def test_a_further_round_never_narrows_a_band(values: Figures, seed: int) -> None:
    means = resampled_means(values, 60, seeded(seed))
    low, high = max_t_band(values[:, :-1], means[:, :-1], 0.9)
    wider_low, wider_high = max_t_band(values, means, 0.9)
    assert (wider_low[:-1] <= low + 1e-9).all()
    assert (wider_high[:-1] >= high - 1e-9).all()


@given(tables, seeds)
def test_rounds_without_spread_are_points_and_do_not_count(values: Figures, seed: int) -> None:
    columns = values.shape[1]
    with_constant = np.hstack([values, np.full((len(values), 2), 0.1)])
    means = resampled_means(with_constant, 60, seeded(seed))
    low, high = max_t_band(with_constant, means, 0.9)
    without = max_t_band(values, means[:, :columns], 0.9)
    assert low[:columns] == pytest.approx(without[0], abs=1e-9)
    assert high[:columns] == pytest.approx(without[1], abs=1e-9)
    assert low[columns:] == pytest.approx(0.1)
    assert (low[columns:] == high[columns:]).all()


@given(tables, seeds)
def test_a_band_grows_with_its_level_and_moves_with_its_unit(values: Figures, seed: int) -> None:
    means = resampled_means(values, 60, seeded(seed))
    low, high = max_t_band(values, means, 0.8)
    wider_low, wider_high = max_t_band(values, means, 0.95)
    assert ((wider_low <= low) & (low <= high) & (high <= wider_high)).all()
    assert np.array(max_t_band(4 * values, 4 * means, 0.8)) == pytest.approx(np.array((4 * low, 4 * high)))


def test_a_band_of_mean_ranks_is_positive_and_reaches_further_up_than_down() -> None:
    values = seeded(1).lognormal(0, 3, (12, 4)) + 1e-3
    means = resampled_means(values, 999, seeded())
    low, high = log_band(values, means, 0.95)
    mean = values.mean(axis=0)
    assert (max_t_band(values, means, 0.95)[0] < 0).any()
    assert ((low > 0) & (mean - low < high - mean)).all()
    assert np.log(high / mean) == pytest.approx(np.log(mean / low))


def test_a_band_on_logarithms_is_refused_for_figures_that_are_not_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        log_band([[1.0], [0.0]], [[0.5]], 0.95)


# what is refused

ONE: Figures = np.ones((3, 2))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sign_flip_p(np.ones(3), 9, seeded()), r"differences must be rows and columns.*\[3\]"),
        (lambda: sign_flip_p(np.ones((0, 3)), 9, seeded()), "at least one row"),
        (lambda: sign_flip_p([[np.nan]], 9, seeded()), "differences must be finite"),
        (lambda: sign_flip_p(ONE, 0, seeded()), "resamples is 0"),
        (lambda: resampled_means([[np.inf]], 9, seeded()), "values must be finite"),
        (lambda: resampled_means(ONE, -1, seeded()), "resamples is -1"),
        (lambda: resampled_means(np.ones((1, 1, 1)), 9, seeded()), "values must be rows and columns"),
        (lambda: percentile_interval([], 0.95), "means must be"),
        (lambda: percentile_interval(ONE, 1.0), "between 0 and 1"),
        (lambda: percentile_interval(ONE, [0.9, 0]), "between 0 and 1"),
        (lambda: percentile_interval(ONE, [0.9, 0.9, 0.9]), "level must be one figure or one for each of 2 columns"),
        (lambda: bca_interval(ONE, np.ones((9, 3)), 0.95), "values have 2 columns, but means have 3"),
        (lambda: bca_interval(ONE, ONE, 95), "between 0 and 1"),
        (lambda: max_t_band(ONE, np.ones((9, 1)), 0.95), "values have 2 columns, but means have 1"),
        (lambda: max_t_band(ONE, ONE, 0), "between 0 and 1"),
        (lambda: max_t_band(np.ones(3), ONE, 0.95), "values must be rows and columns"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


def test_a_table_without_measures_has_no_results() -> None:
    nothing = np.ones((5, 0))
    means = resampled_means(nothing, 9, seeded())
    assert sign_flip_p(nothing, 9, seeded()).shape == (0,)
    assert percentile_interval(means, 0.95)[0].shape == (0,)
    assert max_t_band(nothing, means, 0.95)[0].shape == (0,)


@given(tables, seeds)
def test_the_figures_given_are_left_as_they_were(values: Figures, seed: int) -> None:
    before = values.copy()
    sign_flip_p(values, 20, seeded(seed))
    means = resampled_means(values, 20, seeded(seed))
    bca_interval(values, means, 0.9)
    max_t_band(values, means, 0.9)
    assert (values == before).all()
