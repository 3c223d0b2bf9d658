"""What exact ranks cost: `target_ranks` against sorting all images for each query, and against the products alone.

The reference works as the released evaluation is described: all similarities of 500 queries, a full descending sort of
positions, and a search for the target in it. Random unit vectors, 2,064 queries (each target eleven times: a caption
and ten rounds make 11 queries) in 50,000 images of 256 dimensions, float32. Repetitions of all ways take turns, and the
best time of each is told: what else the machine does only adds. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from chatir.retriever import target_ranks
from chatir.retriever.ranking import ranks as counting
from chatir.retriever.ranking.ranks import tiling
from chatir.retriever.ranking.similarity import pair_scores, product

REFERENCE_BATCH = 500
ROUNDS = 11


def searches(queries: int, images: int, dimensions: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries that lie near their target, less near in the first rounds; images; positions of the targets."""
    random = torch.Generator().manual_seed(0)
    corpus = torch.nn.functional.normalize(torch.randn(images, dimensions, generator=random), dim=1)
    positions = torch.randint(0, images, (-(-queries // ROUNDS),), generator=random).repeat(ROUNDS)[:queries]
    nearness = torch.linspace(0.0, 0.3, queries)[:, None]
    noise = torch.nn.functional.normalize(torch.randn(queries, dimensions, generator=random), dim=1)
    return torch.nn.functional.normalize(nearness * corpus[positions] + noise, dim=1), corpus, positions


def sorted_out(queries: Tensor, corpus: Tensor, positions: Tensor) -> Tensor:
    """Ranks by a full sort."""
    ranks = []
    for start in range(0, len(queries), REFERENCE_BATCH):
        some = slice(start, start + REFERENCE_BATCH)
        order = torch.argsort(queries[some] @ corpus.T, dim=1, descending=True)
        ranks.append((order == positions[some, None]).nonzero()[:, 1] + 1)
    return torch.cat(ranks)


def products(queries: Tensor, corpus: Tensor) -> None:
    """The reference's products, and nothing else."""
    for start in range(0, len(queries), REFERENCE_BATCH):
        queries[start : start + REFERENCE_BATCH] @ corpus.T


def tiles(queries: Tensor, corpus: Tensor) -> None:
    """The products in the tiles of `target_ranks`, and nothing else."""
    height, width = tiling(len(queries), len(corpus), queries.device, None)
    out = torch.empty(height * width)
    for image in range(0, len(corpus), width):
        for query in range(0, len(queries), height):
            product(queries[query : query + height], corpus[image : image + width], out)


def scored_again(queries: Tensor, corpus: Tensor, positions: Tensor) -> int:
    """Pairs inside the error band, those of the targets among them."""
    pairs, settle = 0, counting._settle

    def counted(*given: Any) -> None:
        nonlocal pairs
        pairs += sum(len(rows) for rows, _ in given[2])
        settle(*given)

    counting._settle = counted
    try:
        target_ranks(queries, corpus, positions)
    finally:
        counting._settle = settle
    return pairs


def microseconds_a_pair(queries: Tensor, corpus: Tensor) -> float:
    """What the float64 score of one pair takes, of many random ones, on one thread."""
    torch.set_num_threads(1)
    random = torch.Generator().manual_seed(1)
    rows, columns = (torch.randint(len(some), (2**17,), generator=random) for some in (queries, corpus))
    seconds = best({"pairs": lambda: pair_scores(queries, rows, corpus, columns)}, repetitions=3)["pairs"]
    return round(1e6 * seconds / len(rows), 2)


def best(ways: dict[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Least seconds of each way, after one round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repetition in range(repetitions + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if repetition:
                seconds[name].append(time.perf_counter() - started)
    return {name: min(some) for name, some in seconds.items()}


def measured(threads: int, search: tuple[Tensor, Tensor, Tensor], repetitions: int) -> dict[str, Any]:
    """Seconds of all ways with as many threads, and what the ranks cost in terms of the others."""
    torch.set_num_threads(threads)
    queries, corpus, _ = search
    seconds = best(
        {
            "sort": lambda: sorted_out(*search),
            "products": lambda: products(queries, corpus),
            "products_in_tiles": lambda: tiles(queries, corpus),
            "target_ranks": lambda: target_ranks(*search),
        },
        repetitions,
    )
    ours = seconds["target_ranks"]
    return {
        "threads": threads,
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "times_faster_than_sort": round(seconds["sort"] / ours, 1),
        "of_products": round(ours / seconds["products"], 2),
        "of_products_in_tiles": round(ours / seconds["products_in_tiles"], 2),
    }


@contextmanager
def a_busy_core() -> Iterator[None]:
    """Another process keeps a core busy meanwhile."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.2)
        yield
    finally:
        process.kill()
        process.wait()


def beside_others(threads: int, search: tuple[Tensor, Tensor, Tensor], repetitions: int) -> dict[str, Any]:
    """Median seconds of `target_ranks` with all cores to itself, and with one of them busy."""
    torch.set_num_threads(threads)

    def median() -> float:
        seconds = []
        target_ranks(*search)
        for _ in range(repetitions):
            started = time.perf_counter()
            target_ranks(*search)
            seconds.append(time.perf_counter() - started)
        return statistics.median(seconds)

    alone = median()
    with a_busy_core():
        beside = median()
    return {"alone": round(alone, 3), "one_core_busy": round(beside, 3), "times": round(beside / alone, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("queries", 2064), ("images", 50_000), ("dimensions", 256), ("repetitions", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    search = searches(options.queries, options.images, options.dimensions)
    differing = int((sorted_out(*search) != target_ranks(*search)).sum())
    cores = os.cpu_count() or 1
    figures = {
        **vars(options),
        "cores": cores,
        "torch": torch.__version__,
        "runs": [measured(threads, search, options.repetitions) for threads in sorted({1, cores})],
        "beside_others": beside_others(cores, search, options.repetitions),
        "median_rank": int(target_ranks(*search).median()),
        "pairs": options.queries * options.images,
        "pairs_scored_again": scored_again(*search),
        "microseconds_a_pair": microseconds_a_pair(*search[:2]),
        "ranks_that_differ_from_sorting_in_float32": differing,
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
