"""The best images are those that ranks say are the best, in their order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chatir.errors import InputError
from chatir.retriever.ranking import top_images as searching
from chatir.retriever.ranking.ranks import target_ranks
from chatir.retriever.ranking.top_images import top_k


def float64_scores(queries: torch.Tensor, corpus: torch.Tensor) -> torch.Tensor:
    scores = torch.zeros(len(queries), len(corpus), dtype=torch.float64)
    for asked, images in zip(queries.double().T, corpus.double().T, strict=True):
        scores = scores + asked[:, None] * images[None]
    return scores


def vectors(count: int, d: int, seed: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(count, d, generator=torch.Generator().manual_seed(seed)), dim=1)


@given(
    st.integers(0, 10**6),
    st.integers(1, 90),
    st.integers(1, 30) | st.integers(1, 100),
    st.tuples(st.integers(1, 5), st.integers(1, 60)),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
    st.sampled_from(["any", "copies", "neighbors", "few", "falling", "rising"]),
)
def test_the_beginning_of_a_stable_sort(
    seed: int, images: int, k: int, tile: tuple[int, int], dtype: torch.dtype, kind: str
) -> None:
    queries, corpus = vectors(5, 40, seed), vectors(images, 40, seed + 1)
    if kind == "copies":
        corpus = corpus[:1].repeat(images, 1)
    elif kind == "neighbors":
        corpus = corpus[:1] + 3e-8 * corpus
    elif kind == "few":
        corpus = corpus[torch.randint(0, min(3, images), (images,), generator=torch.Generator().manual_seed(seed))]
    elif kind in ("falling", "rising"):
        corpus = corpus[(queries[0] @ corpus.T).argsort(descending=kind == "falling")]
    queries, corpus = queries.to(dtype), corpus.to(dtype)
    expected = float64_scores(queries, corpus).sort(dim=1, descending=True, stable=True)
    for waiting in (1, searching.WAITING):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(searching, "WAITING", waiting)
            scores, positions = top_k(queries, corpus, k, tile=tile)
        assert torch.equal(scores, expected.values[:, :k])
        assert torch.equal(positions, expected.indices[:, :k])


@pytest.mark.parametrize("tile", [None, (50, 100), (50, 5)], ids=str)
def test_neighbors_whose_scores_are_near_zero_are_told_apart(
    tile: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "WAITING", 1)
    center = vectors(1, 200, 0)
    queries, corpus = vectors(50, 200, 1), center + 1e-7 * vectors(400, 200, 2)
    queries = queries - (queries @ center.T) * center  # float32 rounds much more of these scores than they differ by
    expected = float64_scores(queries, corpus).sort(dim=1, descending=True, stable=True)
    assert torch.equal(top_k(queries, corpus, 5, tile=tile)[1], expected.indices[:, :5])


def test_the_image_at_place_c_has_rank_c() -> None:
    queries, corpus = vectors(20, 16, 0), vectors(3000, 16, 1)
    corpus[500:600] = corpus[0]
    _, positions = top_k(queries, [corpus[:7].numpy(), corpus[7:]], 12)
    for place in range(12):
        assert target_ranks(queries, corpus, positions[:, place]).tolist() == [place + 1] * 20


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_tiles_multiplied_as_halves_lose_no_image(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    queries, corpus = vectors(30, 40, 0).to(dtype), vectors(900, 40, 1).to(dtype)
    if dtype == torch.float16:
        queries, corpus = queries * 400, corpus * 400  # some scores are beyond its range
    expected = top_k(queries, corpus, 9)
    monkeypatch.setattr(searching, "tile_type", lambda *_: dtype)
    for width in (100, 900):
        for some, wanted in zip(top_k(queries, corpus, 9, tile=(30, width)), expected, strict=True):
            assert torch.equal(some, wanted)


def test_few_pairs_are_scored_again(monkeypatch: pytest.MonkeyPatch) -> None:
    exact, pairs = searching.pair_scores, []
    monkeypatch.setattr(searching, "pair_scores", lambda *given: pairs.append(len(given[1])) or exact(*given))
    monkeypatch.setattr(searching, "WAITING", 1)
    top_k(vectors(100, 16, 0), vectors(8000, 16, 1), 10, tile=(100, 500))
    assert sum(pairs) < 100 * 80


def test_more_images_than_there_are_is_all_of_them() -> None:
    scores, positions = top_k(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), 10)
    assert scores.tolist() == [[1, 0], [1, 0]]
    assert positions.tolist() == [[0, 1], [1, 0]]
    assert (scores.dtype, positions.dtype) == (torch.float64, torch.int64)


def test_no_queries_find_nothing() -> None:
    scores, positions = top_k(torch.zeros(0, 3), torch.zeros(4, 3), 2)
    assert scores.shape == positions.shape == (0, 2)


@pytest.mark.parametrize(
    ("corpus", "k", "said"),
    [
        (torch.zeros(4, 3), 0, "k is 0"),
        (torch.zeros(0, 3), 1, "no images"),
        (torch.zeros(4, 5), 1, "3 dimensions and images 5"),
        (torch.full((4, 3), torch.nan), 1, "corpus image 0 has a NaN"),
    ],
)
def test_what_cannot_be_searched_is_refused(corpus: torch.Tensor, k: int, said: str) -> None:
    with pytest.raises(InputError, match=said):
        top_k(torch.zeros(1, 3), corpus, k)
