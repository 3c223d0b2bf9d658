"""The gate of a verdict about retrieval: whether targets are also ranked better at a given round, not only some time.

Hits@K and BRI take the best rank so far. Questions that vary draw more often from what the retriever finds than
questions that repeat, and so reach better figures even where no answer carries information. The gate compares ranks
round by round instead. A verdict needs both: the larger p of the two tests is a p for the claim that both differ
(intersection-union test: Berger 1982), and needs no correction of its own.
"""

from __future__ import annotations

import numpy as np

from chatir.compare.statistics.sides import Pair
from chatir.measures.retrieval import Figures
from chatir.measures.retrieval_by_dialog import mean_signs, per_image


def gate(pair: Pair, label: str) -> Figures:
    """How much more often b ranks the target better than a at one round, -1 to 1, by a retriever's label [images].

    The mean over the rounds, over the runs of either side (seeds) and over the dialogs of an image.
    """
    a, b = pair
    signs = [mean_signs(one.retrieval[label].ranks, other.retrieval[label].ranks) for one in a.runs for other in b.runs]
    return per_image(np.mean(signs, axis=0), [dialog.image for dialog in a.runs[0].dialogs])


def gated_p(p: float, better: float, gate_p: float, gate_mean: float) -> float:
    """The p of the claim that b is better (or worse) in a figure and at a given round; 1 where the two disagree.

    better: by how much b's figure is the better one, below 0 where it is the worse one.
    """
    return max(p, gate_p) if better * gate_mean > 0 else 1.0


def same_length(pair: Pair) -> bool:
    """Whether every dialog has as many rounds in all runs of both sides.

    A dialog that ends earlier, at its hit for one, has drawn less often, and the rounds that both sides played are then
    a choice that depends on luck: no test of retrieval is valid.
    """
    lengths = [run.counts.rounds for side in pair for run in side.runs]
    return all(np.array_equal(other, lengths[0]) for other in lengths[1:])
