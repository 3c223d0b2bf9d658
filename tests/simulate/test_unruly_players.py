"""Players that break the contract, or break down: nothing is lost, nothing hangs, and it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from players import Answering, Asking, answer, query, question, targets

from chatir import Dialog, Reply
from chatir.errors import InputError
from chatir.simulate import read_dialogs, simulate

pytestmark = pytest.mark.timeout(60)


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


def raising(error: Exception) -> Callable[[Dialog], Reply]:
    def script(dialog: Dialog) -> Reply:
        raise error

    return script


SPOILED: dict[str, tuple[Callable[[Dialog], Reply], str]] = {
    "half a character in the text": (lambda dialog: Reply("is it \ud800?"), "bad_reply"),
    "NUL in the text": (lambda dialog: Reply("a\0?"), "bad_reply"),
    "a number for a text": (lambda dialog: Reply(3), "bad_reply"),  # type: ignore[arg-type]
    "a failure without a kind": (lambda dialog: Reply.failed(None, "x"), "bad_reply"),  # type: ignore[arg-type]
    "a failure of an empty kind": (lambda dialog: Reply.failed("", "x"), "bad_reply"),
    "a list for a kind": (lambda dialog: Reply.failed(["a"], "x"), "bad_reply"),  # type: ignore[arg-type]
    "text for a failure": (lambda dialog: Reply(None, failure="refused"), "bad_reply"),  # type: ignore[arg-type]
    "half a character in a message": (lambda dialog: Reply.failed("refused", "\ud83d"), "refused"),
    "an exception with half a character": (raising(FileNotFoundError("caf\udce9.jpg")), "exception"),
    "an exception that cannot be printed": (raising(UnprintableError()), "exception"),
}


@pytest.mark.parametrize(("script", "kind"), SPOILED.values(), ids=SPOILED)
@pytest.mark.parametrize("batch_size", [1, 4])
def test_one_spoiled_reply_costs_no_other(
    tmp_path: Path, script: Callable[[Dialog], Reply], kind: str, batch_size: int
) -> None:
    def some(dialog: Dialog) -> Reply:
        return script(dialog) if " 2 " in dialog.caption else question(dialog)

    summary = simulate(targets(8), Asking(some, batch_size), Answering(), out=tmp_path / "x.json", rounds=1)
    assert summary.dialogs == 7
    assert [(failed.id, failed.kind) for failed in summary.failed] == [("unlabeled2017/000000000002.jpg", kind)]
    assert simulate(targets(8), Asking(), Answering(), out=tmp_path / "x.json", rounds=1).dialogs == 8


def test_what_a_spoiled_reply_cost_and_said_is_kept(tmp_path: Path) -> None:
    script = Asking(lambda dialog: Reply("a\0?", tokens_in=7, cost=0.25))
    simulate(targets(1), script, Answering(), out=tmp_path / "x.json", rounds=1)
    assert query(tmp_path / "x.run", "SELECT raw, tokens_in, cost FROM replies") == [("a\\x00?", 7, 0.25)]


def test_counts_of_other_libraries_are_numbers_and_nonsense_is_unknown(tmp_path: Path) -> None:
    spent = Reply("is it?", tokens_in=np.int64(3), tokens_out=2**70, cost=np.float32(0.5))  # type: ignore[arg-type]
    simulate(targets(1), Asking(lambda dialog: spent), Answering(), out=tmp_path / "x.json", rounds=1)
    rows = query(tmp_path / "x.run", "SELECT tokens_in, tokens_out, cost FROM replies WHERE role = 'question'")
    assert rows == [(3, None, 0.5)]
    many = Asking(lambda dialog: replace(spent, tokens_in="many"))  # type: ignore[arg-type]
    assert simulate(targets(1), many, Answering(), out=tmp_path / "y.json", rounds=1).questions.tokens_in is None


def test_good_replies_beside_one_that_is_none_are_kept(tmp_path: Path) -> None:
    class Mixed(Asking):
        def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:
            replies: list[object] = [question(dialog) for dialog in dialogs]
            replies[0] = "is it?"
            return replies  # type: ignore[return-value]

    with pytest.raises(InputError, match="gave str, but must give a Reply"):
        simulate(targets(8), Mixed(batch_size=8), Answering(), out=tmp_path / "x.json", rounds=1)
    assert query(tmp_path / "x.run", "SELECT count(*) FROM replies") == [(7,)]


def test_a_dialog_that_spoils_its_batch_fails_alone(tmp_path: Path) -> None:
    def script(dialog: Dialog) -> Reply:
        if " 5 " in dialog.caption:
            raise MemoryError("too long")
        return question(dialog)

    summary = simulate(targets(16), Asking(script, batch_size=8), Answering(), out=tmp_path / "x.json", rounds=2)
    assert summary.dialogs == 15
    assert [failed.message for failed in summary.failed] == ["MemoryError: too long"]


@pytest.mark.parametrize("seen", [Reply("stop"), "no", None])
def test_an_observer_says_true_or_false(tmp_path: Path, seen: object) -> None:
    class Observer:
        def observe(self, dialogs: Sequence[Dialog]) -> list[object]:
            return [seen] * len(dialogs)

    with pytest.raises(InputError, match="must give True or False"):
        simulate(targets(2), Asking(), Answering(), observer=Observer(), out=tmp_path / "x.json", rounds=1)


class CancelsItself(Asking):
    async def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:  # type: ignore[override]
        task = asyncio.current_task()
        assert task
        task.cancel()
        return super().ask(dialogs)


class StopsTheLoop(Asking):
    async def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:  # type: ignore[override]
        asyncio.get_running_loop().stop()
        return super().ask(dialogs)


@pytest.mark.parametrize("player", [CancelsItself, StopsTheLoop])
def test_a_player_that_ends_its_own_worker_does_not_make_the_run_wait(tmp_path: Path, player: type[Asking]) -> None:
    with pytest.raises(InputError, match=f"{player.__name__}: its workers have ended"):
        simulate(targets(3), player(), Answering(), out=tmp_path / "x.json")


def test_a_close_that_fails_does_not_matter(tmp_path: Path) -> None:
    class Closing(Asking):
        def close(self) -> None:
            raise OSError("gone already")

    assert simulate(targets(3), Closing(), Answering(), out=tmp_path / "x.json", rounds=1).dialogs == 3


@pytest.mark.parametrize(
    ("name", "value"), [("rounds", 2.5), ("rounds", "3"), ("ask_again", True), ("seed", "x"), ("rounds", 0)]
)
def test_settings_are_whole_numbers(tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"{name} is "):
        simulate(targets(1), Asking(), Answering(), out=tmp_path / "x.json", **{name: value})  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "target",
    [
        Dialog(3, "a cat"),  # type: ignore[arg-type]
        Dialog("a.jpg", None),  # type: ignore[arg-type]
        Dialog("a.jpg", "a cat", id=5),  # type: ignore[arg-type]
        Dialog("a.jpg", "a cat", said=("is it? no",)),  # type: ignore[arg-type]
        Dialog("a.jpg", "a cat", extra={"thing": object()}),
        "a.jpg",
    ],
)
def test_targets_of_wrong_types_are_refused_before_anything_is_written(tmp_path: Path, target: Dialog) -> None:
    with pytest.raises(InputError, match="target 0"):
        simulate([target], Asking(), Answering(), out=tmp_path / "x.json")
    assert not list(tmp_path.iterdir())


def test_an_id_met_twice_in_a_stream_loses_no_reply(tmp_path: Path) -> None:
    given: list[str] = []

    def script(dialog: Dialog, asked: str) -> Reply:
        given.append(dialog.id)
        return answer(dialog, asked)

    stream = iter([*targets(600), targets(1)[0]])
    with pytest.raises(InputError, match=r"target 600: .* is named twice"):
        simulate(stream, Asking(), Answering(script), out=tmp_path / "x.json", rounds=1)
    assert query(tmp_path / "x.run", "SELECT count(*) FROM replies WHERE role = 'answer'") == [(len(given),)]


def test_a_shorter_stream_leaves_the_other_dialogs_as_they_are_and_says_so(tmp_path: Path) -> None:
    def script(dialog: Dialog) -> Reply:
        if " 39 " in dialog.caption:
            raise InputError("stopped on purpose")
        return question(dialog)

    with pytest.raises(InputError, match="stopped on purpose"):
        simulate(iter(targets(40)), Asking(script), Answering(), out=tmp_path / "x.json", rounds=3)
    some = simulate(iter(targets(10)), Asking(), Answering(), out=tmp_path / "x.json", rounds=3)
    assert (some.dialogs, some.given, some.targets) == (10, 10, 40)
    assert simulate(iter(targets(40)), Asking(), Answering(), out=tmp_path / "x.json", rounds=3).dialogs == 40


def test_a_dialogue_file_that_appears_while_the_run_is_on_is_not_overwritten(tmp_path: Path) -> None:
    def script(dialog: Dialog) -> Reply:
        (tmp_path / "x.json").write_text("precious")
        return question(dialog)

    with pytest.raises(InputError, match="was not written by this run"):
        simulate(targets(2), Asking(script), Answering(), out=tmp_path / "x.json", rounds=1)
    assert (tmp_path / "x.json").read_text() == "precious"
    (tmp_path / "x.json").unlink()
    simulate(targets(2), Asking(), Answering(), out=tmp_path / "x.json", rounds=1)
    assert len(read_dialogs(tmp_path / "x.json")) == 2


def test_a_run_file_removed_while_the_run_is_on_stops_it(tmp_path: Path) -> None:
    def script(dialog: Dialog) -> Reply:
        (tmp_path / "x.run").unlink(missing_ok=True)
        return question(dialog)

    with pytest.raises(InputError, match=r"x\.run: was removed while its run was on"):
        simulate(targets(2), Asking(script), Answering(), out=tmp_path / "x.json", rounds=1)
