"""The beginning that all prompts of a player share, a few-shot example say: a causal model reads it once."""

from __future__ import annotations

from copy import deepcopy
from itertools import takewhile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

SHORTEST = 16
"""Tokens; a shorter beginning is not worth the copying."""


class PromptHead:
    """The keys and values of some tokens, to be put before the rows of any batch.

    They do not depend on a batch or on what was read before, so that the same prompts give the same texts.
    """

    def __init__(self, model: Any, tokens: list[int]) -> None:
        self.tokens = tokens if len(tokens) >= SHORTEST else []
        if self.tokens:
            self._cache = _read(model, self.tokens)
            if self._cache is None:
                self.tokens = []

    def begins(self, rows: list[list[int]]) -> bool:
        """Whether there is a head, and each of the rows begins with it and goes on."""
        size = len(self.tokens)
        return size > 0 and all(len(row) > size and row[:size] == self.tokens for row in rows)

    def batch(self, rows: list[list[int]], pad: int, device: Any) -> dict[str, Any]:
        """The rows, which begin with the head, as `generate` takes them: padding stands behind the head."""
        import torch

        size = len(self.tokens)
        longest = max(map(len, rows))
        missing = [longest - len(row) for row in rows]
        ids = [[*self.tokens, *[pad] * lack, *row[size:]] for row, lack in zip(rows, missing, strict=True)]
        mask = [[*[1] * size, *[0] * lack, *[1] * (longest - lack - size)] for lack in missing]
        cache = deepcopy(self._cache)
        cache.batch_repeat_interleave(len(rows))
        return {
            "input_ids": torch.tensor(ids, device=device),
            "attention_mask": torch.tensor(mask, device=device),
            "past_key_values": cache,
        }


def common_beginning(rows: list[list[int]]) -> list[int]:
    """The tokens with which all rows begin."""
    alike = takewhile(lambda tokens: len(set(tokens)) == 1, zip(*rows, strict=False))
    return [tokens[0] for tokens in alike]


def _read(model: Any, tokens: list[int]) -> Any:
    """A model's keys and values of the tokens; None for a model that keeps something else, or not all of them."""
    import torch
    from transformers.cache_utils import DynamicCache, DynamicLayer

    ids: torch.Tensor = torch.tensor([tokens], device=model.device)
    with torch.inference_mode():
        cache = model(input_ids=ids, use_cache=True).past_key_values
    plain = type(cache) is DynamicCache and all(type(layer) is DynamicLayer for layer in cache.layers)
    return cache if plain else None
