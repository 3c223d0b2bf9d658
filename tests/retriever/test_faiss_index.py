"""An index finds what top_k finds, where it looks, and gives it the same scores and order."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from chatir.errors import InputError
from chatir.retriever.ranking.faiss_index import FaissIndex
from chatir.retriever.ranking.top_images import top_k

faiss = pytest.importorskip("faiss")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    faiss.omp_set_num_threads(1)


def vectors(count: int, seed: int) -> torch.Tensor:
    numbers = torch.randn(count, 24, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(numbers, dim=1)


@pytest.fixture(scope="module")
def corpus() -> torch.Tensor:
    """Images with copies and near copies among them."""
    images = vectors(2000, 0)
    images[300:340] = images[0]
    images[700:740] = images[1] + 2e-8 * images[700:740]
    return images


def queries(corpus: torch.Tensor) -> torch.Tensor:
    return torch.cat([vectors(20, 5), corpus[:2], corpus[700:702]])


def same(found: tuple[torch.Tensor, torch.Tensor], wanted: tuple[torch.Tensor, torch.Tensor]) -> bool:
    return torch.equal(found[0], wanted[0]) and torch.equal(found[1], wanted[1])


@pytest.mark.parametrize("k", [1, 10, 30, 5000])
def test_a_flat_index_gives_what_top_k_gives(corpus: torch.Tensor, k: int) -> None:
    assert same(FaissIndex.build(corpus).top_k(queries(corpus), k), top_k(queries(corpus), corpus, k))


def test_an_inverted_file_with_all_lists_probed_gives_what_top_k_gives(corpus: torch.Tensor) -> None:
    index = FaissIndex.build([corpus[:900].numpy(), corpus[900:]], "IVF16,Flat")
    assert same(index.top_k(queries(corpus), 30, probes=16), top_k(queries(corpus), corpus, 30))


def test_few_probes_miss_images_but_not_their_scores_and_order(corpus: torch.Tensor) -> None:
    asked = queries(corpus)
    scores, positions = FaissIndex.build(corpus, "IVF16,Flat").top_k(asked, 10, probes=2)
    all_scores, order = top_k(asked, corpus, 2000)
    missed = 0
    for row in range(len(asked)):
        found = [place for place in order[row].tolist() if place in set(positions[row].tolist())]
        assert positions[row].tolist() == found
        known = dict(zip(order[row].tolist(), all_scores[row].tolist(), strict=True))
        assert scores[row].tolist() == [known[place] for place in found]
        missed += positions[row].tolist() != order[row, :10].tolist()
    assert 0 < missed < len(asked)


def test_where_too_few_images_are_found_places_stay_empty(corpus: torch.Tensor) -> None:
    scores, positions = FaissIndex.build(corpus, "IVF16,Flat").top_k(vectors(3, 5), 1500, probes=1)
    assert (positions[:, -1] == -1).all()
    assert (scores[positions == -1] == -torch.inf).all()
    assert (scores[positions >= 0] > -torch.inf).all()


def test_a_saved_index_finds_the_same(corpus: torch.Tensor, tmp_path: Path) -> None:
    index = FaissIndex.build(corpus, "IVF16,Flat")
    index.save(tmp_path / "a.faiss")
    np.save(tmp_path / "corpus.npy", corpus.numpy())
    loaded = FaissIndex.load(tmp_path / "a.faiss", np.load(tmp_path / "corpus.npy", mmap_mode="r"))
    assert same(loaded.top_k(queries(corpus), 9, probes=4), index.top_k(queries(corpus), 9, probes=4))


def test_the_index_of_another_corpus_is_refused(corpus: torch.Tensor, tmp_path: Path) -> None:
    FaissIndex.build(corpus).save(tmp_path / "a.faiss")
    for other in (corpus[:-1], corpus.flip(0)):
        with pytest.raises(InputError, match=r"a\.faiss: is the index of another corpus"):
            FaissIndex.load(tmp_path / "a.faiss", other)


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-50], lambda data: b"[]\n" + data])
def test_a_damaged_file_is_refused(corpus: torch.Tensor, tmp_path: Path, damage: object) -> None:
    path = tmp_path / "a.faiss"
    FaissIndex.build(corpus).save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"a\.faiss: is no index"):
        FaissIndex.load(path, corpus)
    with pytest.raises(InputError, match="no such file"):
        FaissIndex.load(tmp_path / "b.faiss", corpus)


def test_half_precision_vectors_are_indexed_as_they_are(corpus: torch.Tensor) -> None:
    images, asked = corpus.half(), queries(corpus).half()
    assert same(FaissIndex.build(images).top_k(asked, 10), top_k(asked, images, 10))


@pytest.mark.parametrize(
    ("images", "factory", "said"),
    [
        (vectors(50, 0), "Nonsense", "factory 'Nonsense'"),
        (vectors(5, 0), "IVF16,Flat", "factory 'IVF16,Flat' with 5 images"),
        (vectors(50, 0).double(), "auto", "float64 corpus would be rounded"),
        (vectors(0, 0), "auto", "no images"),
        (vectors(50, 0) * torch.nan, "auto", "corpus image 0 has a NaN"),
    ],
)
def test_what_cannot_be_indexed_is_refused(images: torch.Tensor, factory: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        FaissIndex.build(images, factory)


def test_what_cannot_be_searched_is_refused(corpus: torch.Tensor) -> None:
    index = FaissIndex.build(corpus)
    with pytest.raises(InputError, match="k is 0"):
        index.top_k(corpus, 0)
    with pytest.raises(InputError, match="probes is 0"):
        index.top_k(corpus, 1, probes=0)
    with pytest.raises(InputError, match="float64 queries would be rounded"):
        index.top_k(corpus.double(), 1)
    with pytest.raises(InputError, match="too long for FAISS"):
        index.top_k(corpus * 1e38, 1)
    with pytest.raises(InputError, match="5 dimensions and images 24"):
        index.top_k(corpus[:, :5], 1)


def test_without_faiss_the_way_to_install_it_is_told(corpus: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(InputError, match=r"pip install 'chatir\[faiss\]'"):
        FaissIndex.build(corpus)
