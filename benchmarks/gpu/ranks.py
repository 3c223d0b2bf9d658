"""Exact ranks of random unit vectors of 256 dimensions, against the bare products, which no exact method can beat."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

import torch

from benchmarks.gpu.common import Bench, Row, device, measured
from chatir.retriever import target_ranks

DIMENSIONS = 256
AT_ONCE = 2_064
LARGE = ((22_704, 50_000), (2_064, 1_000_000))
"""Queries and images: all rounds of VisDial in its corpus, and one round in a million."""
SMALL = ((300, 2_000), (100, 5_000))
CHECKED = 64


def unit(count: int, seed: int) -> torch.Tensor:
    """Random unit vectors."""
    rows = torch.randn(count, DIMENSIONS, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(rows, dim=1)


def seconds(work: Any) -> float:
    """The median of three goes, after one that does not count."""
    return median([measured(work)[1] for _ in range(4)][1:])


def products(queries: torch.Tensor, corpus: torch.Tensor) -> None:
    for part in queries.split(AT_ONCE):
        torch.mm(part, corpus.T)


def ranks(bench: Bench) -> Iterator[Row]:
    for asked, images in SMALL if bench.tiny else LARGE:
        exact, vectors = unit(asked, 0), unit(images, 1)
        targets = torch.randint(images, (asked,), generator=torch.Generator().manual_seed(2))
        for dtype in (torch.float32, torch.float16, torch.bfloat16):
            queries, corpus = exact.to(dtype), vectors.to(dtype)
            here, there = queries.to(device()), corpus.to(device())
            floor = seconds(lambda q=here, c=there: products(q, c))
            took = seconds(lambda q=here, c=there, t=targets: target_ranks(q, c, t))
            peak = measured(lambda q=here, c=there, t=targets: target_ranks(q, c, t))[2]
            streamed = seconds(lambda q=here, c=corpus, t=targets: target_ranks(q, c, t))
            name = f"{asked:,} queries in {images:,} images, {str(dtype).removeprefix('torch.')}"
            beside = f"{floor:.4f} the products alone; {streamed:.4f} with the images in the machine's memory"
            yield Row(name, took, "s", beside, took / floor, peak)
            some = slice(CHECKED)
            if not torch.equal(target_ranks(here[some], there, targets[some]).cpu(),
                               target_ranks(queries[some], corpus, targets[some])):  # fmt: skip
                raise RuntimeError(f"{name}: the ranks are not those of the CPU")
