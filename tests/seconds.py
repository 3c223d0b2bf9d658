"""What tests cost: the seconds of each folder beside its budget, and tests that take long without a mark that says so.

Processor time is what counts against a single test, its child processes included: on a machine that others use, a wall
clock tells more of them.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest

MOST, TOO_MANY = 5.0, 10.0
"""Processor seconds from which a test should be marked with one of `LONG`, and from which a run fails without it.

Other work on a machine makes a processor slower, too, so that a test near the first may be here or there.
"""
LONG = ("slow", "pages", "evidence")

BUDGETS = {
    "compare": 600,
    "docs": 420,
    "commands": 320,
    "questioners": 190,
    "prompts": 170,
    "models": 130,
    "lavis": 120,
    ".": 120,
    "simulate": 90,
    "answerers": 70,
    "retriever": 60,
    "contracts": 45,
    "run": 40,
    "scene_models": 40,
    "fetch": 30,
    "scenes": 30,
}
"""Seconds that all tests of a folder may take together on one core of two."""

_spent: defaultdict[str, float] = defaultdict(float)
_long: dict[str, float] = {}


def _processor_seconds() -> float:
    return sum(os.times()[:4])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Note how much processor time a test takes."""
    before = _processor_seconds()
    try:
        return (yield)
    finally:
        item.user_properties.append(("processor_seconds", _processor_seconds() - before))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up what a test, its preparation and its end took."""
    folder = PurePosixPath(report.nodeid.partition("::")[0]).parts[1:-1][:1] or (".",)
    _spent[folder[0]] += report.duration
    taken = dict(report.user_properties).get("processor_seconds", 0.0)
    if report.when == "call" and taken > MOST and not any(mark in report.keywords for mark in LONG):
        _long[report.nodeid] = taken


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where a test that is not marked took too long."""
    if max(_long.values(), default=0.0) > TOO_MANY and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the seconds of each folder, and the tests that took long."""
    if len(_spent) > 1:
        terminalreporter.section("seconds")
        for folder, seconds in sorted(_spent.items(), key=lambda item: -item[1]):
            budget = BUDGETS.get(folder)
            terminalreporter.write_line(f"{folder:<12} {seconds:6.0f}" + (f" of {budget:4d}" if budget else ""))
    for test, seconds in _long.items():
        terminalreporter.write_line(f"takes {seconds:.1f} s of a processor: mark it as slow: {test}", red=True)
