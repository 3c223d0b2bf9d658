"""`nearest-human`: answers any question as people answered the most similar one about that image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache
from pydantic import BaseModel, ConfigDict, Field

from chatir.dialog import Dialog, Reply
from chatir.errors import InputError
from chatir.models.local.sentences import SentenceEncoder
from chatir.plugins import Free

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NOT_SURE = "not sure"
KEPT = 20_000
"""Vectors of questions that are kept (30 MB); the oldest go first."""


class Options(BaseModel):
    """When people's answer is taken.

    - `threshold`: cosine similarity (-1..1) of two questions below which the answer is `otherwise`
    - `otherwise`: one line without `?`
    - `batch_size`: questions at once
    """

    model_config = ConfigDict(frozen=True)
    threshold: float = Field(default=0.5, ge=-1, le=1)
    otherwise: str = Field(default=NOT_SURE, pattern=r"^[^\r\n?]+$")
    batch_size: int = Field(default=32, ge=1)


class NearestHuman(Free):
    """Needs no image and no GPU, so that a questioner can be developed on a laptop.

    Similarity is the cosine of all-MiniLM-L6-v2 vectors; among equals the earlier question wins. Raises InputError
    where the package that carries the model is not installed.
    """

    uses_said = True

    def __init__(self, options: Options) -> None:
        self.batch_size = options.batch_size
        self._options = options
        self._encoder = SentenceEncoder()
        self._vectors: LRUCache[str, NDArray[np.float32]] = LRUCache(KEPT)

    @property
    def config(self) -> dict[str, Any]:
        """The threshold, what is said below it, and the encoder."""
        return {
            "threshold": self._options.threshold,
            "otherwise": self._options.otherwise,
            "encoder": self._encoder.identity,
        }

    def check(self, target: Dialog, rounds: int) -> None:
        """Raise InputError for a target about which people said nothing."""
        if not target.said:
            raise InputError(
                f"answerer 'nearest-human' needs what people said about {target.id!r}, and the targets lack it"
            )

    def answer(self, dialogs: Sequence[Dialog], questions: Sequence[str]) -> list[Reply]:
        """Give people's answer to the question nearest to each one."""
        wanted = {*questions, *(turn.question for dialog in dialogs for turn in dialog.said)}
        vectors = self._encoded(sorted(wanted))
        return [
            Reply(self._nearest(dialog, question, vectors)) for dialog, question in zip(dialogs, questions, strict=True)
        ]

    def _nearest(self, dialog: Dialog, question: str, vectors: dict[str, NDArray[np.float32]]) -> str:
        likeness = [float(vectors[turn.question] @ vectors[question]) for turn in dialog.said]
        best = max(range(len(likeness)), key=lambda place: likeness[place])
        return dialog.said[best].answer if likeness[best] >= self._options.threshold else self._options.otherwise

    def _encoded(self, sentences: list[str]) -> dict[str, NDArray[np.float32]]:
        found = {sentence: self._vectors[sentence] for sentence in sentences if sentence in self._vectors}
        if unknown := [sentence for sentence in sentences if sentence not in found]:
            new = dict(zip(unknown, self._encoder.encode(unknown), strict=True))
            self._vectors.update(new)
            found |= new
        return found
