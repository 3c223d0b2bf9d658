"""Batches for a model at hand: every place once and in order, whatever fits into memory."""

from __future__ import annotations

import gc
import json
import threading
import weakref
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatir.dialog import Failure
from chatir.errors import StoppedRunError
from chatir.models.completion import Completion
from chatir.models.hardware import gpu_errors
from chatir.models.lavis import worker
from chatir.models.local import batches as batching
from chatir.models.local.batches import PATIENCE, Batches
from chatir.models.local.loading import ONE_AT_A_TIME
from chatir.models.local.vision_model import LostImagesError

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
    replies = batches.run(places, memory.complete)
    if places and {places[0], places[-1]} <= never:
        with pytest.raises(StoppedRunError):
            next(replies)
    else:
        expected = [(place, ALONE if place in never else Completion(f"reply {place}")) for place in places]
        assert list(replies) == expected
    assert all(1 <= asked <= size for asked in memory.sizes)


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
        torch.AcceleratorError(
            "CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA` for device-side assertions."
        ),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    ]


@pytest.mark.parametrize("number", range(15))
def test_what_runs_out_of_memory_twice_is_halved_and_told(number: int) -> None:
    told: list[str] = []
    batches, memory = Batches(8, "org/model", told.append), Memory(3, error=out_of_memory()[number])
    assert [place for place, _ in batches.run(list(range(7)), memory.complete)] == list(range(7))
    assert memory.sizes == [7, 7, 3, 3, 1]
    assert told == ["org/model: out of memory; 3 at once for now"]
    assert batches.size == 3
    list(batches.run(list(range(7)), memory.complete))
    assert memory.sizes[5:] == [3, 3, 1], "a later run does not try more at once"
    assert len(told) == 1


def test_halving_goes_on_until_it_fits() -> None:
    told: list[str] = []
    memory = Memory(1)
    list(Batches(9, "m", told.append).run(list(range(10)), memory.complete))
    assert memory.sizes == [9, 9, 4, 4, 2, 2] + [1] * 10
    assert told == [f"m: out of memory; {size} at once for now" for size in (4, 2, 1)]


def test_what_runs_out_of_memory_once_changes_nothing() -> None:
    told: list[str] = []
    memory = Memory(0)

    def complete(places: list[int]) -> list[Completion]:
        memory.fits = 8 if len(memory.asked) % 2 else 0
        return memory.complete(places)

    batches = Batches(8, "m", told.append)
    assert [place for place, _ in batches.run(list(range(20)), complete)] == list(range(20))
    assert memory.sizes == [8, 8, 8, 8, 4, 4]
    assert (told, batches.size) == ([], 8)


def test_when_there_is_memory_again_batches_grow_to_what_they_were_and_no_further() -> None:
    told: list[str] = []
    batches, memory = Batches(9, "m", told.append), Memory(3)
    list(batches.run(list(range(9)), memory.complete))
    memory.fits, memory.asked = 100, []
    places = list(range(60 * PATIENCE))
    assert [place for place, _ in batches.run(places, memory.complete)] == places
    grown = [size for before, size in zip([2, *memory.sizes], memory.sizes, strict=False) if size > before]
    assert grown == [4, 8, 9]
    assert told[2:] == [f"m: {size} at once again" for size in (4, 8, 9)]


def test_a_size_that_never_fits_is_tried_ever_more_seldom_without_a_word() -> None:
    told: list[str] = []
    batches, memory = Batches(4, "m", told.append), Memory(2)
    places = list(range(2 * 31 * PATIENCE))
    assert [place for place, _ in batches.run(places, memory.complete)] == places
    failed = [number for number, size in enumerate(memory.sizes) if size > 2]
    assert failed[:2] == [0, 1]
    between = [after - before - 1 for before, after in pairwise(failed[1:])]
    assert between == [PATIENCE, 2 * PATIENCE, 4 * PATIENCE, 8 * PATIENCE], "and no same size again"
    assert told == ["m: out of memory; 2 at once for now"]


def test_a_size_that_fits_only_now_and_then_is_tried_ever_more_seldom() -> None:
    """It grows back each time, and runs out of memory with the next batch."""
    memory = Memory(2)

    def complete(places: list[int]) -> list[Completion]:
        memory.fits = 4 if len(places) == 4 and memory.sizes[-1:] == [2] else 2
        return memory.complete(places)

    list(Batches(4, "m", silent).run(list(range(2 * 31 * PATIENCE)), complete))
    grown = [n for n, sizes in enumerate(pairwise(memory.sizes)) if sizes == (2, 4)]
    between = [after - before for before, after in pairwise(grown)]
    assert between == [PATIENCE * factor + 3 for factor in (2, 4, 8)]


def test_before_it_tries_again_it_waits_for_a_model_that_is_being_loaded() -> None:
    loading, failed, second = True, threading.Event(), threading.Event()

    def complete(places: list[int]) -> list[Completion]:
        if not failed.is_set():
            failed.set()
            raise MemoryError
        second.set()
        return [Completion(f"loading: {loading}")]

    replies: list[tuple[int, Completion]] = []
    thread = threading.Thread(target=lambda: replies.extend(Batches(1, "m", silent).run([0], complete)))
    with ONE_AT_A_TIME:
        thread.start()
        assert failed.wait(60)
        assert not second.wait(0.1)
        loading = False
    thread.join(60)
    assert replies == [(0, Completion("loading: False"))]


def test_what_does_not_fit_alone_fails_alone() -> None:
    told: list[str] = []
    memory = Memory(2, never=frozenset({5}))
    replies = dict(Batches(2, "m", told.append).run([4, 5, 6], memory.complete))
    assert replies == {4: Completion("reply 4"), 5: ALONE, 6: Completion("reply 6")}
    assert memory.asked == [[4, 5], [4, 5], [4], [5], [5], [6]]
    assert told == ["m: out of memory; 1 at once for now"]


@pytest.mark.parametrize("places", [[4], [4, 5, 6]])
def test_a_model_that_has_never_completed_anything_and_cannot_even_one_stops_the_run(places: list[int]) -> None:
    error = RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")
    batches = Batches(1, "org/model", silent)
    with pytest.raises(StoppedRunError) as stopped:
        list(batches.run(places, Memory(0, error=error).complete))
    assert str(stopped.value) == (
        "org/model: out of memory even with one at once (CUDA out of memory. Tried to allocate 2.00 GiB.); end other "
        "programs on the GPU, or use another device, a lower precision or a smaller model"
    )
    assert "the same command goes on" in stopped.value.goes_on


def test_the_longest_does_not_stop_a_run_in_which_the_shortest_fits() -> None:
    memory = Memory(1, never=frozenset({4, 5}))
    replies = dict(Batches(1, "m", silent).run([4, 5, 6, 7], memory.complete))
    assert replies == {4: ALONE, 5: ALONE, 6: Completion("reply 6"), 7: Completion("reply 7")}


def test_a_model_that_has_no_memory_any_more_stops_the_run_after_some_failures() -> None:
    batches, memory = Batches(1, "m", silent), Memory(1)
    assert [each.text for _, each in batches.run([0], memory.complete)] == ["reply 0"]
    memory.fits = 0
    replies = batches.run(list(range(20)), memory.complete)
    assert [next(replies) for _ in range(batching.ALONE - 1)] == [(n, ALONE) for n in range(batching.ALONE - 1)]
    with pytest.raises(StoppedRunError, match="out of memory"):
        next(replies)


def test_prompts_that_are_too_long_do_not_stop_a_run_in_which_the_shorter_fit() -> None:
    batches, memory = Batches(1, "m", silent), Memory(1, never=frozenset(range(15)))
    assert [each.text for _, each in batches.run([99], memory.complete)] == ["reply 99"]
    assert [each.text for _, each in batches.run(list(range(18)), memory.complete)][15:] == [
        f"reply {place}" for place in range(15, 18)
    ]


def test_a_failure_does_not_count_as_a_completion() -> None:
    failed = Completion(None, Failure("missing_image", "a.jpg: no such file"))
    batches = Batches(1, "m", silent)
    assert list(batches.run([1], lambda places: [failed])) == [(1, failed)]
    with pytest.raises(StoppedRunError, match="out of memory"):
        list(batches.run([2], Memory(0).complete))


GPU_FAILURES = [
    "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be reported at some other API call",
    "CUDA error: an illegal instruction was encountered",
    "CUDA error: device-side assert triggered",
    "CUDA error: unspecified launch failure",
    "CUDA error: misaligned address",
    "CUDA error: uncorrectable ECC error encountered",
    "HIP error: an illegal memory access was encountered",
]


@pytest.mark.parametrize("message", GPU_FAILURES)
def test_a_gpu_that_failed_stops_the_run_at_once(message: str) -> None:
    import torch

    memory = Memory(0, error=torch.AcceleratorError(message))
    with pytest.raises(StoppedRunError) as stopped:
        list(Batches(4, "org/model", silent).run([1, 2], memory.complete))
    assert str(stopped.value) == f"org/model: the GPU failed ({message.splitlines()[0]})"
    assert memory.sizes == [2]


def test_a_gpu_that_turns_out_to_have_failed_when_memory_is_freed_stops_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise RuntimeError(GPU_FAILURES[0])

    monkeypatch.setattr(batching, "free_memory", fail)
    with pytest.raises(StoppedRunError, match="the GPU failed"):
        list(Batches(4, "m", silent).run([1, 2], Memory(1).complete))


def test_the_lavis_worker_knows_the_same_signs_of_exhausted_memory() -> None:
    assert worker.MEMORY_SIGNS == gpu_errors.MEMORY_SIGNS


def test_the_lavis_worker_tells_exhausted_memory_from_a_gpu_that_failed() -> None:
    class Fails(worker.Worker):
        def __init__(self, error: Exception) -> None:
            super().__init__()
            self.error = error

        def imports(self) -> dict[str, object]:
            raise self.error

    def kind(error: Exception) -> str:
        return str(worker._reply(Fails(error), json.dumps({"op": "imports"}).encode())["error"]["kind"])

    assert {kind(error) for error in out_of_memory() if str(error)} == {"out_of_memory"}
    assert {kind(RuntimeError(message)) for message in GPU_FAILURES} == {"failed"}


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes do not fit"),
        RuntimeError("CUDA error: invalid argument\nCompile with `TORCH_USE_CUDA_DSA` for device-side assertions."),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
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
    assert len(held) == 8
