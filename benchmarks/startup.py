"""How long a user waits for help: seconds of `chatir --help` and others, and their ratio to a bare Python.

Prints JSON; each figure is the median of several runs.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

RUNS = 9
COMMANDS = {
    "chatir --help": ["-m", "chatir", "--help"],
    "chatir simulate --help": ["-m", "chatir", "simulate", "--help"],
    "chatir list": ["-m", "chatir", "list"],
}


def seconds(arguments: list[str]) -> float:
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    bare = seconds(["-c", "pass"])
    measured = {name: seconds(arguments) for name, arguments in COMMANDS.items()}
    result = {
        "seconds": {name: round(value, 3) for name, value in measured.items()},
        "bare_python_seconds": round(bare, 3),
        "ratio_to_bare_python": {name: round(value / bare, 1) for name, value in measured.items()},
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
