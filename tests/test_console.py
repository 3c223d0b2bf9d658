"""Notes and progress on stderr: whole lines, whoever writes at once."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

NOTES = """
import sys, threading
from chatir.console import note, shown_progress
sys.setswitchinterval(1e-6)
def work(name):
    for number in range(300):
        note(f"note {name} {number} of a thread that has much to say")
with shown_progress(sys.stderr) as report:
    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads: thread.start()
    while any(thread.is_alive() for thread in threads): report("12/300 rounds, " + "and much more, " * 20)
    for thread in threads: thread.join()
"""
SAID = sorted(
    f"chatir: note {name} {number} of a thread that has much to say" for name in "abcd" for number in range(300)
)


def test_notes_of_several_threads_are_whole_lines_on_a_pipe() -> None:
    done = subprocess.run([sys.executable, "-c", NOTES], capture_output=True, text=True)
    assert done.returncode == 0
    assert sorted(done.stderr.splitlines()) == SAID


def shown(columns: int, code: str) -> str:
    """What a program writes on a terminal."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": str(columns), "LINES": "25"}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=theirs)
    os.close(theirs)
    written = b"".join(_read(ours))
    assert process.wait() == 0
    os.close(ours)
    return written.decode()


def _read(terminal: int) -> Iterator[bytes]:
    try:
        while chunk := os.read(terminal, 4096):
            yield chunk
    except OSError:  # the other end is closed
        pass


def test_notes_beside_live_progress_are_whole_lines_on_a_terminal() -> None:
    written = shown(80, NOTES)
    lines = re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", written).splitlines()
    assert sorted(line for line in lines if "note" in line) == SAID


@pytest.mark.parametrize("columns", [20, 80])
def test_progress_is_cut_to_one_line_of_a_terminal(columns: int) -> None:
    code = (
        "import sys, time\n"
        "from chatir.console import shown_progress\n"
        "with shown_progress(sys.stderr) as report:\n"
        "    for n in range(5): time.sleep(0.1); report(f'{n}/300 rounds, [red]' + 'and much more, ' * 20)\n"
        "    time.sleep(0.2)\n"
    )
    written = shown(columns, code)
    assert "/300 rounds, " in written
    assert "…" in written
    assert written.count("\x1b[1A") == 1, "the cursor goes up once, at the end, to take the line away"


CLOSED = """
import os, time
from chatir import console
console.LIVE_SECONDS = 0
ours, theirs = os.openpty()
with console.shown_progress(os.fdopen(theirs, "w")) as report:
    report("1 round")
    time.sleep(0.3)
    os.close(ours)
    report("2 rounds")
    console.note("waiting")
os._exit(0)
"""


def test_a_terminal_that_is_closed_meanwhile_is_no_trouble() -> None:
    environment = os.environ | {"TERM": "xterm"}
    done = subprocess.run([sys.executable, "-c", CLOSED], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
