"""How many requests run at once, and how soon after one another: fewer when a server says it is too many."""

from __future__ import annotations

import asyncio
from types import TracebackType


class Pace:
    """Grants turns to requests: `async with pace: ...`; at most `concurrency` at once, fewer after `shrink`.

    requests_per_minute: also that many at most, evenly spread; None: as fast as turns come free. Made and used
    in one event loop.
    """

    def __init__(self, concurrency: int, requests_per_minute: float | None = None) -> None:
        self._most = concurrency
        self._limit = float(concurrency)
        self._gap = 60 / requests_per_minute if requests_per_minute else 0.0
        self._running = 0
        self._next_start = 0.0
        self._shrunk_at = -1.0
        self._changed = asyncio.Condition()

    @property
    def limit(self) -> int:
        """Requests that may run at once now."""
        return int(self._limit)

    async def __aenter__(self) -> float:
        """Wait for a turn; gives the time at which it began, to be told to `shrink`."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._running < self.limit)
            self._running += 1
        try:
            return await self._start()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        async with self._changed:
            self._running -= 1
            self._changed.notify_all()

    async def _start(self) -> float:
        now = asyncio.get_running_loop().time()
        start = max(now, self._next_start)
        self._next_start = start + self._gap
        await asyncio.sleep(start - now)
        return start

    def shrink(self, began: float, after: float | None) -> bool:
        """A server said too many; it asked to be left alone for `after` seconds. Whether this made a difference.

        Half as many from now on; a request that began before the last shrinking tells nothing new.
        """
        now = asyncio.get_running_loop().time()
        if after is not None:
            self._next_start = max(self._next_start, now + after)
        if began < self._shrunk_at or self._limit <= 1:
            return False
        self._shrunk_at = now
        self._limit = max(1.0, self._limit / 2)
        return True

    def grow(self) -> None:
        """A request succeeded: one more at a time for each round of successes, up to `concurrency`."""
        self._limit = min(float(self._most), self._limit + 1 / self._limit)
