"""The observer that ends a dialog as soon as its target is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from chatir.dialog import Dialog
from chatir.errors import InputError
from chatir.retriever.index.corpus import Corpus
from chatir.retriever.ranking.ranked_dialogs import check_targets, ranks_now
from chatir.retriever.retriever import Identity, Retriever


class StopOnHit:
    """Ranks each dialog's target at its caption and after every round, and stops it once it is among the best `k`.

    The observer of `chatir.simulate.simulate`, as `chatir simulate --stop-on-hit K` makes it.
    """

    name = "StopOnHit"
    batch_size = 64

    def __init__(self, retriever: Retriever, corpus: Corpus, k: int) -> None:
        """Raises InputError for a k that is no rank."""
        if k < 1:
            raise InputError(f"stop-on-hit is {k}, but must be at least 1")
        self._retriever = retriever
        self._corpus = corpus
        self._k = k

    @property
    def config(self) -> dict[str, Any]:
        """The retriever with its options, the corpus, and k."""
        identity = asdict(Identity.of(self._retriever))
        return {"retriever": identity, "corpus": self._corpus.fingerprint, "k": self._k}

    def check(self, target: Dialog, rounds: int) -> None:
        """Raise InputError for a target that the corpus does not hold."""
        if target.image not in self._corpus:
            check_targets([target], self._corpus.images, f"target {target.id!r}", left_out=self._corpus.left_out)

    def observe(self, dialogs: Sequence[Dialog]) -> list[bool]:
        """Whether each dialog has found its target."""
        return [rank <= self._k for rank in ranks_now(dialogs, self._retriever, self._corpus)]
