"""How many requests run at once: never more than allowed, fewer after a server said so, and more again in time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from chatir.models.chat.transport.pace import Pace


class Turns:
    """Requests that take a turn each, and how many ran at once."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.running = self.most = self.done = 0
        self.began: list[float] = []

    async def one(self, seconds: float = 0.001) -> None:
        async with self.pace:
            self.began.append(asyncio.get_running_loop().time())
            self.running += 1
            self.most = max(self.most, self.running)
            await asyncio.sleep(seconds)
            self.running -= 1
        self.done += 1


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 20))


def test_no_more_run_at_once_than_allowed_and_all_of_these() -> None:
    async def play() -> Turns:
        turns = Turns(Pace(4))
        await asyncio.gather(*(turns.one() for _ in range(40)))
        return turns

    turns = run(play())
    assert (turns.most, turns.done) == (4, 40)


def test_a_server_that_says_too_many_gets_half_as_many_and_more_again_after_successes() -> None:
    async def play() -> list[int]:
        pace = Pace(16)
        limits = [pace.limit]
        for _ in range(2):
            now = asyncio.get_running_loop().time()
            assert pace.shrink(now, None)
            limits.append(pace.limit)
        turns = Turns(pace)
        await asyncio.gather(*(turns.one() for _ in range(20)))
        assert turns.most == 4
        for _ in range(200):
            pace.grow()
        limits.append(pace.limit)
        turns = Turns(pace)
        await asyncio.gather(*(turns.one() for _ in range(40)))
        assert turns.most == 16
        return limits

    assert run(play()) == [16, 8, 4, 16]


def test_requests_that_were_under_way_already_do_not_shrink_it_again() -> None:
    async def play() -> int:
        pace = Pace(16)
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(0.01)
        assert [pace.shrink(began, None) for _ in range(8)] == [True, *[False] * 7]
        return pace.limit

    assert run(play()) == 8


def test_one_at_a_time_is_the_least() -> None:
    async def play() -> None:
        pace = Pace(2)
        for _ in range(5):
            pace.shrink(asyncio.get_running_loop().time(), None)
        assert pace.limit == 1
        turns = Turns(pace)
        await asyncio.gather(*(turns.one() for _ in range(5)))
        assert (turns.most, turns.done) == (1, 5)

    run(play())


def test_all_leave_a_server_alone_that_asks_for_it() -> None:
    async def play() -> float:
        pace = Pace(4)
        now = asyncio.get_running_loop().time()
        pace.shrink(now, 0.2)
        turns = Turns(pace)
        await asyncio.gather(*(turns.one() for _ in range(4)))
        return min(turns.began) - now

    assert run(play()) > 0.2 - 1e-6, "but for the resolution of the clock"


def test_requests_per_minute_are_spread_evenly() -> None:
    async def play() -> list[float]:
        turns = Turns(Pace(8, requests_per_minute=3000))
        await asyncio.gather(*(turns.one() for _ in range(11)))
        return sorted(turns.began)

    began = run(play())
    assert began[-1] - began[0] > 0.199, "ten gaps of 20 ms, however late one of them may be"


def test_a_cancelled_request_gives_its_turn_back() -> None:
    async def play() -> None:
        pace = Pace(1, requests_per_minute=60)
        turns = Turns(pace)
        await turns.one()
        waiting = asyncio.create_task(turns.one())
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        pace._next_start = 0.0
        await turns.one()
        assert turns.done == 2

    run(play())
