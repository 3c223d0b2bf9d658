"""The parent's side of the worker, against one that dies, hangs and talks nonsense."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chatir.errors import InputError
from chatir.models.lavis.worker_process import SCRIPT, WorkerDiedError, WorkerError, WorkerProcess

FAKE = Path(__file__).with_name("fake_worker.py")


@pytest.fixture
def fake(tmp_path: Path) -> list[str]:
    """The command of a fake worker."""
    script = tmp_path / "fake_worker.py"
    script.write_text(FAKE.read_text())
    return [sys.executable, str(script)]


@pytest.fixture
def worker(fake: list[str]) -> Iterator[WorkerProcess]:
    with closing(WorkerProcess(fake)) as process:
        yield process


def gone(pid: int) -> bool:
    """Whether a process ends within some seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_a_process_answers_one_request_after_another(worker: WorkerProcess) -> None:
    assert worker.pid is None
    assert worker.ask("echo", text="är {0} \u2028 da?\n", number=1.5) == {"text": "är {0} \u2028 da?\n", "number": 1.5}
    first = worker.pid
    assert worker.ask("echo", timeout=60, text="x" * 5_000_000) == {"text": "x" * 5_000_000}
    assert worker.pid == first


def test_its_session_and_its_packages_are_its_own(worker: WorkerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere/else")
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    where = worker.ask("where")
    assert where["session"] == where["pid"] == worker.pid
    assert where["path"] is None
    assert where["allocator"] == "expandable_segments:True"


def test_one_that_ends_is_explained_by_its_code_and_last_words_and_started_again(worker: WorkerProcess) -> None:
    for _ in range(2):
        with pytest.raises(WorkerDiedError, match=r"^the LAVIS worker ended with exit code 3: the last words$"):
            worker.ask("exit")
        assert worker.pid is None
    assert worker.ask("echo", text="again") == {"text": "again"}


def test_one_that_is_killed_is_explained_by_the_signal(worker: WorkerProcess) -> None:
    worker.ask("echo")
    assert worker.pid
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(WorkerDiedError, match="was killed by SIGKILL, perhaps for want of memory"):
        worker.ask("echo")
    worker.ask("echo")
    os.kill(worker.pid, signal.SIGABRT)
    with pytest.raises(WorkerDiedError, match=r"was killed by SIGABRT$"):
        worker.ask("echo")


@pytest.mark.parametrize("operation", ["garble", "halve"])
def test_one_that_talks_nonsense_is_ended(worker: WorkerProcess, operation: str) -> None:
    pid = worker.ask("where")["pid"]
    with pytest.raises(WorkerDiedError, match="LAVIS worker"):
        worker.ask(operation)
    assert gone(pid)
    assert worker.ask("echo", text="sense") == {"text": "sense"}


def test_one_that_hangs_is_ended_when_its_time_is_over(worker: WorkerProcess) -> None:
    pid = worker.ask("where")["pid"]
    with pytest.raises(WorkerDiedError, match=r"gave no reply within 0\.5 s$"):
        worker.ask("answer", 0.5, items=[{"key": "a", "text": "hang"}])
    assert gone(pid)


def test_one_that_no_longer_reads_is_ended_too(worker: WorkerProcess) -> None:
    with pytest.raises(WorkerDiedError):
        worker.ask("stop", 0.5)
    worker.ask("echo")
    assert worker.pid
    os.kill(worker.pid, signal.SIGSTOP)
    with pytest.raises(WorkerDiedError, match=r"within 0\.5 s"):
        worker.ask("echo", 0.5, text="x" * 10_000_000)


def test_what_it_started_goes_with_it(worker: WorkerProcess) -> None:
    child = worker.ask("child")["pid"]
    worker.close()
    assert gone(child)


def test_its_chatter_never_blocks_it_and_goes_into_the_log_after_what_is_there(
    fake: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "worker.log"
    log.write_text("before\n")
    caplog.set_level("INFO", logger="chatir.lavis")
    with closing(WorkerProcess(fake, log)) as worker:
        worker.ask("noise", timeout=60)
    lines = log.read_text().splitlines()
    assert lines[0] == "before"
    assert lines[1:] == ["a library says much about nothing"] * 100_000
    assert caplog.records[0].message == "a library says much about nothing"


def test_its_own_word_of_an_error_ends_nothing(worker: WorkerProcess) -> None:
    pid = worker.ask("where")["pid"]
    for text, kind in (("fail", "failed"), ("large", "out_of_memory")):
        with pytest.raises(WorkerError) as told:
            worker.ask("answer", items=[{"key": "a", "text": text}] * 2)
        assert told.value.kind == kind
    assert worker.pid == pid


def test_it_can_be_closed_twice_and_asked_again(worker: WorkerProcess) -> None:
    pid = worker.ask("where")["pid"]
    worker.close()
    worker.close()
    assert gone(pid)
    assert worker.ask("where")["pid"] != pid


def test_it_ends_with_whoever_forgets_it(fake: list[str]) -> None:
    worker = WorkerProcess(fake)
    pid = worker.ask("where")["pid"]
    del worker
    gc.collect()
    assert gone(pid)


def test_what_cannot_be_started_is_one_line(tmp_path: Path, fake: list[str]) -> None:
    with pytest.raises(InputError, match=r"^/no/such/python: no such file or directory$"):
        WorkerProcess(["/no/such/python"]).ask("about")
    with pytest.raises(InputError, match="is a directory"):
        WorkerProcess(fake, tmp_path).ask("about")


def test_the_real_worker_ends_when_its_input_does_and_needs_lavis() -> None:
    with closing(WorkerProcess([sys.executable, SCRIPT])) as worker:
        for operation in ("about", "imports"):
            with pytest.raises(WorkerError, match=r"^the package \S+ .* Python 3\.\d+\.\d+ \(.*\)") as told:
                worker.ask(operation)
            assert told.value.kind == "import"
        process = worker._process
        assert process
        assert process.stdin
        process.stdin.close()
        assert process.wait(10) == 0
