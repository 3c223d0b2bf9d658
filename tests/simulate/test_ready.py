"""What is refused before anything is asked: players that do not go together, or are not ready."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from players import Answering, Asking, said

from chatir import Dialog, Reply
from chatir.answerers.human import Human as Replaying
from chatir.errors import InputError
from chatir.questioners.human import Human as People
from chatir.simulate import simulate

TARGETS = [Dialog(f"{number}.jpg", "a cat", said=said("is it black? no")) for number in range(3)]


class Wanting:
    def __init__(self, lack: str | None) -> None:
        self.lack = lack
        self.called = False

    def ready(self) -> None:
        self.called = True
        if self.lack is not None:
            raise InputError(self.lack)


class WantingQuestioner(Wanting, Asking):
    def __init__(self, lack: str | None) -> None:
        Asking.__init__(self)
        Wanting.__init__(self, lack)


class WantingAnswerer(Wanting, Answering):
    def __init__(self, lack: str | None) -> None:
        Answering.__init__(self)
        Wanting.__init__(self, lack)


def test_what_both_players_lack_is_told_together_and_once(tmp_path: Path) -> None:
    asking, answering = WantingQuestioner("the server wants a key"), WantingAnswerer("the camera wants film")
    with pytest.raises(InputError, match=r"^the server wants a key; the camera wants film$"):
        simulate(TARGETS, asking, answering, out=tmp_path / "x.json", rounds=1)
    with pytest.raises(InputError, match=r"^the server wants a key$"):
        simulate(TARGETS, asking, WantingAnswerer("the server wants a key"), out=tmp_path / "x.json", rounds=1)
    assert asking.called
    assert not asking.calls.batches
    assert not list(tmp_path.iterdir())


def test_an_answerer_that_replays_needs_a_questioner_that_does(tmp_path: Path) -> None:
    asking = WantingQuestioner(None)
    told = r"Human only replays .* WantingQuestioner asks .* free questions: blip2, blip2-lavis, nearest-human, openai"
    with pytest.raises(InputError, match=told):
        simulate(TARGETS, asking, Replaying(), out=tmp_path / "x.json", rounds=1)
    assert not asking.called
    assert not list(tmp_path.iterdir())
    assert simulate(TARGETS, People(), Replaying(), out=tmp_path / "x.json", rounds=1).replayed

    class AskingAsPeopleDid(Asking):
        replays = True

        def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:
            return [Reply("is it black?") for _ in dialogs]

    assert simulate(TARGETS, AskingAsPeopleDid(), Replaying(), out=tmp_path / "y.json", rounds=1).dialogs == 3
