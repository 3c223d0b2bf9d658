"""Measures of retrieval, against their definitions, other people's code and released figures."""

from __future__ import annotations

import json
import math
from pathlib import Path

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from chatir.retriever.metrics import (
    average_target_rank,
    best_log_rank_integral,
    chance_of_hits,
    chance_of_recall,
    hits_at_k,
    mean_reciprocal_rank,
    recall_at_k,
    share_improved,
)

# rows: rounds 0, 1, 2; columns: three dialogs
RANKS = np.array([[20, 3, 1], [11, 30, 1], [4, 25, 2]])
any_ranks = arrays(np.int64, st.tuples(st.integers(1, 12), st.integers(1, 20)), elements=st.integers(1, 60))


def test_hits_are_kept_once_they_came_and_recall_is_that_of_the_round() -> None:
    assert hits_at_k(RANKS, 10).tolist() == pytest.approx([200 / 3, 200 / 3, 100])
    assert recall_at_k(RANKS, 10).tolist() == pytest.approx([200 / 3, 100 / 3, 200 / 3])
    assert hits_at_k(RANKS, 4).tolist() == pytest.approx([200 / 3, 200 / 3, 100])
    assert hits_at_k(RANKS, 3).tolist() == pytest.approx([200 / 3] * 3)


def test_a_cutoff_beyond_the_corpus_finds_all() -> None:
    assert hits_at_k(RANKS, 10**9).tolist() == [100, 100, 100]


def test_ranks_are_averaged_by_round() -> None:
    assert average_target_rank(RANKS).tolist() == pytest.approx([8, 14, 31 / 3])
    assert mean_reciprocal_rank(RANKS)[0] == pytest.approx((1 / 20 + 1 / 3 + 1) / 3)


def test_bri_integrates_the_log_of_the_best_rank_by_trapezoids() -> None:
    one = [math.log(20) / 2 + math.log(11) + math.log(4) / 2, 2 * math.log(3), 0]
    assert best_log_rank_integral(RANKS) == pytest.approx(sum(one) / 3 / 2)


def test_bri_of_captions_alone_is_no_number() -> None:
    assert math.isnan(best_log_rank_integral(RANKS[:1]))


def test_improvement_is_against_the_round_before_and_equal_is_none() -> None:
    improved = share_improved(RANKS)
    assert math.isnan(improved[0])
    assert improved[1:].tolist() == pytest.approx([100 / 3, 200 / 3])


STOPPED = np.array([[20, 3, 50], [11, 0, 40], [4, 0, 30]])


def test_a_stopped_dialog_carries_its_best_rank_forward() -> None:
    carried = np.array([[20, 3, 50], [11, 3, 40], [4, 3, 30]])
    for k in (1, 3, 10):
        assert hits_at_k(STOPPED, k).tolist() == hits_at_k(carried, k).tolist()
    assert best_log_rank_integral(STOPPED) == best_log_rank_integral(carried)


@pytest.mark.parametrize("measure", [recall_at_k, average_target_rank, mean_reciprocal_rank, share_improved])
def test_beyond_a_stop_no_figure_of_the_round_itself_is_given(measure) -> None:
    figures = measure(STOPPED)
    assert np.isnan(figures[1:]).all()
    assert measure is share_improved or figures[0] == measure(STOPPED[:1])[0]


@pytest.mark.parametrize(
    ("ranks", "told"),
    [
        ([1, 2], "at least one dialog"),
        ([[], []], "at least one dialog"),
        ([[1.5]], "whole numbers"),
        ([[0]], "round 0"),
        ([[-1]], "1 or more"),
        ([[5], [0], [3]], "has ended"),
    ],
)
def test_what_are_no_ranks_is_refused(ranks: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        hits_at_k(ranks, 10)


def test_a_cutoff_is_at_least_one() -> None:
    with pytest.raises(ValueError, match="k is 0"):
        recall_at_k(RANKS, 0)


@given(any_ranks, st.integers(1, 70))
def test_hits_never_fall_hold_recall_and_are_recall_at_first(ranks: np.ndarray, k: int) -> None:
    hits, recall = hits_at_k(ranks, k), recall_at_k(ranks, k)
    assert (np.diff(hits) >= 0).all()
    assert (hits >= recall - 1e-9).all()
    assert hits[0] == recall[0]


@given(any_ranks)
def test_ir_measures_says_the_same(ranks: np.ndarray) -> None:
    success, reciprocal = ir_measures.parse_measure("Success@10"), ir_measures.parse_measure("RR")
    recall = ir_measures.parse_measure("R@10")
    for row, own_recall, own_mrr in zip(ranks, recall_at_k(ranks, 10), mean_reciprocal_rank(ranks), strict=True):
        qrels = {str(dialog): {"target": 1} for dialog in range(len(row))}
        run = {
            str(dialog): {("target" if place == rank else f"other {place}"): -float(place) for place in range(1, 61)}
            for dialog, rank in enumerate(row)
        }
        told = ir_measures.calc_aggregate([success, recall, reciprocal], qrels, run)
        assert told[success] * 100 == pytest.approx(own_recall)
        assert told[recall] * 100 == pytest.approx(own_recall)
        assert told[reciprocal] == pytest.approx(own_mrr)


def test_the_released_evaluation_gives_the_same_figures(shared: Path) -> None:
    folder = shared / "fixtures" / "ranking"
    expected = json.loads((folder / "expected.json").read_text())
    ranks = np.load(folder / "ranks.npz")["ranks"].astype(np.int64) + 1
    found = {"atr": average_target_rank(ranks), "mrr": mean_reciprocal_rank(ranks)}
    for k in (1, 5, 10, 50):
        found[f"hits@{k}"], found[f"recall@{k}"] = hits_at_k(ranks, k), recall_at_k(ranks, k)
    found["bri"] = best_log_rank_integral(ranks)
    assert found.keys() == expected.keys()
    for name, figures in found.items():
        digits = 6 if name in ("mrr", "bri") else 5
        assert np.round(figures, digits) == pytest.approx(np.array(expected[name]), abs=1.01 * 10**-digits), name


def test_chance_of_hits_is_the_share_of_different_images_among_the_best_so_far() -> None:
    best = [(list("abc"), list("abd"), list("xyz")), (list("abc"), list("abc")), None, (list("ab"),)]
    chance = chance_of_hits(best, 3, 10, 2)
    assert chance[:, :2].T.tolist() == pytest.approx(np.array([[30, 40, 70], [30, 30, 30]]))
    assert np.isnan(chance[:, 2:]).all()
    assert chance_of_hits(best[:1], 1, 10, 2)[:, 0].tolist() == pytest.approx([10, 10, 20])
    assert chance_of_hits(best[:1], 5, 3, 0)[0].tolist() == [100], "a corpus of fewer images than k"
    assert chance_of_recall(10, 1000) == 1
    assert chance_of_recall(10, 4) == 100
