"""Questioners that tell a retriever nothing, and retrievers that know nothing, as sides of a comparison.

A query is a vector that stands for what was said so far; questions that inform nothing change it, but bring it no
nearer to the target. Whoever asks something new draws a new vector, and so another place for the target.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from chatir import Dialog
from chatir.compare.comparison import ComparedRun
from chatir.compare.counted.retrieval import Retrieval
from chatir.compare.statistics.sides import Side
from chatir.dialog import Round
from chatir.measures.counts import DialogCounts, dialog_counts
from chatir.run.ranks import Ranking
from chatir.run.runs import Run

Ranks = NDArray[np.int64]
Vectors = NDArray[np.float32]
Asked = Literal["new", "same", "half"]

ROUNDS, IMAGES, DIMENSIONS = 10, 1_000, 16
RANKING = Ranking("Knows nothing", {}, "c" * 64, IMAGES)
LABEL = "Knows nothing"


def asked(kind: Asked, target: int) -> list[str]:
    """What a questioner says in ten rounds: always something new, something new every other time, always the same."""
    every = {"new": 1, "half": 2, "same": ROUNDS}[kind]
    return [f"{kind} {target} {number // every}" for number in range(ROUNDS)]


def of_set(said: Sequence[str]) -> str:
    return "|".join(sorted(set(said)))


def of_sequence(said: Sequence[str]) -> str:
    return "|".join(said)


def hashed(text: str, seed: int) -> Vectors:
    """A vector that hangs on a text alone [dimensions]."""
    digest = hashlib.blake2b(f"{seed} {text}".encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "big")).standard_normal(DIMENSIONS, dtype=np.float32)


class World:
    """A corpus of random vectors, and a retriever whose query is the caption's clearness plus what the words hash to.

    clear: how much the caption tells of the target, 0 for nothing. query: what of the rounds so far the retriever sees;
    None for a new random vector at every look.
    """

    def __init__(self, seed: int, images: int, clear: float, query: Callable[[Sequence[str]], str] | None) -> None:
        self._seed, self._clear, self._query = seed, clear, query
        self._rng = np.random.default_rng(seed)
        self._corpus = self._rng.standard_normal((IMAGES, DIMENSIONS), dtype=np.float32)
        self._corpus /= np.linalg.norm(self._corpus, axis=1, keepdims=True)
        self.targets = self._rng.choice(IMAGES, images, replace=False)

    def ranks(self, kind: Asked) -> Ranks:
        """The ranks that a questioner reaches [rounds + 1, images]."""
        queries = np.stack([self._queries(kind, int(target)) for target in self.targets], axis=1)
        scores = queries @ self._corpus.T
        own = np.take_along_axis(scores, np.broadcast_to(self.targets[None, :, None], (*scores.shape[:2], 1)), axis=2)
        return np.asarray(1 + (scores > own).sum(axis=2))

    def _queries(self, kind: Asked, target: int) -> Vectors:
        said = asked(kind, target)
        caption = hashed(f"caption {target}", self._seed)
        found = [caption]
        for number in range(1, ROUNDS + 1):
            if self._query is None:
                found.append(self._rng.standard_normal(DIMENSIONS, dtype=np.float32))
            else:
                found.append(hashed(self._query(said[:number]), self._seed))
        noise = np.stack(found) / np.sqrt(DIMENSIONS)
        return np.asarray(noise + self._clear * self._corpus[target])


def side(name: str, ranks: Ranks, repeats: int | NDArray[np.int64] = 0) -> Side:
    """One run of these ranks [rounds + 1, images], ranked by one retriever; repeats: of each dialog."""
    images = ranks.shape[1]
    rounds = tuple(Round("what?", "that") for _ in range(len(ranks) - 1))
    dialogs = tuple(Dialog(f"{number}.jpg", "a caption", rounds) for number in range(images))
    counts = dialog_counts(dialogs[:1])
    own = {field: np.repeat(values, images) for field, values in vars(counts).items() if values is not None}
    own["rounds"] = (ranks[1:] > 0).sum(axis=0)
    own["repeats"] = np.broadcast_to(np.asarray(repeats, dtype=np.float64), (images,)).copy()
    run = ComparedRun(
        run=Run(name, Path(f"{name}.json"), "0" * 64, dialogs, None, None, None),
        dialogs=dialogs,
        counts=DialogCounts(**own),
        repetition={},
        language={},
        defects={},
        retrieval={LABEL: Retrieval(RANKING, ranks, {}, 0.0, {})},
    )
    return Side(name, (run,))
