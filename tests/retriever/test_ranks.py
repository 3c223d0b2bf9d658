"""A rank is the place of the target in a stable sort by the float64 score, however it is counted."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from chatir.errors import InputError
from chatir.models.hardware.fp32 import take_all_threads
from chatir.retriever.ranking import ranks as counting
from chatir.retriever.ranking.blocks import Block
from chatir.retriever.ranking.ranks import counts_before, target_ranks, target_scores

TYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def float64_scores(queries: torch.Tensor, corpus: torch.Tensor) -> np.ndarray:
    """The definition, pair by pair: products in float64, added in the order of the dimensions."""
    asked, images = queries.double().numpy(), corpus.double().numpy()
    scores = np.zeros((len(asked), len(images)))
    for dimension in range(asked.shape[1]):
        scores = scores + asked[:, dimension, None] * images[None, :, dimension]
    return scores


def sorted_ranks(queries: torch.Tensor, corpus: torch.Tensor, targets: list[int]) -> list[int]:
    """Places of the targets, from 1, in a stable sort of the whole corpus."""
    orders = np.argsort(-float64_scores(queries, corpus), axis=1, kind="stable").tolist()
    return [order.index(target) + 1 for order, target in zip(orders, targets, strict=True)]


def near(rng: np.random.Generator, vector: np.ndarray, ulps: int) -> np.ndarray:
    """A vector some units in the last place away, in one or in all of its numbers."""
    moved = vector.copy()
    some = slice(None) if rng.random() < 0.5 else slice(int(rng.integers(len(vector))), None, len(vector))
    for _ in range(ulps):
        moved[some] = np.nextafter(moved[some], np.float32(rng.choice([-9, 9])))
    return moved


@st.composite
def searches(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Queries, images and targets; images are copies and neighbors of few vectors, of any scale and type."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    d = draw(st.sampled_from([1, 2, 7, 33, 130]))
    images, queries = draw(st.integers(1, 60)), draw(st.integers(1, 6))
    dtype = draw(st.sampled_from(TYPES))
    centers = rng.normal(size=(3, d)).astype(np.float32)
    if draw(st.booleans()):
        centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    kinds = draw(st.lists(st.sampled_from(["copy", "ulp", "close", "zero", "any", "negative"]), min_size=1, max_size=4))
    made = {
        "copy": lambda center: center,
        "ulp": lambda center: near(rng, center, int(rng.integers(1, 3))),
        "close": lambda center: center + np.float32(1e-7) * rng.normal(size=d).astype(np.float32),
        "zero": np.zeros_like,
        "any": lambda center: rng.normal(size=d).astype(np.float32),
        "negative": lambda center: -center,
    }
    corpus = np.stack([made[str(rng.choice(kinds))](centers[int(rng.integers(3))]) for _ in range(images)])
    asked = centers[rng.integers(3, size=queries)] + rng.normal(size=(queries, d)).astype(np.float32)
    high, low = {torch.float16: (30, -1e-7), torch.float64: (1e60, 1e-200)}.get(dtype, (1e18, 1e-41))
    scale = draw(st.sampled_from([1.0, 1.0, 1.0, high, low]))
    scaled = torch.from_numpy(corpus).double() * scale
    targets = draw(st.lists(st.integers(0, images - 1), min_size=queries, max_size=queries))
    return torch.from_numpy(asked).to(dtype), scaled.to(dtype), targets


@given(searches(), st.tuples(st.integers(1, 7), st.integers(1, 70)))
def test_ranks_are_the_places_in_a_stable_sort(search: tuple, tile: tuple[int, int]) -> None:
    queries, corpus, targets = search
    expected = sorted_ranks(queries, corpus, targets)
    assert target_ranks(queries, corpus, targets).tolist() == expected
    assert target_ranks(queries, corpus, targets, tile=tile).tolist() == expected


@given(searches(), st.lists(st.integers(0, 60), max_size=4), st.randoms())
def test_counts_of_shards_in_any_order_add_up_to_the_ranks(search: tuple, cuts: list[int], random: object) -> None:
    queries, corpus, targets = search
    edges = sorted({0, len(corpus), *(cut for cut in cuts if cut < len(corpus))})
    shards = list(pairwise(edges))
    random.shuffle(shards)
    scores = target_scores(queries, corpus[targets])
    counts = [counts_before(queries, scores, targets, corpus[low:high], low) for low, high in shards]
    assert (1 + sum(counts)).tolist() == sorted_ranks(queries, corpus, targets)


@given(searches(), st.tuples(st.integers(1, 7), st.integers(1, 70)))
def test_tiles_multiplied_as_halves_change_no_rank(search: tuple, tile: tuple[int, int]) -> None:
    queries, corpus, targets = search
    queries, corpus = queries.to(torch.bfloat16), corpus.to(torch.bfloat16)
    assume(corpus.isfinite().all())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "tile_type", lambda *_: torch.bfloat16)
        assert target_ranks(queries, corpus, targets, tile=tile).tolist() == sorted_ranks(queries, corpus, targets)


def test_scores_beyond_the_range_of_float16_change_no_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "tile_type", lambda *_: torch.float16)
    queries = torch.full((3, 1), 300.0, dtype=torch.float16)
    corpus = torch.tensor([200, 218, 218.5, 219, 250, 240, -400, -300], dtype=torch.float16)[:, None]
    assert target_ranks(queries, corpus, [4, 5, 6]).tolist() == [1, 2, 8]


def unit(count: int, d: int = 64, seed: int = 0) -> torch.Tensor:
    vectors = torch.randn(count, d, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(vectors, dim=1)


@pytest.fixture(scope="module")
def search() -> tuple[torch.Tensor, torch.Tensor, list[int], list[int]]:
    """More queries and images than a tile takes by itself; half of the images are neighbors of one vector."""
    queries, corpus = unit(2100, 16), unit(2500, 16, seed=1)
    corpus[::2] = corpus[0] + 1e-7 * corpus[::2]
    targets = [number * 7 % 2500 for number in range(2100)]
    return queries, corpus, targets, sorted_ranks(queries, corpus, targets)


@pytest.mark.parametrize("tile", [None, (2100, 2500), (100, 2040), (999, 1), (64, 2041)], ids=str)
def test_tiles_never_change_a_rank(search: tuple, tile: tuple[int, int] | None) -> None:
    queries, corpus, targets, expected = search
    assert target_ranks(queries, corpus, targets, tile=tile).tolist() == expected


def test_byte_counters_do_not_run_over_when_all_images_come_before(search: tuple) -> None:
    corpus = torch.ones(40_000, 1)
    corpus[-1] = -1
    assert target_ranks(torch.ones(1, 1), corpus, [39_999]).tolist() == [40_000]
    assert target_ranks(torch.ones(1, 1), corpus, [39_999], tile=(1, 40_000)).tolist() == [40_000]


def test_copies_of_the_target_rank_in_corpus_order() -> None:
    queries, corpus = unit(1).repeat(5, 1), unit(1, seed=1).repeat(5, 1)
    assert target_ranks(queries, corpus, range(5)).tolist() == [1, 2, 3, 4, 5]


def test_a_corpus_of_copies_alone_is_scored_in_bounded_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    exact, most = counting.pair_scores, []
    monkeypatch.setattr(counting, "pair_scores", lambda *pairs: most.append(len(pairs[1])) or exact(*pairs))
    queries, corpus = unit(700, 2), unit(1, 2).repeat(1100, 1)
    targets = list(range(700))
    assert target_ranks(queries, corpus, targets, tile=(64, 500)).tolist() == [number + 1 for number in targets]
    assert sum(most) == 700 * 1100 + 700
    assert max(most) <= counting.PENDING + 64 * 500


def test_scores_that_differ_below_float32_alone_are_told_apart() -> None:
    queries = torch.tensor([[1.0, 2**-30]])
    corpus = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    assert target_ranks(queries.repeat(3, 1), corpus, [0, 1, 2]).tolist() == [3, 2, 1]


@pytest.mark.parametrize("scale", [2.0**-140, 2.0**-149, 2.0**126], ids=["denormal", "least", "greatest"])
def test_vectors_at_the_ends_of_float32_rank_as_others_do(scale: float) -> None:
    corpus = (torch.randint(-3, 4, (50, 8), generator=torch.Generator().manual_seed(0)).double() * scale).float()
    queries, targets = corpus[:10].contiguous(), list(range(20, 30))
    expected = sorted_ranks(queries.double() / scale, corpus.double() / scale, targets)
    assert target_ranks(queries, corpus, targets).tolist() == expected


@pytest.mark.parametrize(("long", "short"), [(1.0, 1.0), (1e147, 1e-170), (1e-170, 1e147)])
def test_near_ties_in_float64_are_told_apart_at_any_scale(long: float, short: float) -> None:
    numbers = torch.Generator().manual_seed(0)
    queries = torch.randn(6, 130, dtype=torch.float64, generator=numbers)
    images = torch.ones(60, 130, dtype=torch.float64) + 2**-52 * torch.randint(0, 3, (60, 130), generator=numbers)
    queries, images, targets = queries * long, images * short, list(range(6))
    assert target_ranks(queries, images, targets).tolist() == sorted_ranks(queries, images, targets)


def test_one_very_long_image_does_not_blur_the_others(search: tuple) -> None:
    corpus = torch.cat([unit(30), 1e30 * unit(1, seed=2), unit(30, seed=3)])
    queries, targets = unit(40, seed=4), list(range(5, 45))
    assert target_ranks(queries, corpus, targets).tolist() == sorted_ranks(queries, corpus, targets)


def test_the_released_evaluation_s_ranks(shared: Path) -> None:
    stored = np.load(shared / "fixtures" / "ranking" / "ranks.npz")
    ranks = [target_ranks(queries, stored["corpus"], stored["targets"]) for queries in stored["queries"]]
    assert np.array_equal(np.stack(ranks), stored["ranks"] + 1)


def test_what_holds_the_vectors_does_not_matter(search: tuple, tmp_path: Path) -> None:
    queries, corpus, targets, expected = search
    np.save(tmp_path / "a.npy", corpus[:1300].numpy())
    np.save(tmp_path / "b.npy", corpus[1300:].numpy())
    mapped = [np.load(tmp_path / name, mmap_mode="r") for name in ("a.npy", "b.npy")]
    wide = torch.zeros(2500, 48)
    wide[:, ::3] = corpus
    columns = np.asfortranarray(corpus.numpy())
    swapped = corpus.numpy().astype(">f4")
    parts = [corpus[:10], corpus[:0], *mapped[0][10:][None], mapped[1]]
    for held in (mapped, wide[:, ::3], columns, swapped, corpus.numpy()[::-1].copy()[::-1], parts):
        assert target_ranks(queries, held, targets).tolist() == expected
    asked = queries.numpy().copy()
    asked.flags.writeable = False
    ranks = target_ranks(asked, mapped, np.array(targets, dtype=np.int32))
    assert ranks.tolist() == expected
    assert (ranks.dtype, ranks.device.type) == (torch.int64, "cpu")


def test_of_a_memory_map_only_the_block_in_work_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = unit(3000, 4)
    read, sizes = Block.read, []

    def watched(block: Block, device: torch.device) -> object:
        images = read(block, device)
        sizes.append(len(images.vectors))
        return images

    monkeypatch.setattr(Block, "read", watched)
    np.save(tmp_path / "all.npy", corpus.numpy())
    target_ranks(unit(5, 4), np.load(tmp_path / "all.npy", mmap_mode="r"), [0] * 5, tile=(5, 256))
    assert max(sizes) == 256
    assert sum(sizes) == 3000


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    assert torch.get_num_threads() == 3, "what a process has set is left as it was"
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
def test_threads_that_share_the_blocks_change_no_rank() -> None:
    queries, corpus, targets = unit(40, 8), unit(5000, 8, seed=1), list(range(0, 5000, 125))
    expected = sorted_ranks(queries, corpus, targets)
    assert target_ranks(queries, corpus, targets, tile=(16, 70)).tolist() == expected
    assert target_ranks(queries, [corpus[:30], corpus[30:]], targets).tolist() == expected


@pytest.mark.usefixtures("three_threads")
def test_of_several_wrong_vectors_the_first_is_named_whichever_thread_meets_it() -> None:
    corpus = unit(900, 8)
    corpus[[250, 260, 700]] = torch.nan
    for _ in range(20):
        with pytest.raises(InputError, match="corpus image 250 has a NaN"):
            target_ranks(unit(4, 8), corpus, [1, 2, 3, 4], tile=(4, 10))


@pytest.mark.usefixtures("three_threads")
def test_a_thread_that_begins_to_compute_meanwhile_has_all_threads_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    read, begun, found = Block.read, [], []

    def begin() -> None:
        take_all_threads()
        found.append(torch.get_num_threads())

    def reading(block: Block, device: torch.device) -> object:
        if not begun:
            begun.append(Thread(target=begin))
            begun[0].start()
            time.sleep(0.05)
        return read(block, device)

    monkeypatch.setattr(Block, "read", reading)
    target_ranks(unit(4, 8), unit(300, 8), [1, 2, 3, 4], tile=(4, 10))
    begun[0].join()
    assert found == [3]


@pytest.mark.usefixtures("three_threads")
def test_ctrl_c_ends_the_counting_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    read, blocks_read = Block.read, []

    def slowly(block: Block, device: torch.device) -> object:
        blocks_read.append(block)
        if len(blocks_read) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        return read(block, device)

    monkeypatch.setattr(Block, "read", slowly)
    with pytest.raises(KeyboardInterrupt):
        target_ranks(unit(4, 8), unit(3000, 8), [1, 2, 3, 4], tile=(4, 10))
    assert len(blocks_read) < 100


def test_queries_and_images_may_be_of_different_types() -> None:
    queries, corpus, targets = unit(6), unit(40, seed=1), [0, 5, 11, 39, 2, 3]
    for asked in TYPES:
        parts = [corpus[:13].to(torch.float16), corpus[13:20].to(torch.bfloat16), corpus[20:].double()]
        whole = torch.cat([part.double() for part in parts])
        expected = sorted_ranks(queries.to(asked), whole, targets)
        assert target_ranks(queries.to(asked), parts, targets).tolist() == expected


def test_no_queries_have_no_ranks() -> None:
    ranks = target_ranks(torch.zeros(0, 3), torch.zeros(4, 3), [])
    assert ranks.shape == (0,)
    assert ranks.dtype == torch.int64


def test_vectors_that_are_being_trained_are_ranked() -> None:
    queries = unit(3).requires_grad_()
    ranks = target_ranks(queries, unit(9).requires_grad_(), [0, 1, 2])
    assert ranks.tolist() == [1, 1, 1]
    assert not ranks.requires_grad


def test_the_python_of_the_scale_page_counts_the_same_ranks(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "explanation" / "scale.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out == "True\n"
