"""The parent's side of the LAVIS worker: a process that is started when it is asked, and ended when it hangs."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from chatir.errors import InputError
from chatir.models.patience import Timer
from chatir.storage.files import os_error

SCRIPT = Path(__file__).with_name("worker.py")
END_SECONDS = 5.0
"""How long a process may take to end when it is told to."""
GONE_SECONDS = 5.0
"""How long one whose pipe closed may take to be gone."""
KEPT_LINES = 20
FOREIGN = "PYTHON"
"""Variables that begin so are meant for the Python at work: they would lead another one to its packages, say."""

log = logging.getLogger("chatir.lavis")


class WorkerDiedError(Exception):
    """The worker ended, or had to be ended, before it answered; the text says how."""


class WorkerError(Exception):
    """The worker's own word that something failed. kind: `import`, `load`, `out_of_memory` or `failed`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class WorkerProcess:
    """A worker, started by its first request and again by the first one after it died or was closed."""

    def __init__(self, command: Sequence[str | Path], log_file: Path | None = None) -> None:
        """command: starts the worker. log_file: gets what it says besides its replies, after what is there."""
        self._command = [str(part) for part in command]
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None
        self._said: deque[str] = deque(maxlen=KEPT_LINES)
        self._listener: threading.Thread | None = None
        self._end: weakref.finalize[..., WorkerProcess] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id, None if it is not running."""
        return self._process.pid if self._process is not None else None

    def ask(self, operation: str, timeout: float | None = None, **request: Any) -> dict[str, Any]:
        """What an operation of the worker gives; it has `timeout` seconds (None: as long as it takes).

        Raises WorkerDiedError, WorkerError, and InputError if there is nothing to start.
        """
        process = self._process or self._start()
        late = threading.Event()

        def end() -> None:
            late.set()
            _kill(process)

        timer = Timer(timeout, end) if timeout is not None else None
        if timer is not None:
            timer.start()
        try:
            reply = _exchange(process, {"op": operation, **request})
        except BaseException:  # the reply to this request must not be taken for that to the next one
            self._forget()
            raise
        finally:
            if timer is not None:
                timer.cancel()
                timer.join()  # it may have begun: this reply is late then, and not the next one
        if reply is None or late.is_set():
            raise self._died(f"gave no reply within {timeout:g} s" if late.is_set() else None)
        if "error" in reply:
            raise WorkerError(str(reply["error"]["kind"]), str(reply["error"]["message"]))
        return dict(reply["result"])

    def close(self) -> None:
        """End the process, if there is one: at its own leave first."""
        if (process := self._process) is None:
            return
        _signal(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
        self._forget()

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        written = self._open_log()
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment | {"PYTHONUTF8": "1", "PYTHONWARNINGS": "ignore"},
                start_new_session=True,  # Ctrl-C is its parent's business
            )
        except OSError as error:
            if written:
                written.close()
            raise os_error(self._command[0], error) from None
        self._process = process
        self._said.clear()
        self._end = weakref.finalize(self, _kill, process)
        self._listener = threading.Thread(target=_listen, args=(process, self._said, written), daemon=True)
        self._listener.start()
        return process

    def _open_log(self) -> IO[str] | None:
        if self._log_file is None:
            return None
        try:
            return self._log_file.open("a", encoding="utf-8")
        except OSError as error:
            raise os_error(self._log_file, error) from None

    def _died(self, how: str | None) -> WorkerDiedError:
        """Clear away a process that ended or talks nonsense, and tell what is known of it."""
        process = self._process
        assert process is not None
        with suppress(subprocess.TimeoutExpired):
            process.wait(GONE_SECONDS if how is None else 0)
        code = process.poll()
        self._forget()
        if how is None and code is None:
            how = "gave a reply that is none"
        if how is None and code is not None and code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
            how += ", perhaps for want of memory" if code == -signal.SIGKILL else ""
        if how is None:
            how = f"ended with exit code {code}"
        said = f": {self._said[-1]}" if self._said and (code or 0) > 0 else ""
        return WorkerDiedError(f"the LAVIS worker {how}{said}")

    def _forget(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if self._end is not None:
            self._end.detach()
        _kill(process)
        process.wait()
        if self._listener is not None:
            self._listener.join(END_SECONDS)
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]  # both are pipes


def _exchange(process: subprocess.Popen[bytes], request: dict[str, Any]) -> dict[str, Any] | None:
    """One request and its reply; None where the process ends, or talks nonsense."""
    assert process.stdin
    assert process.stdout
    try:
        process.stdin.write(json.dumps(request).encode("ascii") + b"\n")
        process.stdin.flush()
        reply = json.loads(process.stdout.readline())
    except (OSError, ValueError):
        return None
    return reply if isinstance(reply, dict) and ("result" in reply or "error" in reply) else None


def _kill(process: subprocess.Popen[bytes]) -> None:
    _signal(process, signal.SIGKILL)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Tell a process and what it may have started; their group bears its number until it has been waited for."""
    if process.returncode is None:
        with suppress(OSError):
            os.killpg(process.pid, number)


def _listen(process: subprocess.Popen[bytes], said: deque[str], written: IO[str] | None) -> None:
    """Keep what a worker says besides its replies, as it says it."""
    assert process.stderr
    with process.stderr as lines:
        for raw in lines:
            line = raw.decode("utf-8", errors="replace").rstrip()
            if line:
                said.append(line)
                log.info("%s", line)
            if written:
                with suppress(OSError):  # a full disk is no reason to stop a run
                    written.write(line + "\n")
                    written.flush()
    if written:
        with suppress(OSError):
            written.close()


def lavis_worker(python: Path, log_file: Path | None = None) -> WorkerProcess:
    """A LAVIS worker of some Python."""
    return WorkerProcess([python, SCRIPT], log_file)


def told(error: WorkerError | WorkerDiedError, python: Path | None = None) -> InputError:
    """Why a worker cannot be used at all, as one line for the user. python: the one that the user named."""
    if isinstance(error, WorkerDiedError):
        return InputError(f"{'' if python is None else f'python={python}: '}{error}")
    mend = "'chatir lavis install --fresh' makes an environment that has all"
    if python is not None:
        mend = "'chatir lavis install' makes an environment that has all: leave out python="
    return InputError(f"{error}; {mend}" if error.kind == "import" else str(error))
