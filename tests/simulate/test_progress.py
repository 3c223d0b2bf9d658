"""The progress of a run: its rounds, of all that there will be, and the time left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from players import Answering, Asking, question, targets

from chatir import Dialog, Reply
from chatir.errors import InputError
from chatir.simulate import simulate
from chatir.simulate.progress import Progress


def counted(progress: Progress) -> tuple[int, int | None, int, int]:
    return progress.rounds, progress.all_rounds, progress.dialogs, progress.failed


def played(out: Path, about: Iterable[Dialog], asks: object | None = None, **settings: Any) -> list[tuple[Any, ...]]:
    """The counts before the first reply, and after the last one."""
    seen: list[tuple[Any, ...]] = []
    settings = {"rounds": 4, "report": lambda progress: seen.append(counted(progress))} | settings
    with suppress(InputError):
        simulate(about, asks or Asking(), Answering(), out=out, **settings)
    return [seen[0], seen[-1]]


class StopsAtRoundTwo:
    def observe(self, dialogs: Sequence[Dialog]) -> list[bool]:
        return [len(dialog.rounds) == 2 and int(dialog.caption.split()[3]) < 3 for dialog in dialogs]


def fails_in_round_three(dialog: Dialog) -> Reply:
    if len(dialog.rounds) == 2 and " 1 " in dialog.caption:
        return Reply.failed("refused", "no")
    return question(dialog)


def stops_the_run_in_round_three(dialog: Dialog) -> Reply:
    if len(dialog.rounds) == 2 and " 9 " in dialog.caption:
        raise InputError("stopped on purpose")
    return question(dialog)


def test_rounds_are_counted_of_those_that_there_will_be(tmp_path: Path) -> None:
    assert played(tmp_path / "x.json", targets(10)) == [(0, 40, 0, 0), (40, 40, 10, 0)]


def test_rounds_that_an_observer_saves_are_not_waited_for_in_this_session_or_the_next(tmp_path: Path) -> None:
    out = tmp_path / "x.json"
    assert played(out, targets(10), observer=StopsAtRoundTwo()) == [(0, 40, 0, 0), (34, 34, 10, 0)]
    assert played(out, targets(10), observer=StopsAtRoundTwo()) == [(34, 34, 10, 0)] * 2


def test_a_dialog_that_failed_is_not_waited_for_until_it_is_tried_again(tmp_path: Path) -> None:
    out = tmp_path / "x.json"
    assert played(out, targets(10), Asking(fails_in_round_three))[1] == (38, 38, 9, 1)
    assert played(out, targets(10)) == [(38, 40, 9, 0), (40, 40, 10, 0)]


def test_a_run_that_goes_on_counts_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "x.json"
    _, (rounds, *_) = played(out, targets(10), Asking(stops_the_run_in_round_three))
    assert 0 < rounds < 40
    assert played(out, targets(10)) == [(rounds, 40, pytest.approx(0, abs=9), 0), (40, 40, 10, 0)]


def test_a_generator_has_no_total(tmp_path: Path) -> None:
    assert played(tmp_path / "x.json", iter(targets(3)))[1] == (12, None, 3, 0)


def test_the_line_leads_with_rounds_and_fits_a_terminal_of_80_columns() -> None:
    progress = Progress(300, 10, dialogs=12, failed=3, rounds=120, repeats=4, tokens=123_456, cost=0.1234, cut=30)
    progress.session_rounds, progress.session_seconds = 31, 10.0
    told = "120/2,970 rounds, 12/300 dialogs, 3.1 rounds/s, 15m19s left, 3 failed, $0.1234"
    assert str(progress) == f"{told}, 4 repeats, 123,456 tokens"
    assert len(told) <= 78  # beside the spinner
    assert str(Progress(None, 10)) == "0 rounds, 0 dialogs, 0.0 rounds/s, 0 repeats"
