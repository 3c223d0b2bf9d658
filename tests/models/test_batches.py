"""Batches for a model at hand: every place once and in order, whatever fits into memory."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatir.dialog import Failure
from chatir.models.batches import Batches
from chatir.models.completion import Completion
from chatir.models.looks import LostImagesError

Complete = Callable[[list[int]], list[Completion]]
ALONE = Completion(None, Failure("out_of_memory", "not even one at a time fits"))


class Memory:
    """A model that completes as many places at once as fit, and some places never."""

    def __init__(self, fits: int, never: frozenset[int] = frozenset(), error: BaseException | None = None) -> None:
        self.fits, self.never, self.error = fits, never, error or MemoryError()
        self.asked: list[list[int]] = []

    def complete(self, places: list[int]) -> list[Completion]:
        self.asked.append(list(places))
        if len(places) > self.fits or self.never & set(places):
            raise self.error
        return [Completion(f"reply {place}") for place in places]

    @property
    def sizes(self) -> list[int]:
        return [len(places) for places in self.asked]


def silent(_: str) -> None:
    pass


@settings(max_examples=40)
@given(
    places=st.lists(st.integers(0, 20), unique=True),
    size=st.integers(1, 12),
    fits=st.integers(1, 12),
    never=st.frozensets(st.integers(0, 20), max_size=3),
)
def test_every_place_gets_its_own_reply_in_the_order_given(
    places: list[int], size: int, fits: int, never: frozenset[int]
) -> None:
    batches, memory = Batches(size, "m", silent), Memory(fits, never)
    replies = list(batches.run(places, memory.complete))
    assert replies == [(place, ALONE if place in never else Completion(f"reply {place}")) for place in places]
    assert all(1 <= asked <= size for asked in memory.sizes)
    for before, after in zip(memory.asked, memory.asked[1:], strict=False):
        assert len(after) <= len(before), "it grows no more"
        if len(before) > fits:
            assert after == before[: len(before) // 2]


def test_batches_are_full_but_for_the_last_and_none_is_empty() -> None:
    memory = Memory(100)
    assert [place for place, _ in Batches(4, "m", silent).run(list(range(10)), memory.complete)] == list(range(10))
    assert memory.asked == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert list(Batches(4, "m", silent).run([], memory.complete)) == []
    assert len(memory.asked) == 3


def test_replies_are_given_as_soon_as_their_batch_is_done() -> None:
    memory = Memory(100)
    replies = Batches(2, "m", silent).run([7, 8, 9], memory.complete)
    assert memory.asked == []
    assert next(replies) == (7, Completion("reply 7"))
    assert memory.asked == [[7, 8]]


def test_the_order_given_stays_the_caller_s() -> None:
    places = [3, 1, 2]
    list(Batches(2, "m", silent).run(places, Memory(1).complete))
    assert places == [3, 1, 2]


def out_of_memory() -> list[Exception]:
    import torch

    return [
        MemoryError(),
        MemoryError("Unable to allocate 2.00 GiB for an array"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        torch.OutOfMemoryError(),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("MPS backend Out Of Memory (MPS allocated: 9 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 80000000000 bytes."),
        RuntimeError("[Errno 12] Cannot allocate memory"),
    ]


@pytest.mark.parametrize("number", range(9))
def test_where_memory_ends_batches_are_halved_told_and_stay_so(number: int) -> None:
    told: list[str] = []
    batches, memory = Batches(8, "org/model", told.append), Memory(3, error=out_of_memory()[number])
    assert [place for place, _ in batches.run(list(range(7)), memory.complete)] == list(range(7))
    assert memory.sizes == [7, 3, 3, 1]
    assert told == ["org/model: out of memory; 3 at once from now on"]
    assert batches.size == 3
    list(batches.run(list(range(7)), memory.complete))
    assert memory.sizes[4:] == [3, 3, 1], "a later run does not try more again"
    assert len(told) == 1


def test_halving_goes_on_until_it_fits() -> None:
    told: list[str] = []
    memory = Memory(1)
    list(Batches(9, "m", told.append).run(list(range(10)), memory.complete))
    assert memory.sizes == [9, 4, 2] + [1] * 10
    assert told == [f"m: out of memory; {size} at once from now on" for size in (4, 2, 1)]


def test_what_does_not_fit_alone_fails_alone() -> None:
    told: list[str] = []
    memory = Memory(2, never=frozenset({5}))
    replies = dict(Batches(2, "m", told.append).run([4, 5, 6], memory.complete))
    assert replies == {4: Completion("reply 4"), 5: ALONE, 6: Completion("reply 6")}
    assert memory.asked == [[4, 5], [4], [5], [6]]
    assert told == ["m: out of memory; 1 at once from now on"]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes do not fit"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError(),
        ValueError("out of memory"),
        LostImagesError("out of memory"),
        KeyboardInterrupt(),
    ],
    ids=repr,
)
def test_any_other_error_passes_through(error: BaseException) -> None:
    batches, memory = Batches(4, "m", silent), Memory(0, error=error)
    with pytest.raises(type(error)) as raised:
        list(batches.run([1, 2], memory.complete))
    assert raised.value is error
    assert memory.sizes == [2]
    assert batches.size == 4


def test_too_few_replies_are_an_error_and_no_shift() -> None:
    with pytest.raises(ValueError, match="shorter"):
        list(Batches(4, "m", silent).run([1, 2], lambda places: [Completion("one")]))


class Tensor:
    """Something large, in a circle as an autograd graph is."""

    def __init__(self) -> None:
        self.itself = self


def test_what_a_failed_attempt_held_is_free_before_the_next() -> None:
    held: list[weakref.ref[Tensor]] = []

    def complete(places: list[int]) -> list[Completion]:
        assert [ref() for ref in held] == [None] * len(held)
        tensor = Tensor()
        held.append(weakref.ref(tensor))
        if len(places) > 1:
            raise MemoryError
        del tensor
        gc.collect()
        return [Completion("reply") for _ in places]

    gc.disable()
    try:
        assert len(list(Batches(4, "m", silent).run(list(range(4)), complete))) == 4
    finally:
        gc.enable()
    assert len(held) == 6
