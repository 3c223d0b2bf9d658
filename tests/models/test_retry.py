"""The one retry policy: what is tried again, how often, how soon."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from chatir.models import retry
from chatir.models.retry import ATTEMPTS, RETRIED, TroubleError, with_retries

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
    times, result = attempts_until(TroubleError(kind, "x"), TroubleError(kind, "x"), None)
    assert (len(times), result) == (3, "done")


@pytest.mark.parametrize(
    "kind", ["rejected_key", "unknown_model", "quota", "context_overflow", "refused", "bad_request", "cut_off"]
)
def test_what_would_only_come_again_is_not(kind: str) -> None:
    times, error = attempts_until(TroubleError(kind, "the reason"), None)
    assert len(times) == 1
    assert isinstance(error, TroubleError)
    assert (error.kind, error.message) == (kind, "the reason")


def test_an_error_of_our_own_is_not_tried_again() -> None:
    times, error = attempts_until(KeyError("a bug"), None)
    assert len(times) == 1
    assert isinstance(error, KeyError)


def test_at_least_eight_attempts_are_made_and_their_number_told() -> None:
    assert ATTEMPTS >= 8
    times, error = attempts_until(TroubleError("timeout", "no reply in time"))
    assert len(times) == ATTEMPTS
    assert str(error) == f"no reply in time ({ATTEMPTS} attempts)"


def test_a_ceiling_in_time_ends_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "ceiling", lambda timeout: 0.05)
    monkeypatch.setattr(retry, "WAIT_INITIAL", 0.03)
    monkeypatch.setattr(retry, "WAIT_MAX", 0.03)
    times, error = attempts_until(TroubleError("timeout", "x"))
    assert 1 < len(times) < ATTEMPTS
    assert isinstance(error, TroubleError)


def test_the_ceiling_leaves_room_for_attempts_that_all_time_out() -> None:
    assert all(retry.ceiling(timeout) > ATTEMPTS * timeout for timeout in (0.1, 60, 600))


def test_a_server_is_left_alone_as_long_as_it_asks() -> None:
    times, result = attempts_until(TroubleError("rate_limit", "x", after=0.2), None)
    assert result == "done"
    assert times[1] - times[0] >= 0.2


def test_nobody_waits_longer_than_the_ceiling() -> None:
    times, error = attempts_until(TroubleError("rate_limit", "x", after=3600.0), None)
    assert len(times) == 1
    assert isinstance(error, TroubleError)
    assert error.after == 3600


def test_waits_grow_and_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "WAIT_INITIAL", 0.01)
    monkeypatch.setattr(retry, "WAIT_MAX", 10.0)
    monkeypatch.setattr(retry, "WAIT_JITTER", 0.01)
    times, _ = attempts_until(*[TroubleError("server_error", "x")] * 6, None)
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert waits[5] > waits[3] > waits[1]
    again, _ = attempts_until(TroubleError("server_error", "x"), None)
    assert abs((again[1] - again[0]) - waits[0]) > 1e-6, "jitter"


def test_each_passing_trouble_is_told_but_not_the_last() -> None:
    told: list[str] = []

    async def attempt() -> None:
        raise TroubleError("timeout", "x")

    with pytest.raises(TroubleError):
        asyncio.run(with_retries(attempt, 1.0, lambda trouble: told.append(trouble.kind)))
    assert told == ["timeout"] * (ATTEMPTS - 1)


def test_nothing_is_printed_by_the_library(capfd: pytest.CaptureFixture[str]) -> None:
    attempts_until(TroubleError("timeout", "x"), None)
    assert capfd.readouterr() == ("", "")


def test_an_interrupt_ends_it_at_once() -> None:
    async def attempt() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(with_retries(attempt, 1.0))
