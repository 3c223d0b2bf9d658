"""The gate of a verdict: its figure, and what it does to the p of the figure that it is the gate of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from compare.statistics.know_nothing import LABEL, Ranks, side

from chatir.compare.statistics import primary
from chatir.compare.statistics.estimates import wilson_interval
from chatir.compare.statistics.gate import gate, gated_p, same_length
from chatir.compare.statistics.sides import Side
from chatir.compare.statistics.significance import least_mcnemar, least_sign_flip
from chatir.measures.retrieval_by_dialog import mean_signs


def ranks(*dialogs: list[int]) -> Ranks:
    """Ranks [rounds + 1, dialogs] of dialogs."""
    return np.array(dialogs).T


def test_a_sign_is_of_the_same_round_and_the_caption_does_not_count() -> None:
    a, b = ranks([5, 9, 9, 9], [1, 4, 4, 4], [5, 9, 0, 0]), ranks([9, 5, 5, 9], [7, 9, 9, 9], [5, 9, 1, 1])
    assert mean_signs(a, b).tolist() == pytest.approx([2 / 3, -1, 0])


def test_seeds_are_paired_each_with_each() -> None:
    a = side("a", ranks([9, 5, 5]))
    better, worse = (side("b", ranks([9, *own])).runs[0] for own in ([4, 4], [6, 6]))
    assert gate((a, Side("b", (better, worse))), LABEL).tolist() == [0]
    assert gate((a, Side("b", (better, better, worse))), LABEL).tolist() == pytest.approx([1 / 3])


def test_the_dialogs_of_an_image_are_taken_together() -> None:
    a, b = side("a", ranks([9, 5], [9, 5], [9, 5])), side("b", ranks([9, 4], [9, 6], [9, 4]))
    for one in (a, b):
        dialogs = [replace(dialog, image="same.jpg") for dialog in one.runs[0].dialogs[:2]]
        object.__setattr__(one.runs[0], "dialogs", (*dialogs, one.runs[0].dialogs[2]))
    assert gate((a, b), LABEL).tolist() == [0, 2 / 3], "the mean is that over dialogs, of which an image has 3 / 2"


@pytest.mark.parametrize(
    ("p", "better", "gate_p", "mean", "expected"),
    [(0.001, 1, 0.02, 0.5, 0.02), (0.03, -1, 0.02, -0.5, 0.03), (0.001, 1, 0.001, -0.5, 1), (0.001, 0, 0.001, 0.5, 1)],
)
def test_the_larger_p_counts_and_1_where_the_two_disagree(
    p: float, better: float, gate_p: float, mean: float, expected: float
) -> None:
    assert gated_p(p, better, gate_p, mean) == expected


def test_lengths_are_those_of_each_dialog() -> None:
    whole, shorter = side("a", ranks([9, 5, 5], [9, 5, 5])), side("b", ranks([9, 5, 5], [9, 5, 0]))
    assert same_length((whole, whole))
    assert same_length((shorter, shorter))
    assert not same_length((whole, shorter))


def test_the_least_p_is_that_of_the_images_and_of_those_that_one_found_alone() -> None:
    assert (least_sign_flip(5), least_sign_flip(1)) == (1 / 16, 1)
    assert (least_mcnemar(3), least_mcnemar(0)) == (0.25, 1)


def found(a: Ranks, b: Ranks) -> dict[str, object]:
    pair = (side("a", a), side("b", b))
    return {one.metric: one for one in primary.primary_differences([pair], len(a) - 1, 0)}


def test_the_least_p_is_adjusted_and_no_smaller_than_the_resamples_allow() -> None:
    a, b = np.full((3, 30), 50), np.full((3, 30), 40)
    b[1:, :3] = 5
    told = found(a, b)
    assert told["hits@10"].least_p == pytest.approx(0.25)  # type: ignore[attr-defined]  # 3 targets, the last to be adjusted
    assert told["bri"].least_p == pytest.approx(3 / 10_000)  # type: ignore[attr-defined]


def test_nothing_is_decided_below_the_least_p(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        primary, "sign_flip_p", lambda differences, resamples, rng: np.full(differences.shape[1], 0.001)
    )
    for images, decided in ((5, False), (9, True)):
        told = found(np.full((3, images), 50), np.repeat([[50], [40], [5]], images, axis=1))
        assert told["bri"].decided == decided  # type: ignore[attr-defined]


@pytest.mark.parametrize("better", ["a", "b"])
def test_a_gate_that_is_opposed_is_told(better: str) -> None:
    """One of the two finds its targets once by a lucky draw, the other ranks them better in every other round."""
    lucky, steady = np.full((11, 40), 300), np.full((11, 40), 290)
    lucky[3], steady[4:] = 2, 60
    told = found(steady, lucky) if better == "b" else found(lucky, steady)
    assert told["hits@10"].withheld == "gate-opposed"  # type: ignore[attr-defined]
    assert not told["hits@10"].decided  # type: ignore[attr-defined]


def test_wilson_s_interval_is_the_published_one() -> None:
    assert wilson_interval(66, 100) == pytest.approx((56.3, 74.5), abs=0.05)
    assert wilson_interval(30, 30) == pytest.approx((88.6, 100), abs=0.1)
