"""Trains the built-in models, two at a time, each on one thread.

python -m tools.scene_models.train                              # all, into the package: about 45 minutes on two cores
python -m tools.scene_models.train --only t5 --folder build     # one of them, elsewhere
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from chatir.models.builtin import checkpoints
from tools.scene_models import answerer, questioner, retriever

LESSONS = {"clip": retriever.main, "blip2": answerer.main, "t5": questioner.main}
"""Longest first, so that two cores end together."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is asked for; the same seeds on the same machine give the same weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=LESSONS, help="train one model [default: all]")
    parser.add_argument("--folder", type=Path, help="write the checkpoints below this folder [default: the package]")
    parser.add_argument("--effort", type=float, default=1.0, help="share of the steps to take, to try a change out")
    asked = parser.parse_args(arguments)
    if asked.effort != 1 and not asked.folder:
        parser.error("--effort needs --folder: a trial must not replace the models of the package")
    names = [asked.only] if asked.only else list(LESSONS)
    with ProcessPoolExecutor(2, get_context("spawn"), torch.set_num_threads, (1,)) as cores:
        folders = {name: asked.folder / name for name in LESSONS} if asked.folder else checkpoints()
        for lesson in [cores.submit(LESSONS[name], folders[name], asked.effort) for name in names]:
            lesson.result()


if __name__ == "__main__":
    main()
