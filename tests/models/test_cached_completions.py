"""Completions through the reply cache: what is known is not asked again, and a cache that fails costs no reply."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatir.dialog import Failure
from chatir.models import reply_cache
from chatir.models.cached_completions import Remembered
from chatir.models.completion import Completion
from chatir.models.reply_cache import ReplyCache
from chatir.plugins import Context

FULL = Completion("a cat?", cut=True, others=(("a dog?", False), ("a cow", True)), tokens_in=12, tokens_out=3)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReplyCache]:
    monkeypatch.setattr(reply_cache, "BUSY_SECONDS", 0.02)
    with closing(ReplyCache(tmp_path / "replies.cache")) as opened:
        yield opened


def key(number: int, **more: Any) -> dict[str, Any]:
    return {"backend": "test", "model": {"id": "m"}, "number": number, **more}


class Model:
    """Replies with the place that was asked for, or with what it is told to."""

    def __init__(self, *replies: Completion) -> None:
        self.replies = replies
        self.asked: list[list[int]] = []

    def __call__(self, places: list[int]) -> list[Completion]:
        self.asked.append(places)
        return list(self.replies) or [Completion(f"reply to {place}") for place in places]


def texts(completions: list[Completion]) -> list[str | None]:
    return [completion.text for completion in completions]


def test_what_is_known_is_not_asked_again_and_the_order_stays(cache: ReplyCache) -> None:
    remembered, model = Remembered(Context(cache=cache)), Model()
    first = remembered.complete([key(1), key(3)], model)
    assert texts(first) == ["reply to 0", "reply to 1"]
    mixed = remembered.complete([key(n) for n in range(5)], model)
    assert texts(mixed) == ["reply to 0", "reply to 0", "reply to 2", "reply to 1", "reply to 4"]
    assert model.asked == [[0, 1], [0, 2, 4]]
    assert remembered.complete([key(n) for n in range(5)], model) == mixed
    assert len(model.asked) == 2, "nothing is asked when all is known"


@given(calls=st.lists(st.lists(st.none() | st.integers(0, 9), max_size=8), max_size=5))
def test_a_key_has_one_reply_for_ever_and_no_key_always_a_new_one(
    tmp_path_factory: pytest.TempPathFactory, calls: list[list[int | None]]
) -> None:
    first: dict[int, set[str | None]] = {}
    count = 0

    def complete(places: list[int]) -> list[Completion]:
        nonlocal count
        count += len(places)
        return [Completion(f"{count} {place}") for place in places]

    with closing(ReplyCache(tmp_path_factory.mktemp("cache") / "replies.cache")) as cache:
        remembered = Remembered(Context(cache=cache))
        for numbers in calls:
            known = set(first)
            replies = texts(remembered.complete([None if n is None else key(n) for n in numbers], complete))
            for number, reply in zip(numbers, replies, strict=True):
                if number in known:
                    assert reply in first[number]
                elif number is not None:
                    first.setdefault(number, set()).add(reply)
    asked_for = sum(number is None for numbers in calls for number in numbers)
    assert count >= asked_for + len(first)


def test_all_of_a_completion_survives_but_its_cost(cache: ReplyCache) -> None:
    bare = Completion("", others=(("", False),))
    model = Model(FULL, bare, Completion("paid", cost=0.5))
    keys = [key(1), key(2), key(3)]
    assert Remembered(Context(cache=cache)).complete(keys, model)[2].cost == 0.5
    again = Remembered(Context(cache=cache)).complete(keys, model)
    assert again == [FULL, bare, Completion("paid")]
    assert len({*again}) == 3, "as hashable as ever"
    assert len(model.asked) == 1


def test_failures_are_given_and_not_kept(cache: ReplyCache) -> None:
    remembered = Remembered(Context(cache=cache))
    failed = Completion(None, Failure("out_of_memory", "not even one at a time fits"))
    model = Model(failed, FULL)
    assert remembered.complete([key(1), key(2)], model) == [failed, FULL]
    assert sum(each.replies for each in cache.models()) == 1
    assert texts(remembered.complete([key(1), key(2)], Model())) == ["reply to 0", "a cat?"]


def test_without_a_key_nothing_is_looked_up_or_kept(cache: ReplyCache) -> None:
    remembered, model = Remembered(Context(cache=cache)), Model()
    for _ in range(2):
        remembered.complete([None, key(1), None], model)
    assert model.asked == [[0, 1, 2], [0, 2]]
    assert sum(each.replies for each in cache.models()) == 1


def test_without_a_cache_everything_is_asked() -> None:
    remembered, model = Remembered(Context()), Model()
    assert not remembered.on
    for _ in range(2):
        assert texts(remembered.complete([key(1), None], model)) == ["reply to 0", "reply to 1"]
    assert model.asked == [[0, 1]] * 2
    assert remembered.complete([], model) == []
    assert len(model.asked) == 2


def test_too_few_replies_are_an_error_and_no_shift(cache: ReplyCache) -> None:
    with pytest.raises(ValueError, match="shorter"):
        Remembered(Context(cache=cache)).complete([key(1), key(2)], Model(FULL))


def test_a_cache_that_cannot_be_written_is_told_once_and_the_run_goes_on(cache: ReplyCache, tmp_path: Path) -> None:
    told: list[str] = []
    remembered, model = Remembered(Context(cache=cache, progress=told.append)), Model()
    remembered.complete([key(0)], model)
    assert remembered.on
    with closing(sqlite3.connect(tmp_path / "replies.cache", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # whoever else writes does not come to an end
        assert texts(remembered.complete([key(1), key(2)], model)) == ["reply to 0", "reply to 1"]
        assert texts(remembered.complete([key(3)], model)) == ["reply to 0"]
    (line,) = told
    assert line.startswith(f"{tmp_path / 'replies.cache'}: the reply cache cannot be used: database is locked")
    assert line.endswith("; going on without it")
    assert not remembered.on
    assert texts(remembered.complete([key(0)], model)) == ["reply to 0"]
    assert model.asked == [[0], [0, 1], [0], [0]], "it is not tried again, not even to read"
    assert sum(each.replies for each in cache.models()) == 1


def test_what_is_known_is_given_though_the_cache_can_no_longer_be_written(cache: ReplyCache) -> None:
    remembered = Remembered(Context(cache=cache))
    remembered.complete([key(0)], Model())
    with closing(sqlite3.connect(cache.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        model = Model()
        assert texts(remembered.complete([key(0)], model)) == ["reply to 0"]
        assert not model.asked


def test_threads_that_find_the_cache_unusable_say_so_once_and_lose_nothing(cache: ReplyCache) -> None:
    told: list[str] = []
    remembered = Remembered(Context(cache=cache, progress=told.append))
    cache.close()
    threads = [threading.Thread(target=remembered.keep, args=(key(number), FULL)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 1
    assert not remembered.on


@pytest.mark.parametrize("value", ['{"text": 5}', '{"text": null}', '{"cut": false}', '{"text": "a", "others": 3}'])
def test_a_damaged_entry_is_a_miss(cache: ReplyCache, value: str) -> None:
    remembered, model = Remembered(Context(cache=cache)), Model()
    remembered.complete([key(1)], model)
    with closing(sqlite3.connect(cache.path)) as other, other:
        other.execute("UPDATE replies SET value = ?", (value,))
    assert texts(remembered.complete([key(1)], model)) == ["reply to 0"]
    assert model.asked == [[0], [0]]
