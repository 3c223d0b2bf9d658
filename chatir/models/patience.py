"""Time-outs that do not count the time in which this process does not run: stopped by Ctrl-Z, say, or starved.

What was waited for may have come meanwhile, and is read before it is given up.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

STEPS = 20
"""A time-out is waited for in so many steps; one in which the process did not run counts as none."""
LATE = 1.0
"""Seconds by which a step may be late on a busy machine."""


class _Steps:
    """Counts the steps of a time-out. seconds: of all of them together."""

    def __init__(self, seconds: float) -> None:
        self.length = seconds / STEPS
        self._left = STEPS
        self._latest = time.monotonic()

    def last(self) -> bool:
        """Count a step that is over, unless it was far too long; whether it was the last one."""
        now = time.monotonic()
        self._left -= now - self._latest <= self.length + LATE
        self._latest = now
        return self._left == 0


@asynccontextmanager
async def timeout(seconds: float) -> AsyncIterator[None]:
    """As `asyncio.timeout`: raises TimeoutError when what is inside `with` takes longer."""
    loop = asyncio.get_running_loop()
    steps = _Steps(seconds)
    handle: asyncio.TimerHandle

    def step() -> None:
        nonlocal handle
        if steps.last():
            limit.reschedule(loop.time())
        else:
            handle = loop.call_later(steps.length, step)

    async with asyncio.timeout(None) as limit:
        handle = loop.call_later(steps.length, step)
        try:
            yield
        finally:
            handle.cancel()


class Timer(threading.Thread):
    """As `threading.Timer`: calls a function in a thread of its own once the seconds are over, unless cancelled."""

    def __init__(self, seconds: float, call: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._seconds = seconds
        self._call = call
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Call nothing any more."""
        self._cancelled.set()

    def run(self) -> None:
        """Wait, and call."""
        steps = _Steps(self._seconds)
        while not self._cancelled.wait(steps.length):
            if steps.last():
                self._call()
                return
