"""Telling the user how far something has come: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

LIVE_SECONDS = 0.2
PLAIN_SECONDS = 10.0


def duration(seconds: float) -> str:
    """A time as a person says it: 3.2s, 4m05s, 2h10m."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def tell(line: str, stream: IO[str] | None) -> None:
    """Print a line for a person to read. That nobody can read it any more is no reason to stop a run."""
    with suppress(OSError, ValueError):
        print(line, file=stream, flush=True)


def printable(text: str) -> str:
    """Text from elsewhere on one line of a terminal: what it cannot print is shown as an escape."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


@contextmanager
def shown_progress(stream: IO[str] | None) -> Iterator[Callable[[object], None]]:
    """Show progress on `stream` while the context lasts; yields what to call, however often, with what to show."""
    if stream is not None and stream.isatty():
        from rich.console import Console
        from rich.markup import escape

        console = Console(file=stream)
        with console.status("starting") as status:
            yield _every(LIVE_SECONDS, lambda progress: status.update(escape(str(progress))))
    else:
        yield _every(PLAIN_SECONDS, lambda progress: tell(f"chatir: {progress}", stream))


def _every(seconds: float, tell: Callable[[object], None]) -> Callable[[object], None]:
    due = time.monotonic() + seconds

    def told(progress: object) -> None:
        nonlocal due
        if (now := time.monotonic()) >= due:
            due = now + seconds
            tell(progress)

    return told
