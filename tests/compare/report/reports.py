"""Comparisons for reports, made by hand: with repeats, ranks that go up and down, best images, and pictures of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from compare.comparisons import asked, compared, side_by_side
from PIL import Image

from chatir import Dialog
from chatir.compare.comparison import ComparedRun, Comparison, Verdict
from chatir.compare.counted.retrieval import Retrieval
from chatir.compare.report import write_report

BEST = 10
IMAGES = 200


def ranked(run: ComparedRun, seed: int, label: str = "CLIP") -> ComparedRun:
    """The run with ranks by chance, the same for each caption, and the best images that go with them."""
    found = next(iter(run.retrieval.values()))
    ranks = np.random.default_rng(seed).integers(1, 40, found.ranks.shape)
    ranks[0] = np.random.default_rng(99).integers(1, 40, ranks.shape[1])
    top = tuple(best_images(dialog, own) for dialog, own in zip(run.dialogs, ranks.T, strict=True))
    return replace(run, retrieval={label: replace(found, ranks=ranks, top=top)})


def best_images(dialog: Dialog, ranks: Any) -> tuple[tuple[str, ...], ...]:
    top = []
    for place, rank in enumerate(ranks):
        best = [f"other{(place * 7 + number) % 20}.png" for number in range(BEST)]
        if rank <= BEST:
            best[rank - 1] = dialog.image
        top.append(tuple(best))
    return tuple(top)


def two_runs(count: int = 60) -> Comparison:
    """Two runs over the same images, one about the questioners, one about the runs only."""
    runs = [ranked(compared(name, dialogs=asked(seed, count)), seed) for seed, name in enumerate(("greedy", "careful"))]
    verdicts = (
        Verdict("greedy", "careful", "questioners", (), "careful: repeats itself less than greedy"),
        Verdict("careful", "greedy", "runs", ("another answerer",), "greedy: about the runs: another answerer"),
    )
    return replace(side_by_side(*runs), verdicts=verdicts, method="How was tested.", notes=("a note",))


def with_retrieval(comparison: Comparison, **changes: Any) -> Comparison:
    """The comparison, each run's rankings changed: a figure, or a function of the one that is there."""

    def changed(found: Retrieval) -> Retrieval:
        return replace(found, **{name: change(found) for name, change in changes.items()})

    runs = (
        replace(run, retrieval={label: changed(found) for label, found in run.retrieval.items()})
        for run in comparison.runs
    )
    return replace(comparison, runs=tuple(runs))


def written(comparison: Comparison, path: Path, **options: Any) -> Path:
    """The report's file, without figures and pictures unless told otherwise."""
    write_report(comparison, path, **{"figures": {}, "images": None, "thumbnails": 100, "note": print} | options)
    return path


def pictures(root: Path, comparison: Comparison) -> Path:
    """A folder with a picture of every target and of every other image."""
    root.mkdir()
    names = [dialog.image for dialog in comparison.runs[0].dialogs] + [f"other{number}.png" for number in range(20)]
    for number, name in enumerate(names):
        Image.new("RGB", (40, 30), (number % 256, 100, 200)).save(root / name)
    return root
