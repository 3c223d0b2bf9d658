"""Time-outs count the time in which the process ran, and no other."""

from __future__ import annotations

import threading

import pytest

from chatir.models import patience


def test_a_step_in_which_the_process_did_not_run_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(patience.time, "monotonic", lambda: now)
    steps = patience._Steps(20.0)
    ended = []
    for number in range(patience.STEPS + 1):
        now += 3600 if number == 5 else 1.0
        ended.append(steps.last())
    assert ended == [*[False] * patience.STEPS, True]


def test_a_timer_calls_once_unless_it_is_cancelled() -> None:
    called = threading.Event()
    timer = patience.Timer(0.05, called.set)
    timer.start()
    assert called.wait(10)
    cancelled = patience.Timer(0.05, lambda: pytest.fail("was cancelled"))
    cancelled.cancel()
    cancelled.start()
    cancelled.join(10)
    assert not cancelled.is_alive()
