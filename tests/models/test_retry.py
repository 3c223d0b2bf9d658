"""The one retry policy: what is tried again, how often, how soon."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from chatir.models.chat.transport import retry
from chatir.models.chat.transport.retry import ATTEMPTS, RETRIED, RequestError, with_retries

pytestmark = pytest.mark.usefixtures("quick_retries")


def attempts_until(*troubles: Exception | None, timeout: float = 1.0) -> tuple[list[float], str | Exception]:
    """Times of the attempts, and the result, of a request that meets these troubles one after the other."""
    times: list[float] = []

    async def attempt() -> str:
        times.append(time.monotonic())
        trouble = troubles[min(len(times), len(troubles)) - 1]
        if trouble is not None:
            raise trouble
        return "done"

    try:
        return times, asyncio.run(with_retries(attempt, timeout))
    except Exception as error:
        return times, error


@pytest.mark.parametrize("kind", sorted(RETRIED))
def test_what_may_pass_is_tried_again(kind: str) -> None:
    times, result = attempts_until(RequestError(kind, "x"), RequestError(kind, "x"), None)
    assert (len(times), result) == (3, "done")


@pytest.mark.parametrize(
    "kind", ["rejected_key", "unknown_model", "quota", "context_overflow", "refused", "bad_request", "cut_off"]
)
def test_what_would_only_come_again_is_not(kind: str) -> None:
    times, error = attempts_until(RequestError(kind, "the reason"), None)
    assert len(times) == 1
    assert isinstance(error, RequestError)
    assert (error.kind, error.message) == (kind, "the reason")


def test_an_error_of_our_own_is_not_tried_again() -> None:
    times, error = attempts_until(KeyError("a bug"), None)
    assert len(times) == 1
    assert isinstance(error, KeyError)


def test_at_least_eight_attempts_are_made_and_their_number_told() -> None:
    assert ATTEMPTS >= 8
    times, error = attempts_until(RequestError("timeout", "no reply in time"))
    assert len(times) == ATTEMPTS
    assert str(error) == f"no reply in time ({ATTEMPTS} attempts)"


def test_a_ceiling_in_time_ends_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "ceiling", lambda timeout: 100)
    times, error = attempts_until(RequestError("timeout", "x", seconds=30))
    assert len(times) == 4, "120 seconds of attempts are over it"
    assert isinstance(error, RequestError)


def test_time_in_which_a_request_only_waits_for_its_turn_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "ceiling", lambda timeout: 0.01)
    monkeypatch.setattr(retry, "WAIT_INITIAL", 0.03)
    times, _ = attempts_until(RequestError("timeout", "x", seconds=0.0001))
    assert len(times) == ATTEMPTS


def test_the_ceiling_leaves_room_for_attempts_that_all_time_out() -> None:
    assert all(retry.ceiling(timeout) > ATTEMPTS * timeout for timeout in (0.1, 60, 600))


def test_a_server_is_left_alone_as_long_as_it_asks() -> None:
    times, result = attempts_until(RequestError("rate_limit", "x", after=0.2), None)
    assert result == "done"
    assert times[1] - times[0] >= 0.2


def test_nobody_waits_longer_than_the_ceiling() -> None:
    times, error = attempts_until(RequestError("rate_limit", "x", after=3600.0), None)
    assert len(times) == 1
    assert isinstance(error, RequestError)
    assert error.after == 3600


def test_waits_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "WAIT_INITIAL", 0.01)
    monkeypatch.setattr(retry, "WAIT_MAX", 10.0)
    times, _ = attempts_until(*[RequestError("server_error", "x")] * 6, None)
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert all(wait >= 0.01 * 2**number for number, wait in enumerate(waits))


def test_waits_differ_by_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "WAIT_JITTER", 0.1)
    monkeypatch.setattr(retry, "WAIT_MAX", 1.0)
    times = [attempts_until(RequestError("server_error", "x"), None)[0] for _ in range(20)]
    waits = [second - first for first, second in times]
    assert max(waits) - min(waits) > 0.04
    times = [attempts_until(RequestError("rate_limit", "x", after=0.001), None)[0] for _ in range(20)]
    waits = [second - first for first, second in times]
    assert max(waits) - min(waits) > 0.04, "after a Retry-After too"


def test_each_passing_trouble_is_told_but_not_the_last() -> None:
    told: list[tuple[str, int]] = []

    async def attempt() -> None:
        raise RequestError("timeout", "x")

    with pytest.raises(RequestError):
        asyncio.run(with_retries(attempt, 1.0, lambda trouble, attempts: told.append((trouble.kind, attempts))))
    assert told == [("timeout", number) for number in range(1, ATTEMPTS)]


def test_nothing_is_printed_by_the_library(capfd: pytest.CaptureFixture[str]) -> None:
    attempts_until(RequestError("timeout", "x"), None)
    assert capfd.readouterr() == ("", "")


def test_an_interrupt_ends_it_at_once() -> None:
    async def attempt() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(with_retries(attempt, 1.0))
