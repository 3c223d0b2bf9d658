"""A lane: one player's queue and the workers that drain it in batches."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Work(Generic[Item]):
    """What a lane does: turn a batch of items into as many results.

    call: a plain function, run in threads of the lane's own (one, unless `concurrency` says more), or a
    coroutine function, run in an event loop in a thread of the lane's own. close: run there last.
    batch_size: items a call, at most. order: what comes first, the least of those that wait; those that are alike in
    the order that they came.
    """

    name: str
    call: Callable[[list[Item]], Any]
    batch_size: int = 1
    concurrency: int = 1
    close: Callable[[], Any] | None = None
    order: Callable[[Item], int] = lambda item: 0

    @property
    def is_async(self) -> bool:
        """Whether `call` is a coroutine function."""
        return inspect.iscoroutinefunction(self.call)


@dataclass(slots=True)
class Done(Generic[Item]):
    """A call that came back, with the player's result or the exception that it raised, after so many seconds.

    No items: the lane broke.
    """

    lane: Lane[Item]
    items: list[Item]
    result: Any
    error: BaseException | None
    seconds: float


class Lane(Generic[Item]):
    """Drains a queue in batches of up to `batch_size`, `concurrency` at a time, into `inbox` as `Done`."""

    def __init__(self, work: Work[Item], inbox: SimpleQueue[Any]) -> None:
        self.work = work
        self._inbox = inbox
        self._waiting: list[tuple[int, int, Item]] = []  # a heap
        self._came = count()
        self._batches: deque[list[Item]] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()
        workers = 1 if work.is_async else work.concurrency
        run = self._run_async if work.is_async else self._run
        names = [f"chatir-{work.name}-{number}" for number in range(workers)]
        self._threads = [threading.Thread(target=run, name=name, daemon=True) for name in names]
        self._running = workers
        for thread in self._threads:
            thread.start()

    def put(self, items: Iterable[Item]) -> None:
        """Queue items, to be batched as they come."""
        with self._changed:
            for item in items:
                heappush(self._waiting, (self.work.order(item), next(self._came), item))
            self._notify()

    def put_batch(self, batch: list[Item]) -> None:
        """Queue items that are to go in one call, before those of `put`."""
        with self._changed:
            self._batches.append(batch)
            self._notify()

    def stop(self) -> None:
        """Start no more calls; those under way still come back."""
        with self._changed:
            self._stopping = True
            self._notify()

    def join(self, seconds: float) -> bool:
        """Wait for the workers to end after `stop`; False if one is still busy after that time."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _notify(self) -> None:
        self._changed.notify_all()
        if self._loop:
            self._loop.call_soon_threadsafe(self._woken.set)

    def _take(self) -> list[Item]:
        """The next batch, empty if there is none; the lock is held."""
        if self._stopping:
            return []
        if self._batches:
            return self._batches.popleft()
        size = min(self.work.batch_size, len(self._waiting))
        return [heappop(self._waiting)[-1] for _ in range(size)]

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (batch := self._take()) and not self._stopping:
                    self._changed.wait()
            if not batch:
                break
            started = time.perf_counter()
            result, error = None, None
            try:
                result = self.work.call(batch)
            except BaseException as raised:
                error = raised
            self._inbox.put(Done(self, batch, result, error, time.perf_counter() - started))
        with self._changed:
            self._running -= 1
            last = self._running == 0
        if last and self.work.close:
            with _logged_errors(self.work.name):
                self.work.close()

    def _run_async(self) -> None:
        error: BaseException | None = None
        try:
            asyncio.run(self._serve())
        except BaseException as raised:
            error = raised
        with self._changed:
            self._loop = None
        if not self._stopping:  # a player that cancels its own task, or stops its loop, must not make the run wait
            self._inbox.put(Done(self, [], None, error, 0.0))

    async def _serve(self) -> None:
        with self._changed:
            self._loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            for _ in range(self.work.concurrency):
                group.create_task(self._serve_one())
        if self.work.close:
            with _logged_errors(self.work.name):
                closing = self.work.close()
                if inspect.isawaitable(closing):
                    await closing

    async def _serve_one(self) -> None:
        while True:
            with self._changed:
                batch = self._take()
            if not batch:
                if self._stopping:
                    return
                self._woken.clear()
                await self._woken.wait()
                continue
            started = time.perf_counter()
            result, error = None, None
            try:
                result = await self.work.call(batch)
            except BaseException as raised:
                error = raised
            self._inbox.put(Done(self, batch, result, error, time.perf_counter() - started))


@contextmanager
def _logged_errors(name: str) -> Iterator[None]:
    """A player that fails to close has done its work: say so, and go on."""
    try:
        yield
    except Exception:
        logging.getLogger("chatir").exception("%s could not be closed", name)
