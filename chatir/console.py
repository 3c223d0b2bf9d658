"""The terminal: results, and notes and live progress on stderr; and the signals that end a command."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import IO, Any, cast

from chatir.errors import InputError

LIVE_SECONDS = 0.2
PLAIN_SECONDS = 10.0
LONGEST = 2000
_WRITING = threading.RLock()
"""Held while a line is written."""

_GAP = re.compile(r"[ \t-\r\x1c-\x1f\x85\u2028\u2029]+")


def duration(seconds: float) -> str:
    """A time as a person says it: 3.2s, 4m05s, 2h10m."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def tell(line: str, stream: IO[str] | None) -> None:
    """Print a line for a person to read. That nobody can read it any more is no reason to stop a run.

    Line and line end are written in one piece, one thread after the other: no two lines run into one.
    """
    if stream is not None:
        with suppress(OSError, ValueError), _WRITING:
            stream.write(f"{line}\n")
            stream.flush()


def printable(text: str) -> str:
    """Text from elsewhere on one line of a terminal: what it cannot print is shown as an escape."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def one_line(text: str) -> str:
    """Text without line breaks: they, tabs and spaces become one space. Other kinds of spaces may be part of a name."""
    return _GAP.sub(" ", text).strip(" ")


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows of a table as lines: the first column to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        figures = (f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        yield "  ".join([f"{name:<{widths[0]}}", *figures])


def complain(message: str, code: int) -> int:
    """One line on stderr, whatever the message holds. Its indentation stays: it may be a line of a traceback."""
    indent = message[: len(message) - len(message.lstrip(" "))]
    line = printable(indent + one_line(message))
    if len(line) > LONGEST:
        line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"
    tell(f"chatir: {line}", sys.stderr)
    return code


def note(message: str) -> None:
    """One line of progress on stderr."""
    complain(message, 0)


def say(result: object) -> None:
    """Print a result on stdout. Whoever closed it has seen enough; any other trouble is an InputError."""
    try:
        print(result, flush=True)  # noqa: T201 - a command prints
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - or Python would complain as it exits
    except OSError as error:
        raise InputError(f"standard output: {error.strerror}") from None


@contextmanager
def silenced() -> Iterator[None]:
    """Nothing that is written meanwhile is seen, be it by Python or below it: players print as they are imported."""
    with ExitStack() as restored:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        restored.callback(os.close, nowhere)
        for stream in (1, 2):
            with suppress(OSError):  # a stream that is closed has nothing to hide
                kept = os.dup(stream)
                restored.callback(os.close, kept)
                restored.callback(os.dup2, kept, stream)
                os.dup2(nowhere, stream)
        restored.enter_context(redirect_stdout(io.StringIO()))
        restored.enter_context(redirect_stderr(io.StringIO()))
        yield


@contextmanager
def shown_progress(stream: IO[str] | None) -> Iterator[Callable[[object], None]]:
    """Show progress on `stream` while the context lasts; yields what to call, however often, with what to show.

    A terminal shows one line, cut to its width.
    """
    if stream is not None and stream.isatty():
        from rich.console import Console
        from rich.text import Text

        console = Console(file=cast("IO[str]", _MayBeClosed(stream)))
        with console.status("starting") as status:

            def show(progress: object) -> None:
                text = Text(printable(str(progress)))
                text.truncate(max(1, console.width - 2), overflow="ellipsis")  # beside the spinner
                status.update(text)

            yield _every(LIVE_SECONDS, show)
    else:
        yield _every(PLAIN_SECONDS, lambda progress: tell(f"chatir: {progress}", stream))


class _MayBeClosed:
    """A terminal that may be closed meanwhile: what is written to it then is lost, and no reason to stop a run."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def _every(seconds: float, tell: Callable[[object], None]) -> Callable[[object], None]:
    due = time.monotonic() + seconds

    def told(progress: object) -> None:
        nonlocal due
        if (now := time.monotonic()) >= due:
            due = now + seconds
            tell(progress)

    return told


def stopping_signals() -> list[signal.Signals]:
    """Ctrl-C, a request to end, and a closed terminal, unless `nohup` means that it does not end the command."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    return numbers if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [*numbers, signal.SIGHUP]
