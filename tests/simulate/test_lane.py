"""A lane takes what waits in the order that its work asks for, and a player that sees images gets the first targets."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import pytest

from chatir.simulate.loop.lane import Lane, Work
from chatir.simulate.loop.play import Play


def taken(order: Callable[[int], int] | None, first: list[int], later: list[int]) -> list[list[int]]:
    """The batches of a lane that is given some items while it is busy with a first one, and then more."""
    busy, go_on = threading.Event(), threading.Event()
    batches: list[list[int]] = []

    def call(batch: list[int]) -> None:
        if batch == [-1]:
            busy.set()
            go_on.wait(10)
        else:
            batches.append(batch)

    options: dict[str, Any] = {} if order is None else {"order": order}
    inbox: SimpleQueue[Any] = SimpleQueue()
    lane: Lane[int] = Lane(Work("test", call, batch_size=2, **options), inbox)
    lane.put([-1])
    assert busy.wait(10)
    lane.put(first)
    lane.put(later)
    go_on.set()
    for _ in range(1 + -(-(len(first) + len(later)) // 2)):
        inbox.get(timeout=10)
    lane.stop()
    assert lane.join(10)
    return batches


def test_items_come_in_the_order_in_which_they_were_put() -> None:
    assert taken(None, [5, 3, 4], [1, 9, 2]) == [[5, 3], [4, 1], [9, 2]]


def test_the_least_come_first_whenever_they_were_put() -> None:
    assert taken(lambda item: item, [5, 3, 4], [1, 9, 2]) == [[1, 2], [3, 4], [5, 9]]


def test_those_that_are_alike_keep_their_order() -> None:
    assert taken(lambda item: item // 10, [21, 11, 22], [13, 12, 23]) == [[11, 13], [12, 21], [22, 23]]


@pytest.mark.parametrize("sees", [True, False])
def test_where_a_player_sees_images_the_first_targets_go_first(sees: bool, tmp_path: Any) -> None:
    """So that few images are in play at once: it need not read them again in each round."""
    from chatir import Dialog, Reply
    from chatir.simulate import simulate

    lanes: dict[str, Work[Any]] = {}
    init = Lane.__init__

    def watched(self: Lane[Any], work: Work[Any], inbox: SimpleQueue[Any]) -> None:
        lanes[work.name] = work
        init(self, work, inbox)

    class Asks:
        def ask(self, dialogs: list[Dialog]) -> list[Reply]:
            return [Reply("is it?") for _ in dialogs]

    class Sees:
        needs_images = sees

        def answer(self, dialogs: list[Dialog], questions: list[str]) -> list[Reply]:
            return [Reply("yes") for _ in dialogs]

    (tmp_path / "a.png").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lane, "__init__", watched)
        simulate([Dialog("a.png", "a")], Asks(), Sees(), out=tmp_path / "x.json", rounds=1, images=tmp_path)

    play, late = (Play(7, Dialog("a.png", "a"), "question", 0, failed=failed) for failed in (False, True))
    for order in (lanes["Asks"].order, lanes["Sees"].order):
        assert order(play) == (7 if sees else 0)
        assert order(late) > 10**9, "what failed before comes last"
