"""Scores are as precise as they say, whatever a process allows, and what has none is refused by name."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chatir.errors import InputError
from chatir.retriever.ranking import ranks as counting
from chatir.retriever.ranking.ranks import counts_before, target_ranks, target_scores
from chatir.retriever.ranking.similarity import UNITS, full_precision, rounded_down, rounded_up


def unit(count: int, d: int = 64, seed: int = 0) -> torch.Tensor:
    vectors = torch.randn(count, d, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(vectors, dim=1)


@given(
    st.floats(allow_nan=False, width=32) | st.floats(-1e-40, 1e-40) | st.floats(-65600, 65600),
    st.sampled_from(list(UNITS)),
)
def test_thresholds_are_rounded_outward(value: float, dtype: torch.dtype) -> None:
    exact = torch.tensor([value], dtype=torch.float64)
    low, high = rounded_down(exact, dtype), rounded_up(exact, dtype)
    assert low.dtype == high.dtype == dtype
    assert low.double() <= exact <= high.double()


SETTINGS: dict[str, Callable[[], object]] = {
    "float32 products of bfloat16": lambda: torch.set_float32_matmul_precision("medium"),
    "oneDNN's own": lambda: setattr(torch.backends.mkldnn.matmul, "fp32_precision", "bf16"),
    "the whole backend's": lambda: setattr(torch.backends, "fp32_precision", "bf16"),
}


def precisions() -> list[object]:
    """All that torch lets a process set about the precision of products, as far as it tells."""
    cuda, halves = torch.backends.cuda.matmul, ("fp16", "bf16")
    names = [f"allow_{half}_reduced_precision_reduction{rest}" for half in halves for rest in ("", "_split_k")]
    return [
        torch.backends.fp32_precision,
        torch.backends.mkldnn.matmul.fp32_precision,
        torch.backends.mkldnn.enabled,
        *(getattr(cuda, name, None) for name in (*names, "allow_fp16_accumulation", "fp32_precision")),
    ]


@pytest.mark.usefixtures("own_precisions")
@pytest.mark.parametrize("name", SETTINGS)
def test_reduced_precision_elsewhere_changes_no_rank_and_is_put_back(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries, corpus, targets = unit(50, 256), unit(1200, 256, seed=1), list(range(50))
    expected = target_ranks(queries, corpus, targets).tolist()
    multiplied = counting.product

    def watched(*given: torch.Tensor) -> torch.Tensor:
        # Not every processor multiplies float32 with less precision when it is allowed to.
        assert torch.backends.mkldnn.matmul.fp32_precision == "ieee"
        assert torch.backends.mkldnn.enabled  # other threads' convolutions go on as they were
        assert not torch.is_autocast_enabled("cpu")
        return multiplied(*given)

    monkeypatch.setattr(counting, "product", watched)
    SETTINGS[name]()
    before = precisions()
    with torch.autocast("cpu", torch.bfloat16):
        assert target_ranks(queries, corpus, targets).tolist() == expected
        assert torch.is_autocast_enabled("cpu")
    assert precisions() == before


@pytest.mark.usefixtures("own_precisions")
def test_an_accelerator_s_reduced_precision_is_off_inside_and_put_back_after_an_error() -> None:
    cuda = torch.backends.cuda.matmul
    cuda.allow_fp16_accumulation, cuda.fp32_precision = True, "tf32"
    cuda.allow_fp16_reduced_precision_reduction = False, False
    before = precisions()
    assert cuda.allow_bf16_reduced_precision_reduction

    @full_precision(torch.device("cuda"), torch.zeros(1, 2, dtype=torch.bfloat16))
    def fails() -> None:
        assert not cuda.allow_fp16_accumulation
        assert not cuda.allow_bf16_reduced_precision_reduction
        assert cuda.fp32_precision == "ieee"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert precisions() == before


def test_settings_that_are_safe_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Matmul:
        fp32_precision = "none"
        allow_fp16_accumulation = True

        def __setattr__(self, name: str, value: object) -> None:
            raise AssertionError(f"{name} is set to {value}, which other threads would see")

    monkeypatch.setattr(torch.backends.mkldnn, "matmul", Matmul())
    monkeypatch.setattr(torch.backends.cuda, "matmul", Matmul())
    for device in ("cpu", "cuda"):
        with full_precision(torch.device(device), torch.zeros(1, 2)):
            pass


@pytest.mark.usefixtures("own_precisions")
def test_threads_that_rank_at_once_put_the_settings_back() -> None:
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    before = precisions()
    first_in, second_in, first_out = (threading.Event() for _ in range(3))

    def first() -> None:
        with full_precision(torch.device("cpu")):
            first_in.set()
            second_in.wait(0.3)
        first_out.set()

    def second() -> None:
        first_in.wait()
        with full_precision(torch.device("cpu")):
            second_in.set()
            first_out.wait()

    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert precisions() == before


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_vector_that_is_no_vector_is_named(bad: float) -> None:
    queries, corpus = unit(4), unit(5, seed=1)
    corpus[3, 2] = bad
    with pytest.raises(InputError, match="corpus image 3 has a NaN or infinite number"):
        target_ranks(queries, [corpus[:2], corpus[2:]], [0, 1, 2, 3], tile=(2, 2))
    with pytest.raises(InputError, match="corpus image 103 has"):
        counts_before(queries, torch.zeros(4), [0, 1, 2, 3], corpus, 100)
    with pytest.raises(InputError, match="query 3 has a NaN or infinite number"):
        target_ranks(corpus, queries, [0, 0, 0, 0, 0])
    with pytest.raises(InputError, match="target vector 3 has"):
        target_scores(unit(5), corpus)


def test_vectors_too_long_for_float64_are_refused() -> None:
    with pytest.raises(InputError, match="corpus image 1 is longer than 1e\\+150"):
        target_ranks(unit(1, 2), torch.tensor([[1.0, 1.0], [1e200, 0.0]], dtype=torch.float64), [0])


@pytest.mark.parametrize(
    ("queries", "corpus", "targets", "said"),
    [
        (unit(2), unit(3)[:, :5], [0, 1], "64 dimensions and images 5"),
        (unit(2)[0], unit(3), [0, 1], "queries: shape \\[64\\]"),
        (unit(2), unit(3)[0], [0, 1], "corpus: shape \\[64\\]"),
        (unit(2)[:, :0], unit(3)[:, :0], [0, 1], "shape"),
        (unit(2), [unit(3), unit(3, 5)], [0, 1], "64 dimensions in one part and 5"),
        (unit(2), [], [0, 1], "no vectors"),
        (unit(2), unit(3)[:0], [0, 1], "no images"),
        (unit(2), [[1.0, 2.0]], [0, 1], "a list, but vectors are arrays"),
        (unit(2), unit(3).int(), [0, 1], "corpus: int32, but vectors are"),
        (unit(2).numpy().astype(int), unit(3), [0, 1], "int64, but vectors are"),
        (unit(2), unit(3), [0, 3], "target of query 1 is 3: no position in a corpus of 3 images"),
        (unit(2), unit(3), [-1, 0], "target of query 0 is -1"),
        (unit(2), unit(3), [0], "not one position for each of 2 queries"),
        (unit(2), unit(3), [0.0, 1.0], "not one position for each of 2 queries"),
        (unit(2), unit(3), [[0, 1]], "not one position for each of 2 queries"),
    ],
)
def test_what_does_not_fit_together_is_refused(queries: object, corpus: object, targets: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        target_ranks(queries, corpus, targets)


def test_shards_that_cannot_be_counted_are_refused() -> None:
    queries, shard = unit(2), unit(3)
    with pytest.raises(InputError, match="one finite number"):
        counts_before(queries, torch.tensor([0.0, torch.nan]), [0, 1], shard, 0)
    with pytest.raises(InputError, match="one finite number"):
        counts_before(queries, torch.zeros(3), [0, 1], shard, 0)
    with pytest.raises(InputError, match="starts at position -1"):
        counts_before(queries, torch.zeros(2), [0, 1], shard, -1)
    with pytest.raises(InputError, match="2 queries have 3 target vectors"):
        target_scores(queries, shard)
    with pytest.raises(InputError, match="tile is"):
        target_ranks(queries, shard, [0, 1], tile=(0, 5))
