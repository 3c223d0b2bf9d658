"""A small retriever whose vectors are the texts' and the paths' hashes, and a corpus for it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from chatir import Dialog, Round
from chatir.retriever.index.corpus import Corpus

DIMENSION = 16


def vector(text: str) -> np.ndarray:
    """A unit vector that is a function of a text."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    found = np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)
    return found / np.linalg.norm(found)


class Hashing:
    """Counts what it encodes. longest: characters that it claims to read."""

    name = "Hashing"

    def __init__(self, longest: int = 60, dimension: int = DIMENSION, flavor: str = "") -> None:
        self.config = {"longest": longest, "flavor": flavor}
        self.longest, self.dimension, self.flavor = longest, dimension, flavor
        self.encoded: list[str] = []

    def text(self, dialog: Dialog | str) -> str:
        return dialog if isinstance(dialog, str) else ", ".join([dialog.caption, *map(str, dialog.rounds)])

    def encode_dialogs(self, dialogs: Sequence[Dialog | str]) -> torch.Tensor:
        self.encoded += map(self.text, dialogs)
        vectors = torch.tensor(np.stack([vector(self.flavor + self.text(one)) for one in dialogs]))
        return (
            torch.nn.functional.normalize(vectors[:, : self.dimension], dim=1)
            if self.dimension < DIMENSION
            else vectors
        )

    def encode_images(self, images: Sequence[Path]) -> torch.Tensor:
        return torch.tensor(np.stack([vector(image.name) for image in images]))

    def truncated(self, dialogs: Sequence[Dialog | str]) -> list[bool]:
        return [len(self.text(dialog)) > self.longest for dialog in dialogs]


def corpus(count: int = 40, prefix: str = "image") -> Corpus:
    """Images named by number, a vector each."""
    names = [f"{prefix} {number}.jpg" for number in range(count)]
    return Corpus.of(names, np.stack([vector(name) for name in names]))


def dialogs(count: int = 7, rounds: int = 3) -> list[Dialog]:
    """Dialogs about images of the corpus, in another order than its own."""
    return [
        Dialog(
            f"image {(5 * number) % 40}.jpg",
            f"caption {number}",
            tuple(Round(f"is it {number} {r}?", "yes") for r in range(rounds)),
        )
        for number in range(count)
    ]


def expected_ranks(some: Sequence[Dialog], among: Corpus, flavor: str = "") -> list[list[int]]:
    """The ranks of each dialog's target by sorting, in float64."""
    vectors = np.concatenate(among.shards).astype(np.float64)
    found = []
    for dialog in some:
        ranks = []
        for count in range(len(dialog.rounds) + 1):
            text = Hashing().text(replace(dialog, rounds=dialog.rounds[:count]))
            order = np.argsort(-(vectors @ vector(flavor + text).astype(np.float64)), kind="stable")
            ranks.append(int(np.flatnonzero(order == among.position(dialog.image))[0]) + 1)
        found.append(ranks)
    return found
