"""Measures of retrieval: pure functions on the ranks of the targets.

All take ranks[rounds + 1, dialogs], 1-based, row r after r rounds (row 0: the caption alone). 0 stands where a dialog
had ended before: it was stopped at its first hit, or has fewer rounds than others. Such a dialog carries its best
rank forward in what is cumulative (Hits@K, BRI); a measure of one round's own ranks is nan from there on, because it
would be taken over other images than before. Percentages are 0 to 100. Each raises ValueError for what are no ranks
(`as_ranks` tells), and for a k below 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ranks = NDArray[np.int64]
Figures = NDArray[np.float64]


def hits_at_k(ranks: ArrayLike, k: int = 10) -> Figures:
    """Percentage of dialogs whose target was ranked k or better at any round so far [rounds + 1].

    Cumulative, as Levy et al. (2023) report it: a chat stops once its image is found. It never falls; Recall@K,
    which looks at each round on its own, may.
    """
    return _percentage(best_ranks(ranks) <= _cutoff(k))


def recall_at_k(ranks: ArrayLike, k: int = 10) -> Figures:
    """Percentage of dialogs whose target is ranked k or better at the round itself [rounds + 1].

    nan from the round on that not all dialogs played. With one target a dialog, this is what others call Success@k.
    """
    checked = as_ranks(ranks)
    return _where_all_played(checked, _percentage(checked <= _cutoff(k)))


def average_target_rank(ranks: ArrayLike) -> Figures:
    """ATR: mean rank of the target at each round [rounds + 1] (Levy et al. 2023); nan once not all dialogs played."""
    checked = as_ranks(ranks)
    return _where_all_played(checked, checked.mean(axis=1))


def mean_reciprocal_rank(ranks: ArrayLike) -> Figures:
    """MRR: mean of 1 / rank at each round [rounds + 1], 0 to 1; nan once not all dialogs played."""
    checked = as_ranks(ranks)
    return _where_all_played(checked, (1 / np.maximum(checked, 1)).mean(axis=1))


def best_log_rank_integral(ranks: ArrayLike) -> float:
    """BRI of ranks[rounds + 1, dialogs]: how early targets come near the top, one figure, lower is better.

    Mean over dialogs of the trapezoid integral over rounds of ln(best rank so far), divided by the number of rounds
    (Lee et al., PlugIR, ACL 2024). nan where there are no rounds.
    """
    best = np.log(best_ranks(ranks))
    rounds = len(best) - 1
    return float(np.trapezoid(best, axis=0).mean() / rounds) if rounds else float("nan")


def share_improved(ranks: ArrayLike) -> Figures:
    """Percentage of dialogs whose target is ranked better than one round before [rounds + 1].

    nan at round 0, and once not all dialogs played.
    """
    checked = as_ranks(ranks)
    better = np.full(len(checked), np.nan)
    better[1:] = _percentage(checked[1:] < checked[:-1])
    return _where_all_played(checked, better)


def truncated_share(ranks: Ranks, first: Sequence[int | None]) -> Figures | None:
    """Percentage of the dialogs that played a round whose text the retriever had to cut there [rounds + 1].

    ranks: [rounds + 1, dialogs]. first: the first round of each dialog whose text was longer than the retriever reads,
    None where it cannot tell; one such dialog, and there is no percentage. nan at a round that no dialog played.
    """
    told = [number for number in first if number is not None]
    if len(told) < len(first):
        return None
    played = ranks > 0
    cut = np.arange(len(ranks))[:, np.newaxis] >= np.array(told)
    with np.errstate(invalid="ignore"):
        return np.asarray(100 * (cut & played).sum(axis=1) / played.sum(axis=1))


def chance_of_hits(best: Sequence[Sequence[Sequence[str]] | None], k: int, images: int, rounds: int) -> Figures:
    """What Hits@k would be for targets drawn at random from the corpus, in percent [rounds + 1, dialogs].

    best: for each dialog the images ranked best after each round it played, best first; None where they were not kept.
    images: how many the corpus has. A dialog that has put m different images among its best k so far would have found a
    random one of N with chance m / N: who asks in more different ways draws more often. nan where fewer than k were
    kept.
    """
    chance = np.full((rounds + 1, len(best)), np.nan)
    wanted = min(_cutoff(k), images)
    for place, of_rounds in enumerate(best):
        if of_rounds is None or any(len(names) < wanted for names in of_rounds[: rounds + 1]):
            continue
        seen: set[str] = set()
        for number, names in enumerate(of_rounds[: rounds + 1]):
            seen.update(names[:wanted])
            chance[number:, place] = 100 * len(seen) / images
    return chance


def chance_of_recall(k: int, images: int) -> float:
    """What Recall@k would be for targets drawn at random from a corpus of so many images, in percent."""
    return 100 * min(_cutoff(k), images) / images


def best_ranks(ranks: ArrayLike) -> Ranks:
    """The best rank of each target so far [rounds + 1, dialogs], carried on after a dialog's end."""
    checked = as_ranks(ranks)
    played = np.where(checked > 0, checked, np.iinfo(np.int64).max)
    return np.minimum.accumulate(played, axis=0)


def as_ranks(ranks: ArrayLike) -> Ranks:
    """Ranks as an int64 array [rounds + 1, dialogs]: whole numbers, 1 or more, and 0 only after a dialog's end.

    Raises ValueError for anything else, and for no dialogs.
    """
    array = np.asarray(ranks)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"ranks must be [rounds + 1, dialogs] with at least one dialog, not {list(array.shape)}")
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"ranks must be whole numbers, not {array.dtype}")
    if (array < 0).any() or (array[0] < 1).any():
        raise ValueError("ranks must be 1 or more, and that of round 0 must be known")
    if ((array[1:] > 0) & (array[:-1] == 0)).any():
        raise ValueError("a dialog that has ended (rank 0) cannot have a rank in a later round")
    return array.astype(np.int64, copy=False)


def _cutoff(k: int) -> int:
    if k < 1:
        raise ValueError(f"k is {k}, but must be at least 1")
    return k


def _percentage(good: NDArray[np.bool_]) -> Figures:
    return np.asarray(100 * good.mean(axis=1))


def _where_all_played(ranks: Ranks, figures: Figures) -> Figures:
    return np.where((ranks > 0).all(axis=1), figures, np.nan)
