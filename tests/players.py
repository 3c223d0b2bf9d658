"""Scripted players and targets, for tests of what the loop does with real ones."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from chatir import Dialog, Reply, Round


def targets(count: int) -> list[Dialog]:
    return [Dialog(f"unlabeled2017/{n:012d}.jpg", f"a picture of {n} things") for n in range(count)]


class Calls:
    """Keeps every batch that a player was given, and how many calls ran at once."""

    def __init__(self) -> None:
        self.batches: list[list[Dialog]] = []
        self.running = 0
        self.most_running = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.running += 1
            self.most_running = max(self.most_running, self.running)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.running -= 1


def question(dialog: Dialog) -> Reply:
    return Reply(f"is it number {len(dialog.rounds) + 1} of {dialog.seed % 1000}?", tokens_in=3, tokens_out=2, cost=0.5)


def answer(dialog: Dialog, asked: str) -> Reply:
    return Reply(f"yes {dialog.seed % 1000} to {asked.removesuffix('?')}")


class Asking:
    def __init__(self, script: Callable[[Dialog], Reply] = question, batch_size: int = 1, concurrency: int = 1) -> None:
        self.script, self.batch_size, self.concurrency = script, batch_size, concurrency
        self.calls = Calls()

    def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:
        with self.calls:
            self.calls.batches.append(list(dialogs))
            return [self.script(dialog) for dialog in dialogs]


class AskingSlowly(Asking):
    seconds = 0.001

    async def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:  # type: ignore[override]
        with self.calls:
            self.calls.batches.append(list(dialogs))
            await asyncio.sleep(self.seconds * (dialogs[0].seed % 5))
            return [self.script(dialog) for dialog in dialogs]


class Answering:
    def __init__(
        self, script: Callable[[Dialog, str], Reply] = answer, batch_size: int = 1, concurrency: int = 1
    ) -> None:
        self.script, self.batch_size, self.concurrency = script, batch_size, concurrency
        self.calls = Calls()

    def answer(self, dialogs: Sequence[Dialog], questions: Sequence[str]) -> list[Reply]:
        with self.calls:
            self.calls.batches.append(list(dialogs))
            return [self.script(*pair) for pair in zip(dialogs, questions, strict=True)]

    def max_cost(self, dialog: Dialog, question: str) -> float:
        return 0.0


def said(*texts: str) -> tuple[Round, ...]:
    return tuple(map(Round.parse, texts))


def query(run_file: Path, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a run file, read as anyone can read them."""
    with closing(sqlite3.connect(run_file)) as db:
        return db.execute(sql).fetchall()


def install(site: Path, module: str, code: str, **players: str) -> None:
    """A distribution in a folder to be put on the path: a module, and by kind a player of it, `name = Class`."""
    info = site / f"{module}-1.dist-info"
    info.mkdir(parents=True)
    (site / f"{module}.py").write_text(code)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
    lines = []
    for kind, player in players.items():
        name, _, made = player.partition(" = ")
        lines.append(f"[chatir.{kind}]\n{name} = {module}:{made}\n")
    (info / "entry_points.txt").write_text("".join(lines))
