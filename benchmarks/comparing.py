"""What `chatir compare` takes for ten files of 2,064 dialogs, as a process of its own, with and without ranks.

The reference is a process that only loads the same JSON and normalises every question. Prints JSON.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from chatir import Dialog
from chatir.datasets.scenes.folder import scene_dialogs
from chatir.measures.ranks import DialogRanks
from chatir.run.file import RunFile
from chatir.run.ranks import Ranking, RunRanks
from chatir.simulate import read_dialogs, write_dialogs
from chatir.storage.files import file_sha256

FILES, DIALOGS, ROUNDS = 10, 2064, 10
RELEASED = (
    Path(__file__).resolve().parents[2] / "shared" / "data" / "chatir" / "dialogues" / "FLAN_ALPACA_XXL_BLIP2.json"
)
REFERENCE = """
import json, sys
from chatir.datasets.dialogue_json import read_dialogs
from chatir.measures.questions import repeats
for file in sys.argv[1:]:
    [repeats(one.question for one in dialog.rounds) for dialog in read_dialogs(file)]
"""


def dialogs() -> list[Dialog]:
    """Those of a released file where it is at hand, else of simulated people."""
    return read_dialogs(RELEASED) if RELEASED.exists() else [dialog for _, dialog in scene_dialogs(DIALOGS, 0)]


def write_files(folder: Path) -> list[Path]:
    """Files that share their images, each with its rounds in another order."""
    files = []
    for number in range(FILES):
        shuffled = random.Random(number)
        some = [replace(one, rounds=tuple(shuffled.sample(one.rounds, len(one.rounds)))) for one in dialogs()]
        files.append(folder / f"run{number}.json")
        write_dialogs(files[-1], some)
    return files


def give_ranks(files: list[Path]) -> None:
    """Ranks that get better from round to round, as `chatir score` would keep them."""
    ranking = Ranking("CLIP", {"model": {"id": "none"}}, "0" * 64, 50_000)
    for number, file in enumerate(files):
        some = read_dialogs(file)
        start = np.random.default_rng(number).lognormal(5, 2, len(some))
        ranks = np.clip(start[:, None] * 0.8 ** np.arange(ROUNDS + 1), 1, 50_000).astype(int).tolist()
        with closing(RunFile.create(file.with_suffix(".run"), {"imported": file_sha256(file)})) as run:
            RunRanks(run).keep(
                ranking, ((one, DialogRanks(tuple(own))) for one, own in zip(some, ranks, strict=True)), {}
            )


def seconds(command: list[str]) -> float:
    """The best of three."""
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        taken.append(time.perf_counter() - started)
    return min(taken)


def main() -> None:
    compare = [str(Path(sys.executable).with_name("chatir")), "compare"]
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(Path(folder))
        names = list(map(str, files))
        reference = seconds([sys.executable, "-c", REFERENCE, *names])
        taken = {
            "no ranks": seconds([*compare, *names]),
            "no ranks, all pairs": seconds([*compare, *names, "--all-pairs"]),
        }
        give_ranks(files)
        taken |= {"ranks": seconds([*compare, *names]), "ranks, all pairs": seconds([*compare, *names, "--all-pairs"])}
    told = {name: {"seconds": round(one, 2), "of_reference": round(one / reference, 2)} for name, one in taken.items()}
    print(json.dumps({"files": FILES, "dialogs": DIALOGS, "reference_seconds": round(reference, 2), **told}, indent=2))


if __name__ == "__main__":
    main()
