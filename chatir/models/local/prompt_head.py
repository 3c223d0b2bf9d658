"""The beginning that all prompts of a player share, a few-shot example say: a causal model reads it once."""

from __future__ import annotations

from copy import deepcopy
from itertools import takewhile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

SHORTEST = 16
"""Tokens; a shorter beginning is not worth the copying."""
TOLERANCE = 0.05
"""Of the scores' spread: more than what rounding in low precision does, less than what a wrong position does."""


class PromptHead:
    """The keys and values of some tokens, to be put in the place of these tokens in any batch.

    They do not depend on a batch or on what was read before, so that the same prompts give the same texts.
    `unusable` says why a model cannot do with them; None if it can, or if the head is too short to be worth it.
    """

    def __init__(self, model: Any, tokens: list[int], example: list[int]) -> None:
        """example: tokens of a prompt that has the head; if it is not read alike with it, there is no head."""
        self.tokens = tokens
        self.unusable: str | None = None
        self._cache = None
        if not SHORTEST <= len(tokens) < len(example):
            return
        self._cache = _read(model, tokens)
        if self._cache is None:
            self.unusable = "its cache does not hold the keys and values of all tokens"
        elif not self._alike(model, example):
            self._cache, self.unusable = None, "it continues a prompt differently when its beginning is cached"

    def begins(self, rows: list[list[int]]) -> bool:
        """Whether there is a head, and each of the rows begins with it and goes on."""
        size = len(self.tokens)
        return self._cache is not None and all(len(row) > size and row[:size] == self.tokens for row in rows)

    def batch(self, rows: list[list[int]], pad: int, device: Any) -> dict[str, Any]:
        """The rows, which begin with the head, padded on the left as ever, and what of them need not be read.

        That is as many columns as the head has tokens: a row's padding, and as much of the head as there is room for.
        """
        import torch

        longest = max(map(len, rows))
        missing = [longest - len(row) for row in rows]
        ids = [[*[pad] * lack, *row] for row, lack in zip(rows, missing, strict=True)]
        mask = [[*[0] * lack, *[1] * (longest - lack)] for lack in missing]
        cache: Any = deepcopy(self._cache)
        for layer in cache.layers:
            layer.keys = torch.cat([_moved(layer.keys, lack) for lack in missing])
            layer.values = torch.cat([_moved(layer.values, lack) for lack in missing])
        return {
            "input_ids": torch.tensor(ids, device=device),
            "attention_mask": torch.tensor(mask, device=device),
            "past_key_values": cache,
        }

    def _alike(self, model: Any, example: list[int]) -> bool:
        """Whether a prompt is followed by the same with the head and without; some models count positions otherwise."""
        import torch

        ids = torch.tensor([example], device=model.device)
        with torch.inference_mode():
            plain = model(input_ids=ids).logits[0, -1].float()
            headed = (
                model(
                    input_ids=ids[:, len(self.tokens) :],
                    attention_mask=torch.ones_like(ids),
                    past_key_values=deepcopy(self._cache),
                )
                .logits[0, -1]
                .float()
            )
        return bool((plain - headed).abs().max() <= TOLERANCE * plain.std())


def _moved(states: torch.Tensor, columns: int) -> torch.Tensor:
    """Keys or values [1, heads, tokens, size] moved to the right, past so many columns of padding."""
    import torch

    if columns == 0:
        return states
    moved = torch.zeros_like(states)
    if columns < states.shape[2]:
        moved[:, :, columns:] = states[:, :, :-columns]
    return moved


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
        cache = getattr(model(input_ids=ids, use_cache=True), "past_key_values", None)
    plain = type(cache) is DynamicCache and all(type(layer) is DynamicLayer for layer in cache.layers)
    return cache if plain else None
