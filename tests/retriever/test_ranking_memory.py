"""Ranking without memory for its tiles: smaller ones give the same, and what a device has no room for the CPU ranks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from retriever.searching import Hashing, corpus, dialogs

from chatir.retriever import counts_before, target_ranks, target_scores, top_k
from chatir.retriever.ranking import ranked_dialogs
from chatir.retriever.ranking.ranked_dialogs import ranks_now
from chatir.retriever.ranking.ranks import SMALLEST, in_tiles
from chatir.retriever.ranking.similarity import Part, query_part

Tile = tuple[int, int] | None
FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def vectors(count: int, seed: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(count, 16, generator=torch.Generator().manual_seed(seed)), dim=1)


QUERIES, IMAGES = vectors(600, 0), vectors(3000, 1)
TARGETS = [7 * number % 3000 for number in range(600)]


def ranked(tile: Tile) -> list[Any]:
    """What each function that ranks in tiles gives."""
    scores = target_scores(QUERIES, IMAGES[TARGETS])
    found = (
        target_ranks(QUERIES, IMAGES, TARGETS, tile=tile),
        counts_before(QUERIES, scores, TARGETS, IMAGES[1000:], 1000, tile=tile),
    )
    return [part.tolist() for part in (*found, *top_k(QUERIES, IMAGES, 9, tile=tile))]


@pytest.fixture
def memory_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[int]]:
    """Memory for tensors of at most so many numbers; gives the sizes of those that were too large."""

    def limit(most: int) -> list[int]:
        empty, refused = torch.empty, list[int]()

        def limited(*size: Any, **how: Any) -> torch.Tensor:
            made: torch.Tensor = empty(*size, **how)
            if made.numel() > most:
                refused.append(made.numel())
                raise FULL
            return made

        monkeypatch.setattr(torch, "empty", limited)
        return refused

    return limit


@pytest.mark.parametrize("tile", [None, (600, 3000), (100, 3000)], ids=str)
def test_where_the_memory_ends_smaller_tiles_give_the_same(tile: Tile, memory_for: Callable[[int], list[int]]) -> None:
    expected = ranked(None)
    refused = memory_for(SMALLEST)
    assert ranked(tile) == expected
    assert len(refused) >= 3


def test_without_memory_for_a_small_tile_the_error_is_told(memory_for: Callable[[int], list[int]]) -> None:
    refused = memory_for(0)
    with pytest.raises(torch.OutOfMemoryError):
        target_ranks(QUERIES, IMAGES, TARGETS)
    assert refused[-1] <= SMALLEST < refused[-2]


def test_another_error_is_raised_at_once() -> None:
    calls = []

    def work(queries: Part, height: int, width: int) -> None:
        calls.append((height, width))
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        in_tiles(work, query_part(QUERIES), [IMAGES], None)
    assert len(calls) == 1


@dataclass
class OnDevice:
    """Vectors that say that they are on a GPU."""

    on_cpu: torch.Tensor
    device = torch.device("cuda")

    @property
    def dtype(self) -> torch.dtype:
        return self.on_cpu.dtype

    def __len__(self) -> int:
        return len(self.on_cpu)

    def cpu(self) -> torch.Tensor:
        return self.on_cpu


def test_a_device_without_memory_for_a_small_tile_leaves_it_to_the_cpu() -> None:
    here = query_part(QUERIES)
    there: Any = replace(here, vectors=OnDevice(here.vectors), lengths=OnDevice(here.lengths))
    tried: list[tuple[str, int]] = []

    def work(queries: Part, height: int, width: int) -> torch.Tensor:
        tried.append((queries.vectors.device.type, height * width))
        if queries.vectors.device.type == "cuda":
            raise FULL
        return queries.vectors @ IMAGES.T + queries.lengths[:, None]

    assert torch.equal(in_tiles(work, there, [IMAGES], None), work(here, 1, 1))
    sizes = [size for device, size in tried if device == "cuda"]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 600 * 3000
    assert sizes[-1] <= SMALLEST < sizes[-2]
    assert [device for device, _ in tried[len(sizes) :]] == ["cpu", "cpu"]


def test_a_device_without_any_memory_leaves_a_run_s_ranks_to_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    some, among = dialogs(), corpus()
    expected = ranks_now(some, Hashing(), among)
    to = torch.Tensor.to

    def full(self: torch.Tensor, *where: Any, **how: Any) -> torch.Tensor:
        if where == ("cuda:7",):
            raise FULL
        return to(self, *where, **how)

    monkeypatch.setattr(torch.Tensor, "to", full)
    retriever: Any = Hashing()
    retriever.device = "cuda:7"
    assert ranked_dialogs.ranks_now(some, retriever, among) == expected
