"""What the loop and the run file cost: players that answer at once, ten rounds a dialog.

Prints JSON: rounds/s at the default batch of one for local, remote and mixed players; their ratio to a
reference that only stores the same texts (a bare loop and SQLite, one transaction a dialog, in the same
process); and peak memory of 2,000 and of 100,000 dialogs from a generator, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from chatir import Dialog, Reply
from chatir.simulate import simulate

ROUNDS = 10


class Local:
    def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:
        return [Reply(f"is it thing number {len(dialog.rounds)}?") for dialog in dialogs]

    def answer(self, dialogs: Sequence[Dialog], questions: Sequence[str]) -> list[Reply]:
        return [Reply("yes, it is") for _ in dialogs]


class Remote:
    concurrency = 16

    async def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:
        return [Reply(f"is it thing number {len(dialog.rounds)}?") for dialog in dialogs]

    async def answer(self, dialogs: Sequence[Dialog], questions: Sequence[str]) -> list[Reply]:
        return [Reply("yes, it is") for _ in dialogs]


PLAYERS = {"local": (Local, Local), "remote": (Remote, Remote), "remote asks local": (Remote, Local)}


def stream(count: int) -> Iterator[Dialog]:
    for number in range(count):
        yield Dialog(f"unlabeled2017/{number:012d}.jpg", f"a street with {number} cars and some people")


def rounds_per_second(kind: str, count: int) -> float:
    asker, answerer = PLAYERS[kind]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        summary = simulate(stream(count), asker(), answerer(), out=Path(folder, "x.json"), rounds=ROUNDS)
        seconds = time.perf_counter() - started
    assert summary.rounds == count * ROUNDS
    return summary.rounds / seconds


def reference_rounds_per_second(count: int) -> float:
    """Store as many texts of the same length, a transaction a dialog, and do nothing else."""
    with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(Path(folder, "x.db"))) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE replies (dialog, round, role, text)")
        started = time.perf_counter()
        for dialog in stream(count):
            for number in range(ROUNDS):
                pair = [
                    (dialog.id, number, "question", f"is it thing number {number}?"),
                    (dialog.id, number, "answer", "yes"),
                ]
                db.executemany("INSERT INTO replies VALUES (?, ?, ?, ?)", pair)
            db.commit()
        return count * ROUNDS / (time.perf_counter() - started)


def peak_megabytes(count: int) -> float:
    """Peak memory of a process that runs `count` dialogs."""
    command = [sys.executable, __file__, "--memory-of", str(count)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--dialogs", type=int, default=2_000)
    arguments.add_argument("--many", type=int, default=100_000)
    arguments.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.memory_of:
        rounds_per_second("local", chosen.memory_of)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    reference = reference_rounds_per_second(chosen.dialogs)
    speeds = {kind: rounds_per_second(kind, chosen.dialogs) for kind in PLAYERS}
    few, many = peak_megabytes(chosen.dialogs), peak_megabytes(chosen.many)
    result = {
        "dialogs": chosen.dialogs,
        "rounds_per_dialog": ROUNDS,
        "rounds_per_second": {kind: round(speed) for kind, speed in speeds.items()},
        "reference_rounds_per_second": round(reference),
        "ratio_to_reference": {kind: round(speed / reference, 2) for kind, speed in speeds.items()},
        "peak_megabytes": {str(chosen.dialogs): round(few, 1), str(chosen.many): round(many, 1)},
        "peak_megabytes_more": round(many - few, 1),
        "cores": os.cpu_count(),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
