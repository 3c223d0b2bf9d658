"""How long the exact ranks of all dialogs of VisDial take on a GPU: 22,704 queries (2,064 dialogs, 11 rounds) in 50,000
images of 256 dimensions, against the bare matrix products, which no method that looks at every pair can beat.

Random unit vectors, in fp32, fp16 and bf16; the corpus on the GPU, and streamed to it from the memory of the machine.
Prints JSON; without a GPU, that there is none. `--tiny` tries the script anywhere.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from chatir.retriever import target_ranks

QUERIES, IMAGES, DIMENSIONS = 22_704, 50_000, 256
AT_ONCE = 2_064
REPEATED = 5


def unit(count: int, seed: int) -> torch.Tensor:
    """Random unit vectors."""
    rows = torch.randn(count, DIMENSIONS, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(rows, dim=1)


def seconds(work: Callable[[], object]) -> float:
    """The median of several goes, after one that does not count."""
    taken = []
    for _ in range(REPEATED + 1):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        started = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - started)
    return median(taken[1:])


def measured(queries: torch.Tensor, corpus: torch.Tensor, targets: torch.Tensor, device: str) -> dict[str, Any]:
    """Seconds of the products and of the ranks, and their ratio."""
    there, here = corpus.to(device), queries.to(device)

    def products() -> None:
        for part in here.split(AT_ONCE):
            torch.mm(part, there.T)

    floor = seconds(products)
    ranked = seconds(lambda: target_ranks(here, there, targets))
    streamed = seconds(lambda: target_ranks(here, corpus, targets))
    return {
        "products_seconds": round(floor, 4),
        "ranks_seconds": round(ranked, 4),
        "ratio": round(ranked / floor, 2),
        "streamed_seconds": round(streamed, 4),
        "same_as_on_the_cpu": bool(
            torch.equal(
                target_ranks(here[:64], there, targets[:64]).cpu(), target_ranks(queries[:64], corpus, targets[:64])
            )
        ),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--tiny", action="store_true", help="few vectors, on any machine")
    tiny = arguments.parse_args().tiny
    if not torch.cuda.is_available() and not tiny:
        print(json.dumps({"skipped": "there is no GPU"}))
        return
    device = "cuda" if torch.cuda.is_available() else "cpu"
    queries, corpus = unit(300 if tiny else QUERIES, 0), unit(2_000 if tiny else IMAGES, 1)
    targets = torch.randint(len(corpus), (len(queries),), generator=torch.Generator().manual_seed(2))
    figures: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if device == "cuda" else "CPU",
        "queries": len(queries),
        "images": len(corpus),
    }
    for name in ("float32", "float16", "bfloat16"):
        dtype = getattr(torch, name)
        figures[name] = measured(queries.to(dtype), corpus.to(dtype), targets, device)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
