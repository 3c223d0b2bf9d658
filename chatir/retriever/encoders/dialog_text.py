"""A dialog as a text encoder reads it: one text, and as many of its tokens as the model takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chatir.dialog import Dialog, text_problem
from chatir.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

Row = tuple[int, ...]
"""The tokens of one text."""
AT_ONCE = 1024
"""Texts given to a tokenizer at once; what it makes of a text takes far more room than the tokens."""


def dialog_text(dialog: Dialog | str, separator: str) -> str:
    """Caption and rounds, joined; a text stands as it is. Raises InputError for what no tokenizer takes."""
    text = dialog if isinstance(dialog, str) else separator.join([dialog.caption, *map(str, dialog.rounds)])
    if problem := text_problem(text):
        raise InputError(f"{text[:60]!r}: the text {problem}")
    return text


@dataclass(frozen=True)
class TextReader:
    """Makes tokens of texts, by a tokenizer of transformers.

    limit: tokens that a text is cut to, those that end it kept. width: every row is padded to so many, and the model
    is not told (None: to the longest of its batch, and masked). lowercase: whether capitals are made small first.
    """

    tokenizer: Any
    limit: int
    width: int | None = None
    lowercase: bool = False

    def rows(self, texts: Sequence[str]) -> list[Row]:
        """The tokens of each text, as many as fit."""
        return [tuple(row) for row in self._tokenized(texts, truncation=True, max_length=self.limit)]

    def overlong(self, texts: Sequence[str]) -> list[bool]:
        """Whether each text has more tokens than fit."""
        return [len(row) > self.limit for row in self._tokenized(texts, truncation=False)]

    def _tokenized(self, texts: Sequence[str], **how: Any) -> Iterator[list[int]]:
        for start in range(0, len(texts), AT_ONCE):
            some = [text.lower() if self.lowercase else text for text in texts[start : start + AT_ONCE]]
            yield from self.tokenizer(some, padding=False, return_attention_mask=False, verbose=False, **how)[
                "input_ids"
            ]

    def cost(self, row: Row) -> int:
        """How long a row is to the model."""
        return self.width or max(len(row), 1)

    def padded(self, rows: Sequence[Row]) -> tuple[Tensor, Tensor | None]:
        """Token ids [rows, longest] and their mask, None where nothing is to be masked."""
        import torch

        longest = max(map(self.cost, rows))
        pad = self.tokenizer.pad_token_id
        ids = torch.full((len(rows), longest), 0 if pad is None else pad)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for place, row in enumerate(rows):
            start = longest - len(row) if self.tokenizer.padding_side == "left" else 0
            ids[place, start : start + len(row)] = torch.tensor(row, dtype=torch.long)
            mask[place, start : start + len(row)] = 1
        return ids, None if self.width or bool(mask.all()) else mask
