"""Batches under a budget: each thing once, in the caller's order, and half as many while memory is short."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chatir.errors import InputError, StoppedRunError
from chatir.models.local.batches import PATIENCE
from chatir.retriever.encoders.token_batches import BudgetedBatches


class Encoder:
    """Gives each place a vector that tells it, and keeps the batches; with so much memory, not more."""

    def __init__(self, lengths: list[int], memory: float = float("inf"), error: Exception | None = None) -> None:
        self.lengths = lengths
        self.memory = memory
        self.error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        self.batches: list[list[int]] = []
        self.failed = 0

    def size(self, batch: list[int]) -> int:
        return len(batch) * max(self.lengths[place] for place in batch)

    def __call__(self, batch: list[int]) -> torch.Tensor:
        if self.size(batch) > self.memory:
            self.failed += 1
            raise self.error
        self.batches.append(batch)
        return torch.tensor([[place, self.lengths[place]] for place in batch], dtype=torch.float32)


def told(lengths: list[int]) -> list[list[int]]:
    return [[place, length] for place, length in enumerate(lengths)]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 400))
def test_each_is_encoded_once_under_the_budget_and_comes_back_in_order(lengths: list[int], budget: int) -> None:
    encoder, lines = Encoder(lengths), list[str]()
    assert BudgetedBatches(budget, "tokens", "m", lines.append).run(lengths, encoder).tolist() == told(lengths)
    assert lines == []
    assert sorted(place for batch in encoder.batches for place in batch) == list(range(len(lengths)))
    assert all(encoder.size(batch) <= budget or len(batch) == 1 for batch in encoder.batches)


@pytest.mark.parametrize("memory", [50, 120, 400])
def test_where_the_memory_ends_smaller_batches_give_the_same(memory: int) -> None:
    lengths = [7 * place % 50 + 1 for place in range(60)]
    encoder = Encoder(lengths, memory)
    batches = BudgetedBatches(10**6, "tokens", "m", lambda line: None)
    assert batches.run(lengths, encoder).tolist() == told(lengths)
    assert sorted(place for batch in encoder.batches for place in batch) == list(range(len(lengths)))


@pytest.mark.parametrize("error", [None, MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_what_runs_out_of_memory_twice_is_halved_told_once_and_grows_back(error: Exception | None) -> None:
    lines: list[str] = []
    batches = BudgetedBatches(80, "tokens", "tiny", lines.append)
    lengths = [10] * 8
    for failed in (2, 0):
        encoder = Encoder(lengths, 40, error)
        assert batches.run(lengths, encoder).tolist() == told(lengths)
        assert encoder.failed == failed
    assert lines == ["tiny: out of memory; 40 tokens at once for now"]
    lengths = [10] * 8 * PATIENCE
    encoder = Encoder(lengths)
    assert batches.run(lengths, encoder).tolist() == told(lengths)
    assert {len(batch) for batch in encoder.batches} == {4, 8}
    assert lines[1:] == ["tiny: 80 tokens at once again"]


def test_a_gpu_that_failed_is_not_asked_again() -> None:
    encoder = Encoder([1, 1], 0, torch.AcceleratorError("CUDA error: unspecified launch failure\nmore"))
    with pytest.raises(StoppedRunError, match=r"^tiny: the GPU failed \(CUDA error: unspecified launch failure\)$"):
        BudgetedBatches(100, "tokens", "tiny", print).run([1, 1], encoder)
    assert encoder.failed == 1


def test_one_that_does_not_fit_alone_is_told() -> None:
    with pytest.raises(InputError, match="tiny: out of memory with 30 tokens at once: use another device"):
        BudgetedBatches(100, "tokens", "tiny", lambda line: None).run([10, 30], Encoder([10, 30], 20))


def test_another_error_is_not_taken_for_that() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        BudgetedBatches(100, "tokens", "m", print).run([1], Encoder([1], 0, RuntimeError("shapes do not fit")))


def test_like_lengths_share_a_batch() -> None:
    lengths = [5, 50] * 20
    encoder = Encoder(lengths)
    BudgetedBatches(1000, "tokens", "m", print).run(lengths, encoder)
    assert sum(map(encoder.size, encoder.batches)) == sum(lengths)
