"""Exact tests, Holm's procedure and effect sizes, against their definitions, scipy and statsmodels."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from chatir.compare.statistics.significance import cohens_g, exact_mcnemar, holm, resamples_needed, standardised_mean

counts = st.integers(0, 3_000)
# p's as permutation tests give them, so that ties come often, and in any order
families = st.lists(st.integers(1, 400).map(lambda count: count / 2_000), max_size=12) | st.lists(
    st.floats(0, 1), max_size=12
)


# McNemar's test


@given(counts, counts)
@example(0, 2_000)
@example(7, 7)
@example(7, 8)
def test_mcnemar_s_p_is_that_of_scipy_and_statsmodels(lost: int, won: int) -> None:
    p = exact_mcnemar(lost, won)
    # where p is next to nothing, they call it 0 before we do
    if lost + won:
        assert p == pytest.approx(stats.binomtest(won, lost + won).pvalue, rel=1e-9, abs=1e-200)
    assert p == pytest.approx(mcnemar([[5, lost], [won, 5]], exact=True).pvalue, rel=1e-9, abs=1e-200)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_s_p_is_twice_the_smaller_tail(lost: int, won: int) -> None:
    discordant = lost + won
    tail = Fraction(sum(math.comb(discordant, found) for found in range(min(lost, won) + 1)), 2**discordant)
    assert exact_mcnemar(lost, won) == pytest.approx(float(min(Fraction(1), 2 * tail)), rel=1e-12)


@given(counts, counts)
def test_mcnemar_s_test_has_two_equal_sides(lost: int, won: int) -> None:
    assert exact_mcnemar(lost, won) == exact_mcnemar(won, lost)


def test_no_discordant_image_has_p_1() -> None:
    assert exact_mcnemar(0, 0) == 1


def test_counts_of_numpy_are_counts() -> None:
    assert exact_mcnemar(np.int64(1), np.int64(9)) == exact_mcnemar(1, 9) == pytest.approx(22 / 1024)
    assert isinstance(cohens_g(np.int64(1), np.int64(9)), float)


# Holm's procedure


def holm_by_hand(family: list[float], alpha: float) -> list[bool]:
    """What the procedure rejects, step by step."""
    rejected = [False] * len(family)
    for step, which in enumerate(sorted(range(len(family)), key=family.__getitem__)):
        if family[which] > alpha / (len(family) - step):
            break
        rejected[which] = True
    return rejected


@given(families)
def test_adjusted_p_s_are_statsmodels(family: list[float]) -> None:
    adjusted, _ = holm(family)
    expected = multipletests(family, method="holm")[1] if family else []
    assert adjusted == pytest.approx(np.array(expected))


@given(families, st.sampled_from([0.01, 0.0501, 0.2]))
def test_what_the_procedure_rejects_has_an_adjusted_p_of_at_most_alpha(family: list[float], alpha: float) -> None:
    adjusted, _ = holm(family, alpha)
    assert (adjusted <= alpha).tolist() == holm_by_hand(family, alpha)


@given(families, st.sampled_from([0.01, 0.0501, 0.2]))
def test_an_interval_at_its_level_says_what_the_procedure_says(family: list[float], alpha: float) -> None:
    adjusted, level = holm(family, alpha)
    # an interval that is dual to its test leaves 0 out at level L exactly where p <= 1 - L
    leaves_zero_out = np.array(family) <= 1 - level + 1e-12
    assert leaves_zero_out.tolist() == (adjusted <= alpha).tolist()


@given(families, st.sampled_from([0.01, 0.05, 0.2]))
def test_no_level_is_below_that_of_one_test_or_above_bonferroni_s(family: list[float], alpha: float) -> None:
    _, level = holm(family, alpha)
    assert ((level >= 1 - alpha) & (level <= 1 - alpha / max(1, len(family)))).all()


def test_levels_are_those_of_the_steps_and_the_last_step_decides_on_the_rest() -> None:
    adjusted, level = holm([0.2, 0.001, 0.012, 0.04, 0.03])
    # steps: .001 <= .05/5, .012 <= .05/4, .03 > .05/3: stop
    assert adjusted == pytest.approx([0.2, 0.005, 0.048, 0.09, 0.09])
    assert level == pytest.approx([1 - 0.05 / 3, 0.99, 0.9875, 1 - 0.05 / 3, 1 - 0.05 / 3])


def test_p_s_at_the_edge_are_rejected_and_the_last_has_alpha_for_itself() -> None:
    adjusted, level = holm([0.025, 0.05], alpha=0.05)
    assert (adjusted <= 0.05).all()
    assert level == pytest.approx([0.975, 0.95])


def test_where_nothing_is_rejected_all_have_bonferroni_s_level() -> None:
    _, level = holm([0.5, 0.03, 0.9])
    assert level == pytest.approx([1 - 0.05 / 3] * 3)


@given(families, st.randoms())
def test_the_order_of_hypotheses_is_free(family: list[float], random: object) -> None:
    order = list(range(len(family)))
    random.shuffle(order)  # type: ignore[attr-defined]
    adjusted, level = holm(family)
    moved_adjusted, moved_level = holm([family[which] for which in order])
    assert moved_adjusted.tolist() == adjusted[order].tolist()
    assert moved_level.tolist() == level[order].tolist()


@given(families)
def test_equal_p_s_have_equal_results(family: list[float]) -> None:
    adjusted, level = holm(family + family)
    half = len(family)
    assert adjusted[:half].tolist() == adjusted[half:].tolist()
    assert level[:half].tolist() == level[half:].tolist()


def test_a_single_test_is_not_adjusted() -> None:
    assert [figures.tolist() for figures in holm([0.03])] == [[0.03], [0.95]]


def test_an_empty_family_has_no_results() -> None:
    assert [figures.tolist() for figures in holm([])] == [[], []]


# resamples


@given(st.integers(0, 500), st.integers(1, 20_000))
def test_every_family_can_reach_half_the_level_of_1_percent(family: int, least: int) -> None:
    resamples = resamples_needed(family, least)
    smallest = np.full(family, 1 / (resamples + 1))
    assert resamples >= least
    assert (holm(smallest)[0] <= 0.005 + 1e-12).all()


def test_a_small_family_takes_the_least_and_a_large_one_more() -> None:
    assert resamples_needed(1) == resamples_needed(50) == 9_999
    assert resamples_needed(51) == 10_199
    assert resamples_needed(0, least=99) == 99


# effect sizes


def test_the_standardised_mean_is_the_mean_over_the_sample_s_standard_deviation() -> None:
    assert standardised_mean([1, 2, 3, 6]) == pytest.approx(3 / math.sqrt((4 + 1 + 0 + 9) / 3))
    assert standardised_mean([-1, -2, -3, -6]) == pytest.approx(-3 / math.sqrt(14 / 3))
    assert standardised_mean([-1, 1]) == 0


@pytest.mark.parametrize("differences", [[], [2.0], [0.0, 0.0, 0.0], [0.1, 0.1, 0.1], [math.log(2), math.log(4 / 2)]])
def test_differences_without_spread_have_no_standardised_mean(differences: list[float]) -> None:
    assert standardised_mean(differences) is None


def test_differences_that_only_rounding_tells_apart_have_no_standardised_mean() -> None:
    differences = [math.log(8) - math.log(4), math.log(4) - math.log(2), math.log(2)]
    assert len(set(differences)) > 1
    assert standardised_mean(differences) is None


@given(st.lists(st.integers(-50, 50), min_size=2), st.sampled_from([0.01, 3.0, 1e5]))
def test_the_unit_of_the_differences_is_free(differences: list[int], unit: float) -> None:
    in_units = standardised_mean([unit * difference for difference in differences])
    assert in_units == pytest.approx(standardised_mean(differences))


def test_cohen_s_g_is_the_share_won_beyond_a_half() -> None:
    assert cohens_g(0, 4) == 0.5
    assert cohens_g(4, 0) == -0.5
    assert cohens_g(3, 5) == pytest.approx(0.125)
    assert cohens_g(5, 5) == 0
    assert cohens_g(0, 0) is None


# what is refused


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: exact_mcnemar(-1, 3), "lost and won are -1 and 3"),
        (lambda: cohens_g(3, -1), "lost and won are 3 and -1"),
        (lambda: holm([[0.1]]), "in one row"),
        (lambda: holm([0.1, math.nan]), "from 0 to 1"),
        (lambda: holm([1.1]), "from 0 to 1"),
        (lambda: holm([-0.1]), "from 0 to 1"),
        (lambda: holm([0.1], alpha=0), "alpha is 0"),
        (lambda: holm([0.1], alpha=5), "alpha is 5"),
        (lambda: resamples_needed(-1), "family is -1"),
        (lambda: standardised_mean([[1.0, 2.0]]), "in one row"),
        (lambda: standardised_mean([1.0, math.nan]), "finite"),
    ],
)
def test_what_is_no_count_p_or_level_is_refused(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
