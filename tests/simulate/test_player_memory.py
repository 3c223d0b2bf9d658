"""What a player keeps in mind of a dialog: given back to it alone, whatever happens to the run in between."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from players import Answering, Asking, query, targets

from chatir import Dialog, Reply
from chatir.dialog import Failure
from chatir.errors import InputError
from chatir.simulate import read_dialogs, simulate

ROUNDS = 4


def remembering(dialog: Dialog) -> Reply:
    """Each reply adds its round to the memory of this dialog."""
    seen = json.loads(dialog.memory) if dialog.memory else []
    return Reply(f"question {len(seen) + 1}?", memory=json.dumps([*seen, f"{dialog.id} {len(dialog.rounds)}"]))


def reminded(dialog: Dialog, asked: str) -> Reply:
    return Reply("yes", memory=f"answered {dialog.memory}" if len(dialog.rounds) < 2 else None)


def played(out: Path, asking: object, answering: object, count: int = 3, **more: object):
    return simulate(targets(count), asking, answering, out=out / "x.json", rounds=ROUNDS, **more)


def expected(dialog: Dialog) -> str | None:
    seen = [f"{dialog.id} {number}" for number in range(len(dialog.rounds))]
    return json.dumps(seen) if seen else None


@pytest.mark.parametrize("deterministic", [False, True])
def test_a_memory_comes_back_to_its_player_alone_and_none_keeps_the_older_one(
    tmp_path: Path, deterministic: bool
) -> None:
    asking, answering = Asking(remembering, batch_size=2), Answering(reminded, batch_size=2)
    played(tmp_path, asking, answering, deterministic=deterministic)
    shown = [dialog for batch in asking.calls.batches for dialog in batch]
    assert len(shown) == 3 * ROUNDS
    assert all(dialog.memory == expected(dialog) for dialog in shown)
    answered = {(d.id, len(d.rounds)): d.memory for batch in answering.calls.batches for d in batch}
    for target in targets(3):
        assert [answered[target.id, n] for n in range(ROUNDS)] == [
            None,
            "answered None",
            *["answered answered None"] * 2,
        ]


def test_an_empty_memory_is_a_memory(tmp_path: Path) -> None:
    asking = Asking(lambda dialog: Reply("is it?", memory="" if dialog.rounds else "first"))
    played(tmp_path, asking, Answering(), count=1)
    assert [dialog.memory for (dialog,) in asking.calls.batches] == [None, "first", "", ""]


def test_a_memory_is_there_when_a_player_is_asked_again_or_fails(tmp_path: Path) -> None:
    """A reply without text changes nothing: what it would have kept in mind is forgotten."""
    shown: list[tuple[int, str | None]] = []

    def script(dialog: Dialog) -> Reply:
        shown.append((len(dialog.rounds), dialog.memory))
        if len(dialog.rounds) == 1 and sum(number == 1 for number, _ in shown) < 3:
            return Reply(None, failure=Failure("no_question", "lost for words"), memory="of a failure")
        return Reply("is it?", memory=f"after {len(dialog.rounds) + 1}")

    played(tmp_path, Asking(script), Answering(), count=1)
    assert shown == [(0, None), (1, "after 1"), (1, "after 1"), (1, "after 1"), (2, "after 2"), (3, "after 3")]


class Breaking(Asking):
    """Pulls the plug after so many calls."""

    name = "Breaking"

    def __init__(self, calls: int) -> None:
        super().__init__(remembering)
        self.left = calls

    def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:
        self.left -= 1
        if self.left < 0:
            raise InputError("pulled the plug")
        return super().ask(dialogs)


@pytest.mark.parametrize("calls", [1, 2, 5])
def test_a_resume_remembers(tmp_path: Path, calls: int) -> None:
    played(tmp_path / "whole", Breaking(10**9), Answering(reminded))
    shown: list[Dialog] = []
    while True:
        asking, answering = Breaking(calls), Answering(reminded)
        try:
            played(tmp_path, asking, answering)
            break
        except InputError as error:
            assert str(error) == "pulled the plug"  # noqa: PT017 - it happens many times
        finally:
            shown += [dialog for batch in asking.calls.batches for dialog in batch]
            for ((dialog, *_),) in zip(answering.calls.batches, strict=True):
                assert (dialog.memory is None) == (not dialog.rounds), "the answerer's own, after a resume too"
    assert all(dialog.memory == expected(dialog) for dialog in shown)
    assert (tmp_path / "x.json").read_bytes() == (tmp_path / "whole" / "x.json").read_bytes()


def test_a_resume_gives_back_the_latest_memory_not_the_last_written(tmp_path: Path) -> None:
    """None in a later round keeps the older one, and a failure's does not count."""

    def script(dialog: Dialog) -> Reply:
        if len(dialog.rounds) == 3:
            return Reply(None, failure=Failure("server", "fell over"), memory="of a failure")
        return Reply("is it?", memory=f"after {len(dialog.rounds) + 1}" if len(dialog.rounds) < 2 else None)

    assert len(played(tmp_path, Asking(script), Answering(reminded), count=2).failed) == 2
    asking, answering = Asking(lambda dialog: Reply("is it?")), Answering(reminded)
    assert played(tmp_path, asking, answering, count=2).dialogs == 2
    assert [(len(d.rounds), d.memory) for (d,) in asking.calls.batches] == [(3, "after 2")] * 2
    assert [(len(d.rounds), d.memory) for (d,) in answering.calls.batches] == [(3, "answered answered None")] * 2


def test_an_answer_that_failed_is_given_again_with_both_memories(tmp_path: Path) -> None:
    def script(dialog: Dialog, asked: str) -> Reply:
        return (
            Reply.failed("image", "is gone") if dialog.memory == "1" else Reply("yes", memory=str(len(dialog.rounds)))
        )

    played(tmp_path, Asking(remembering), Answering(script), count=1)
    asking, answering = Asking(remembering), Answering(lambda dialog, asked: Reply("no"))
    played(tmp_path, asking, answering, count=1)
    assert [(len(d.rounds), d.memory) for (d,) in answering.calls.batches] == [(2, "1"), (3, "1")]
    ((last,),) = asking.calls.batches
    assert last.memory == expected(last)


@pytest.mark.parametrize(
    "memory", ["a\0b", "half of a \ud83d pair", "\x1b[2J", "é\n\r\t", "quote \"' \\", "x" * 1_000_000]
)
def test_no_memory_hurts_the_run_file(tmp_path: Path, memory: str) -> None:
    left = [2]

    def script(dialog: Dialog) -> Reply:
        left[0] -= 1
        if left[0] < 0:
            raise InputError("pulled the plug")
        return Reply("is it?", memory=memory)

    with pytest.raises(InputError, match="pulled the plug"):
        played(tmp_path, Asking(script), Answering(), count=1)
    asking = Asking(lambda dialog: Reply("is it?"))
    assert played(tmp_path, asking, Answering(), count=1).dialogs == 1
    given = {dialog.memory for (dialog,) in asking.calls.batches}
    harmless = memory.replace("\0", "\\x00").replace("\ud83d", "\\ud83d")
    assert given == {harmless}
    assert query(tmp_path / "x.run", "PRAGMA integrity_check") == [("ok",)]
    assert len(read_dialogs(tmp_path / "x.json")) == 1


def test_a_memory_never_reaches_the_dialogue_file(tmp_path: Path) -> None:
    played(tmp_path, Asking(lambda dialog: Reply("is it?", memory="between us")), Answering())
    assert "between us" not in (tmp_path / "x.json").read_text()
