"""A lesson in words: what a query saw shall stand, for the T5, where the words for it stand.

A projected query is drawn towards the sum of the T5's own vectors of the words that describe its place. Question and
picture then speak of a star by the same vector, and finding the one by the other needs not be discovered.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import PreTrainedTokenizerFast

from chatir.datasets.scenes.world import COLORS, PLACES, SHAPES, SIZES, Scene

NOTHING = "nothing"
WORDS = sorted({*SHAPES, *COLORS, *SIZES, NOTHING, *(word for place in PLACES for word in place.split())})


def described_in(some: Sequence[Scene]) -> torch.Tensor:
    """Which of `WORDS` describe each place [scenes, places, words], as 0 and 1."""
    holds = torch.zeros(len(some), len(PLACES), len(WORDS))
    for row, scene in enumerate(some):
        for number, place in enumerate(PLACES):
            thing = scene.at(place)
            seen = (thing.shape, thing.color, thing.size) if thing else (NOTHING,)
            for word in (*seen, *place.split()):
                holds[row, number, WORDS.index(word)] = 1
    return holds


def wording_loss(
    pictures: torch.Tensor, embeddings: nn.Embedding, tokenizer: PreTrainedTokenizerFast, holds: torch.Tensor
) -> torch.Tensor:
    """How badly projected queries [scenes, queries, width] are told apart by the words that describe their places."""
    words = embeddings.weight[tokenizer.convert_tokens_to_ids(WORDS)]
    scores = pictures[:, : len(PLACES)] @ words.T * words.shape[1] ** -0.5
    return binary_cross_entropy_with_logits(scores, holds)
