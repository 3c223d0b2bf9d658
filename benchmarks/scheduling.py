"""How close ten rounds by a chat endpoint come to the least time that its latency and connections allow.

The server (another process) takes 200 ms for a reply and 16 requests at once; the answerer takes 50 ms for a batch
of 32. The reference is arithmetic: requests x latency / connections. Prints JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from chatir import Dialog, Reply
from chatir.plugins import build
from chatir.simulate import simulate

LATENCY, CONNECTIONS = 0.2, 16
DIALOGS, ROUNDS = 320, 10

SERVER = f"""
import sys
from chat_server import ChatServer
with ChatServer(latency={LATENCY}, capacity={CONNECTIONS}) as server:
    print(server.url, flush=True)
    sys.stdin.read()
    print(len(server.requests), server.most_running, flush=True)
"""


class Answering:
    """Takes 50 ms for up to 32 dialogs, as a model on a GPU does."""

    batch_size = 32

    def answer(self, dialogs: Sequence[Dialog], questions: Sequence[str]) -> list[Reply]:
        time.sleep(0.05)
        return [Reply("yes") for _ in dialogs]


def main() -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1] / "tests",
    )
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    options = {"base_url": url, "model": "m", "concurrency": CONNECTIONS}
    targets = [Dialog(f"{n}.jpg", f"picture {n}") for n in range(DIALOGS)]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        summary = simulate(targets, build("questioners", "chatgpt", options), Answering(), out=Path(folder, "x.json"))
        seconds = time.perf_counter() - started
    told, _ = server.communicate("")
    requests, most = map(int, told.split())
    bound = DIALOGS * ROUNDS * LATENCY / CONNECTIONS
    figures = {
        "rounds": summary.rounds,
        "requests": requests,
        "most_at_once": most,
        "seconds": round(seconds, 2),
        "lower_bound_seconds": bound,
        "ratio_to_lower_bound": round(seconds / bound, 3),
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
