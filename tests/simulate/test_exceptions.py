"""Exceptions of players: the first traceback is shown, and a player that does nothing else stops the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from players import Answering, Asking, answer, install, query, question, targets

from chatir import Dialog, Reply
from chatir.cli import run
from chatir.errors import InputError, PlayerError
from chatir.simulate import simulate

pytestmark = pytest.mark.timeout(60)


def broken(dialog: Dialog) -> Reply:
    captions: dict[str, Reply] = {}
    return captions[dialog.caption]


class AsksAsync(Asking):
    async def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:  # type: ignore[override]
        return super().ask(dialogs)


def answering(dialog: Dialog, asked: str) -> Reply:
    return broken(dialog)


class Observes:
    def observe(self, dialogs: Sequence[Dialog]) -> list[bool]:
        raise SystemExit(3)


PLAYERS: dict[str, tuple[Callable[[], object], Callable[[], object], object, str]] = {
    "a questioner": (lambda: Asking(broken), Answering, None, "Asking"),
    "an async one, several at once": (lambda: AsksAsync(broken, batch_size=3, concurrency=2), Answering, None, "Asks"),
    "an answerer": (Asking, lambda: Answering(answering, batch_size=4), None, "Answering"),
    "an observer that exits": (Asking, Answering, Observes(), "Observes"),
}


@pytest.mark.parametrize(("asks", "answers", "observer", "name"), PLAYERS.values(), ids=PLAYERS)
@pytest.mark.parametrize("count", [1, 5, 600])
@pytest.mark.parametrize("deterministic", [False, True])
def test_a_player_that_only_raises_exceptions_stops_the_run_which_goes_on_when_it_is_corrected(
    tmp_path: Path,
    asks: Callable[[], object],
    answers: Callable[[], object],
    observer: object,
    name: str,
    count: int,
    deterministic: bool,
) -> None:
    out, notes = tmp_path / "x.json", list[str]()
    settings = {"out": out, "rounds": 1, "deterministic": deterministic}
    with pytest.raises(InputError, match=f"^{name}.* and gave no reply.* kept in .*x.run") as stopped:
        simulate(targets(count), asks(), answers(), observer=observer, note=notes.append, **settings)  # type: ignore[arg-type]
    assert isinstance(stopped.value.__cause__, KeyError | SystemExit)
    assert not out.exists()
    assert len([line for line in notes if line.startswith("Traceback")]) == 1
    assert len([line for line in notes if " again; " in line]) <= 1
    assert not any("lane.py" in line or "loop.py" in line for line in notes)
    failed = query(tmp_path / "x.run", "SELECT count(*) FROM dialogs WHERE state = 'failed'")[0][0]
    assert count == failed or 8 <= failed < count
    assert all(
        "in _run" in raw or "_serve" in raw
        for (raw,) in query(tmp_path / "x.run", "SELECT raw FROM replies WHERE kind")
    )

    seen = None if observer is None else SeesNothing()
    summary = simulate(targets(count), *mended(asks(), answers()), observer=seen, **settings)  # type: ignore[arg-type]
    assert (summary.dialogs, summary.failed) == (count, ())


class SeesNothing:
    name = "Observes"

    def observe(self, dialogs: Sequence[Dialog]) -> list[bool]:
        return [False] * len(dialogs)


def mended(asks: object, answers: object) -> tuple[object, object]:
    asks.script, answers.script = question, answer  # type: ignore[attr-defined]
    return asks, answers


def fails(number: int) -> bool:
    return number % 3 == 1


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("concurrency", [1, 16])
def test_exceptions_about_some_dialogs_stop_nothing_in_this_session_or_the_next(
    tmp_path: Path, batch_size: int, concurrency: int
) -> None:
    def some(dialog: Dialog) -> Reply:
        return broken(dialog) if fails(int(dialog.caption.split()[3])) else question(dialog)

    out, notes = tmp_path / "x.json", list[str]()
    for _ in range(2):  # the second session retries only those that fail
        player = Asking(some, batch_size, concurrency)
        summary = simulate(targets(60), player, Answering(), out=out, rounds=1, note=notes.append)
        assert (summary.dialogs, len(summary.failed)) == (40, 20)
    assert len([line for line in notes if line.startswith("Traceback")]) == 2


def test_a_player_that_fails_in_a_later_round_of_each_dialog_stops_the_run_too(tmp_path: Path) -> None:
    def script(dialog: Dialog) -> Reply:
        if len(dialog.rounds) == 2:
            raise KeyError("round 3")
        return Reply("is it?")

    with pytest.raises(
        InputError, match=r"for each of \d+ dialogs in round 3 and gave no reply, the last one KeyError"
    ):
        simulate(targets(600), Asking(script), Answering(), out=tmp_path / "x.json", rounds=5)
    assert query(tmp_path / "x.run", "SELECT count(*) FROM dialogs") < [(600,)], "those that wait are not begun"


def test_with_fixed_batches_one_bad_dialog_of_a_batch_does_not_stop_the_run(tmp_path: Path) -> None:
    def some(dialog: Dialog) -> Reply:
        return broken(dialog) if " 3 " in dialog.caption else question(dialog)

    summary = simulate(
        targets(48), Asking(some, batch_size=16), Answering(), out=tmp_path / "x.json", rounds=1, deterministic=True
    )
    assert (summary.dialogs, len(summary.failed)) == (32, 16)


def test_of_a_traceback_without_end_the_ends_are_shown(tmp_path: Path) -> None:
    notes: list[str] = []

    def script(dialog: Dialog) -> Reply:
        raise ValueError("\n".join(f"line {n}" for n in range(500)))

    with pytest.raises(InputError):
        simulate(targets(1), Asking(script), Answering(), out=tmp_path / "x.json", note=notes.append)
    assert len(notes) == 42
    assert (notes[0], notes[-1]) == ("Asking raised an exception:", "line 499")
    assert not any("\n" in note for note in notes)


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


def test_the_traceback_of_an_exception_that_cannot_be_printed_is_shown_and_kept(tmp_path: Path) -> None:
    notes: list[str] = []

    def script(dialog: Dialog) -> Reply:
        raise UnprintableError

    with pytest.raises(InputError, match="UnprintableError") as stopped:
        simulate(targets(2), Asking(script), Answering(), out=tmp_path / "x.json", note=notes.append)
    assert isinstance(stopped.value.__cause__, UnprintableError)
    assert any("raise UnprintableError" in line for line in notes)
    ((raw,), _) = query(tmp_path / "x.run", "SELECT raw FROM replies")
    assert "raise UnprintableError" in raw


@pytest.mark.parametrize("method", ["ready", "check", "max_cost"])
def test_a_bug_in_another_method_of_a_player_ends_the_run_in_one_line_and_is_the_cause(
    tmp_path: Path, method: str
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("oops")

    player = Asking()
    player.max_cost = lambda dialog: 0.0  # type: ignore[attr-defined]
    setattr(player, method, broken)
    with pytest.raises(PlayerError, match=rf"^Asking: its {method}\(\) raised KeyError: 'oops'$") as ended:
        simulate(targets(2), player, Answering(), out=tmp_path / "x.json", rounds=1, cost_limit=5.0)
    assert isinstance(ended.value.__cause__, KeyError)
    assert not player.calls.batches


def test_an_exception_whose_text_ends_the_program_is_a_failure_like_others(tmp_path: Path) -> None:
    class NastyError(Exception):
        def __str__(self) -> str:
            raise SystemExit(7)

    def script(dialog: Dialog) -> Reply:
        raise NastyError

    with pytest.raises(InputError, match="the last one NastyError; the tracebacks"):
        simulate(targets(2), Asking(script), Answering(), out=tmp_path / "x.json", rounds=1)


MODULE = """
class Mine:
    uses_said = True

    def ask(self, dialogs):
        raise TypeError("a\\x1b[2Jb\\nchatir: all is well")
"""
TARGETS = '[{"img": "a.jpg", "dialog": ["a cat", "is it? no", "is it? no"]}]'


def test_the_command_line_shows_the_traceback_with_controls_escaped_and_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "mine_of_tests", MODULE, questioners="mine = Mine")
    (tmp_path / "t.json").write_text(TARGETS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    command = ["simulate", "--questioner", "mine", "--answerer", "human", "--targets", "t.json", "--rounds", "1"]
    assert run([*command, "--out", "x.json"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["chatir: Mine raised an exception:", "chatir: Traceback (most recent call last):"]
    assert lines[2].startswith('chatir:   File "')
    assert lines[2].endswith('mine_of_tests.py", line 6, in ask')
    assert "chatir: TypeError: a\\x1b[2Jb" in lines
    assert "chatir: chatir: all is well" in lines
    assert lines[-1].startswith("chatir: Mine raised an exception for each of 1 dialogs in round 1 and gave no reply")
