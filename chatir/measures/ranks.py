"""How a dialog's target was found: its rank at the caption and after each round, and the images found best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Top = tuple[tuple[str, ...], ...]
"""The images found best after each round, the caption first, best first."""


@dataclass(frozen=True)
class DialogRanks:
    """How one dialog's target was found.

    ranks: 1-based, that of the caption first, then after each round. truncated: the first round whose text was longer
    than the retriever reads, one beyond the last if none was; None if the retriever cannot tell. top: the images found
    best after each round, best first: a target of rank r is number r of them, or, where r is more than they are, none
    of them. None where they were not kept.
    """

    ranks: tuple[int, ...]
    truncated: int | None = None
    top: Top | None = None


def rank_table(found: Sequence[DialogRanks], rounds: int) -> NDArray[np.int64]:
    """The ranks of dialogs, cut to so many rounds [rounds + 1, dialogs]; 0 beyond a dialog's end."""
    ranks = np.zeros((rounds + 1, len(found)), dtype=np.int64)
    for place, one in enumerate(found):
        played = one.ranks[: rounds + 1]
        ranks[: len(played), place] = played
    return ranks
