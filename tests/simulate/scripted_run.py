"""A run to be killed: `python scripted_run.py OUT COUNT ROUNDS instant|slow|hanging LOG`; LOG gets a line a request."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from players import answer, question, targets

from chatir import Dialog, Reply
from chatir.errors import ChatirError
from chatir.simulate import simulate

out, count, rounds, speed, log = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]
LOG = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def note(role: str, dialogs: Sequence[Dialog]) -> None:
    os.write(LOG, "".join(f"{role} {d.id} {len(d.rounds)}\n" for d in dialogs).encode())


class Asker:
    batch_size, concurrency = 2, 8

    async def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:
        note("ask", dialogs)
        await asyncio.sleep(0.004 if speed == "slow" else 0)
        return [question(dialog) for dialog in dialogs]


class Answerer:
    batch_size = 16

    def answer(self, dialogs: Sequence[Dialog], questions: Sequence[str]) -> list[Reply]:
        note("answer", dialogs)
        time.sleep({"instant": 0, "slow": 0.004, "hanging": 600}[speed])
        return [answer(*pair) for pair in zip(dialogs, questions, strict=True)]


print("ready", flush=True)
try:
    simulate(targets(count), Asker(), Answerer(), out=out, rounds=rounds)
except ChatirError as error:
    with suppress(OSError):  # its terminal may be closed
        print(error, file=sys.stderr, flush=True)
    os._exit(error.exit_code)
