"""The measures of retrieval by their names in JSON: what each is of a dialog, of which figures are the means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from chatir.measures.retrieval import Figures, Ranks, best_ranks


def per_image(values: Figures, images: Sequence[str]) -> Figures:
    """Figures of dialogs [dialogs, ...] as one of each image [images, ...], with the same mean.

    An image's figure is the sum over its dialogs, over the mean number of dialogs of an image: it is the image that is
    drawn or flipped in a resample, and it counts with all of its dialogs (see `image_sizes`).
    """
    places = _places(images)
    if places is None:
        return values
    sums = np.zeros((max(places) + 1, *values.shape[1:]))
    np.add.at(sums, places, values)
    return np.asarray(sums * (len(sums) / len(values)))


def image_sizes(images: Sequence[str]) -> Figures | None:
    """The dialogs of each image, over their mean [images]; None where each image has as many as any other."""
    places = _places(images)
    counts = np.bincount([0] if places is None else places)
    return None if (counts == counts[0]).all() else np.asarray(counts / counts.mean())


def _places(images: Sequence[str]) -> list[int] | None:
    """The number of each dialog's image [dialogs], in the order of their first dialogs; None if each has one."""
    numbers = {image: number for number, image in enumerate(dict.fromkeys(images))}
    return None if len(numbers) == len(images) else [numbers[image] for image in images]


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


def best_log_rank_integrals(ranks: Ranks) -> Figures:
    """Each dialog's share in BRI [dialogs]; nan where there are no rounds."""
    rounds = len(ranks) - 1
    if not rounds:
        return np.full(ranks.shape[1], np.nan)
    return np.asarray(np.trapezoid(np.log(best_ranks(ranks)), axis=0) / rounds)


MEASURES: Mapping[str, Callable[[Ranks], Figures]] = {
    "atr": own_ranks,
    "mrr": lambda ranks: 1 / own_ranks(ranks),
    "log_rank": lambda ranks: np.log(own_ranks(ranks)),
    "mean_log_rank": lambda ranks: np.asarray(np.log(own_ranks(ranks))[:, 1:].mean(axis=1)),
    "bri": best_log_rank_integrals,
}
"""What a measure is of each dialog, from ranks [rounds + 1, dialogs]: a figure a round [dialogs, rounds + 1], or one
figure [dialogs]."""

MEASURES_AT_K: Mapping[str, Callable[[Ranks, int], Figures]] = {
    "hits": hits,
    "recall": recall,
    "mean_recall": lambda ranks, k: np.asarray(recall(ranks, k)[:, 1:].mean(axis=1)),
}
"""The same for `hits@K` and its like."""


def by_dialog(measure: str, ranks: Ranks) -> Figures:
    """A measure of each dialog [dialogs, rounds + 1] or [dialogs], from ranks [rounds + 1, dialogs].

    measure: its name in JSON. Raises KeyError for one that ranks do not give.
    """
    kind, _, k = measure.partition("@")
    return MEASURES_AT_K[kind](ranks, int(k)) if k else MEASURES[kind](ranks)


def last_ranks(ranks: Ranks) -> Ranks:
    """The rank of each target at the end of its dialog [dialogs]."""
    rounds = (ranks > 0).sum(axis=0) - 1
    return np.asarray(ranks[rounds, np.arange(ranks.shape[1])])
