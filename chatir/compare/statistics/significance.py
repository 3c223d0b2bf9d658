"""Tests and effect sizes of paired comparisons, and what a family of tests asks for.

Pure arithmetic: functions raise ValueError for what cannot be a count, a p or a level.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from chatir.compare.statistics.resampling import has_spread
from chatir.measures.retrieval import Figures

_RESAMPLES_A_TEST = 200


def exact_mcnemar(lost: int, won: int) -> float:
    """Two-sided p of the exact McNemar test: whether as many images could be won as lost. Raises ValueError below 0.

    won: images that only b found; lost: images that only a found. Those that both or neither found tell nothing. Under
    the null hypothesis each of these discordant images is won with chance 1/2: p is twice the smaller binomial tail, at
    most 1, and 1 where there is none (McNemar 1947).
    """
    from scipy.special import bdtr

    discordant = _discordant(lost, won)
    return min(1.0, 2 * float(bdtr(min(lost, won), discordant, 0.5))) if discordant else 1.0


def least_mcnemar(discordant: int) -> float:
    """The smallest p that `exact_mcnemar` can give for so many images that one of the two found alone."""
    return exact_mcnemar(0, discordant)


def least_sign_flip(images: int) -> float:
    """The smallest p of a two-sided sign-flip test of so many images: all have one sign in 2 of 2^n patterns."""
    return min(1.0, 2.0 ** (1 - images))


def holm(p: ArrayLike, alpha: float = 0.05) -> tuple[Figures, Figures]:
    """Holm's step-down procedure on a family of tests p[m] (Holm 1979): adjusted p's [m], and levels [m].

    Adjusted p's are at most alpha exactly for what the procedure rejects; the chance of rejecting any true hypothesis
    is then at most alpha. A level is that of the confidence interval that tells the same as the procedure: 1 - alpha /
    (m - i + 1), i being the step at which the hypothesis was decided on. At the first that is not rejected the
    procedure stops, and decides on all that are left. Equal p's are decided at one step, the first of theirs. Raises
    ValueError for figures that are no p's, and for an alpha that is not between 0 and 1.
    """
    family = np.asarray(p, dtype=np.float64)
    if family.ndim != 1 or not ((family >= 0) & (family <= 1)).all():
        raise ValueError(f"p must be figures from 0 to 1 in one row, not {family.tolist()}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}, but must be between 0 and 1")
    ascending, which = np.unique(family, return_inverse=True)
    remaining = len(family) - np.searchsorted(np.sort(family), ascending)
    adjusted = np.minimum(np.maximum.accumulate(remaining * ascending), 1)
    rejected = int(np.count_nonzero(adjusted <= alpha))
    decided = remaining[np.minimum(np.arange(len(ascending)), rejected)]
    return adjusted[which], 1 - alpha / decided[which]


def resamples_needed(family: int, least: int = 9_999) -> int:
    """Resamples that a family of so many tests needs, at least `least`.

    The smallest p of B resamples is 1 / (B + 1), after Holm's adjustment as much as family / (B + 1). With 200
    resamples a test that is 0.005: results at the level of 0.01 are within reach, and where Holm's procedure is
    strictest, at 0.05 / family, p still counts 10 resamples, and each end of an interval has 5 beyond it. Raises
    ValueError for a family of less than 0.
    """
    if family < 0:
        raise ValueError(f"family is {family}, but must be at least 0")
    return max(least, _RESAMPLES_A_TEST * family - 1)


def standardised_mean(differences: ArrayLike) -> float | None:
    """Effect size of paired differences [n]: their mean over their standard deviation (Cohen's d_z).

    None for fewer than two, and for differences that are all the same. Raises ValueError for what is not finite or not
    [n].
    """
    figures = np.asarray(differences, dtype=np.float64)
    if figures.ndim != 1 or not np.isfinite(figures).all():
        raise ValueError(f"differences must be finite numbers in one row, not {list(figures.shape)}")
    if len(figures) < 2 or not has_spread(figures):
        return None
    return float(figures.mean() / figures.std(ddof=1))


def cohens_g(lost: int, won: int) -> float | None:
    """Effect size of `exact_mcnemar`, -0.5 to 0.5: the share of discordant images that is won, less 1/2 (Cohen 1988).

    None where there are none.
    """
    discordant = _discordant(lost, won)
    return float(won / discordant - 0.5) if discordant else None


def _discordant(lost: int, won: int) -> int:
    if lost < 0 or won < 0:
        raise ValueError(f"lost and won are {lost} and {won}, but counts must be at least 0")
    return lost + won
