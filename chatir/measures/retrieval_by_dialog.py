"""Figures of each dialog that its target's ranks give; their means are the measures of `chatir.measures.retrieval`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from chatir.measures.retrieval import Figures, Ranks, best_ranks


def per_image(values: Figures, images: Sequence[str]) -> Figures:
    """Figures of dialogs [dialogs, ...] as means over the dialogs of each image [images, ...]."""
    places = {image: place for place, image in enumerate(dict.fromkeys(images))}
    if len(places) == len(values):
        return values
    of_dialogs = np.array([places[image] for image in images])
    sums = np.zeros((len(places), *values.shape[1:]))
    np.add.at(sums, of_dialogs, values)
    counts = np.bincount(of_dialogs).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(sums / counts)


def image_weights(images: Sequence[str]) -> Figures | None:
    """What each dialog counts in a mean over images [dialogs]; None where each image has one dialog."""
    counts = Counter(images)
    return None if len(counts) == len(images) else np.array([1 / counts[image] for image in images])


def hits(ranks: Ranks, k: int) -> Figures:
    """100 where a target was ranked k or better at any round so far, else 0 [dialogs, rounds + 1]."""
    return np.asarray(100.0 * (best_ranks(ranks) <= k).T)


def recall(ranks: Ranks, k: int) -> Figures:
    """100 where a target is ranked k or better at the round, else 0, nan after the end [dialogs, rounds + 1]."""
    return np.where(ranks > 0, 100.0 * (ranks <= k), np.nan).T


def mean_signs(a: Ranks, b: Ranks) -> Figures:
    """How much more often b ranks a target better than a does at one and the same round, -1 to 1 [dialogs].

    a, b: ranks [rounds + 1, dialogs] of the same targets. The mean over the rounds, the caption aside, that both played
    of the sign of the difference of their ranks; 0 where there is no such round. Nothing accumulates: who draws more
    often gains nothing.
    """
    both = (a[1:] > 0) & (b[1:] > 0)
    signs = np.where(both, np.sign(a[1:] - b[1:]), 0)
    return np.asarray(signs.sum(axis=0) / np.maximum(both.sum(axis=0), 1))


def own_ranks(ranks: Ranks) -> Figures:
    """The rank at the round itself, nan after the end [dialogs, rounds + 1]."""
    return np.where(ranks > 0, ranks, np.nan).T


def last_ranks(ranks: Ranks) -> Ranks:
    """The rank of each target at the end of its dialog [dialogs]."""
    rounds = (ranks > 0).sum(axis=0) - 1
    return np.asarray(ranks[rounds, np.arange(ranks.shape[1])])


def best_log_rank_integrals(ranks: Ranks) -> Figures:
    """Each dialog's share in BRI [dialogs]; nan where there are no rounds."""
    rounds = len(ranks) - 1
    if not rounds:
        return np.full(ranks.shape[1], np.nan)
    return np.asarray(np.trapezoid(np.log(best_ranks(ranks)), axis=0) / rounds)
