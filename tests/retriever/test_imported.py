"""Vectors that were computed elsewhere: taken as they are, or refused in one line."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from retriever.colors import COUNT, DIMENSION, SHARD, Colors, Index, files, rows

from chatir.errors import InputError
from chatir.retriever.index.corpus import Corpus
from chatir.retriever.index.imported import import_vectors
from chatir.retriever.index.indexing import Indexed
from chatir.retriever.index.lookup import open_corpus

pytestmark = pytest.mark.usefixtures("data")

Import = Callable[..., Indexed]


@pytest.fixture
def names() -> list[str]:
    return [f"images/{number}.jpg" for number in range(COUNT)]


@pytest.fixture
def vectors() -> np.ndarray:
    return unit(COUNT)


@pytest.fixture
def take(names: list[str], tmp_path: Path) -> Import:
    """Import what is written into a file of that name."""

    def taken(held: object, file: str = "vectors.pth", **options: object) -> Indexed:
        path = tmp_path / file
        if file.lower().endswith(".npy"):
            with path.open("wb") as opened:
                np.save(opened, held, allow_pickle=True)
        else:
            torch.save(held, path)
        return import_vectors(Colors(), names, path, where="corpus.json", **options)

    return taken


def unit(count: int, dimension: int = DIMENSION) -> np.ndarray:
    found = np.random.default_rng(3).standard_normal((count, dimension))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def told(message: pytest.ExceptionInfo[InputError]) -> str:
    text = str(message.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("file", ["vectors.npy", "vectors.pth", "vectors.pt", "VECTORS.NPY"])
def test_vectors_in_list_order_are_taken_bit_by_bit(
    file: str, take: Import, vectors: np.ndarray, names: list[str]
) -> None:
    held = vectors if file.lower().endswith("npy") else torch.tensor(vectors)
    indexed = take(held, file)
    assert np.array_equal(rows(indexed.corpus), vectors)
    assert indexed.corpus.images == tuple(names)
    assert indexed.corpus.fingerprint == Corpus.of(names, vectors).fingerprint
    assert [len(shard) for shard in indexed.corpus.shards] == [5, 5, 5, 5, 3]


def test_the_released_pair_is_sorted_by_its_ids(take: Import, vectors: np.ndarray) -> None:
    ids = np.random.default_rng(1).permutation(COUNT)
    indexed = take((torch.tensor(ids), torch.tensor(vectors[ids])))
    assert np.array_equal(rows(indexed.corpus), vectors)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.bfloat16])
def test_other_precisions_become_single(dtype: torch.dtype, take: Import, vectors: np.ndarray) -> None:
    notes: list[str] = []
    held = torch.tensor(vectors.astype(np.float64)).to(dtype)
    corpus = take(held, note=notes.append).corpus
    assert rows(corpus).dtype == np.float32
    if dtype != torch.bfloat16:  # which is too coarse to keep a length of 1
        assert notes == []
    assert np.allclose(rows(corpus), held.float().numpy(), atol=5e-3)
    assert np.allclose(np.linalg.norm(rows(corpus).astype(np.float64), axis=1), 1, atol=2e-6)


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_of_any_layout_and_byte_order_is_taken(order: str, take: Import, vectors: np.ndarray) -> None:
    corpus = take(np.array(vectors, dtype=">f8", order=order), "vectors.npy").corpus
    assert np.array_equal(rows(corpus), vectors)


def test_vectors_of_other_lengths_are_normalised_and_that_is_told(
    take: Import, vectors: np.ndarray, tmp_path: Path
) -> None:
    notes: list[str] = []
    corpus = take(np.concatenate([vectors[:3] * 17, vectors[3:]]), "vectors.npy", note=notes.append).corpus
    assert notes == [f"{tmp_path}/vectors.npy: 3 of 23 vectors are not of length 1; they are normalised"]
    assert np.allclose(rows(corpus), vectors, atol=1e-7)
    assert np.array_equal(rows(corpus)[3:], vectors[3:])


def test_an_imported_index_is_complete_and_goes_on_where_it_stopped(take: Import, vectors: np.ndarray) -> None:
    first = take(vectors, "vectors.npy")
    whole = files(first.folder)
    again = take(vectors, "vectors.npy")
    assert (first.imported, again.imported) == (COUNT, 0)
    assert again.folder == first.folder
    (first.folder / "000002.npy").unlink()
    (first.folder / "000004.json").write_bytes(b"")
    assert take(vectors, "vectors.npy").imported == SHARD + 3
    assert files(first.folder) == whole


def test_it_is_found_without_any_images_and_before_those_of_the_data_folder(
    take: Import, vectors: np.ndarray, names: list[str], data: Path
) -> None:
    imported = take(vectors, "vectors.npy").corpus
    (data / "images" / "images").mkdir(parents=True)
    for name in names:
        (data / "images" / name).write_bytes(b"no image, and none is looked at")
    notes: list[str] = []
    opened = open_corpus(Colors(), names, note=notes.append)
    assert opened.fingerprint == imported.fingerprint
    assert [note.partition(";")[0] for note in notes] == ["the vectors of the images are those that were imported"]
    assert np.array_equal(rows(opened), vectors)
    with pytest.raises(InputError, match="23 of 23 images cannot be indexed"):
        open_corpus(Colors(), names, data / "images")
    with pytest.raises(InputError, match="cannot be indexed"):
        open_corpus(Colors("sour"), names)


def test_other_vectors_of_the_same_are_told_at_once_and_refused_when_opened(
    take: Import, vectors: np.ndarray, names: list[str]
) -> None:
    notes: list[str] = []
    first = take(vectors, "vectors.npy")
    take(torch.tensor(vectors), note=notes.append)
    assert notes == [f"{first.folder} holds other vectors of the same images: delete what is not wanted"]
    assert open_corpus(Colors(), names).fingerprint == first.corpus.fingerprint, "two files may hold the same"
    other = take(vectors[::-1].copy(), "vectors.npy", note=notes.append)
    with pytest.raises(InputError) as several:
        open_corpus(Colors(), names)
    assert str(other.folder) in told(several)


def test_damaged_imported_vectors_are_not_made_up_for(take: Import, vectors: np.ndarray, names: list[str]) -> None:
    folder = take(vectors, "vectors.npy").folder
    np.save(folder / "000001.npy", vectors[:5])
    with pytest.raises(InputError) as damaged:
        open_corpus(Colors(), names)
    assert str(folder) in told(damaged)
    assert "import them again" in told(damaged)


def test_an_index_of_images_and_an_imported_one_lie_apart(
    index: Index, collection: tuple[Path, list[str]], tmp_path: Path
) -> None:
    corpus = index(images=collection[1]).corpus
    np.save(tmp_path / "vectors.npy", rows(corpus))
    imported = import_vectors(Colors(), corpus.images, tmp_path / "vectors.npy")
    assert imported.corpus.fingerprint != corpus.fingerprint, "files are known of the one, vectors of the other"
    assert index(images=collection[1]).encoded == 0
    assert json.loads((imported.folder / "index.json").read_text())["root"] == "imported"


def changed(row: int, value: float) -> np.ndarray:
    found = unit(COUNT)
    found[row] = value
    return found


@pytest.mark.parametrize(
    ("held", "message"),
    [
        (unit(22), "corpora of different size: {file} holds 22 vectors, corpus.json names 23 images"),
        (unit(24), "corpora of different size: {file} holds 24 vectors, corpus.json names 23 images"),
        (unit(COUNT, 5), "{file}: holds vectors of 5 numbers, but Colors gives 6; were they computed with another"),
        (changed(9, 0), "{file}: the vector of images/9.jpg (row 9) is zero"),
        (changed(7, np.nan), "{file}: the vector of images/7.jpg (row 7) is not finite"),
        (changed(22, np.inf), "{file}: the vector of images/22.jpg (row 22) is not finite"),
        (unit(COUNT)[0], "{file}: holds float32 numbers of the shape [6], but must hold vectors"),
        (np.ones((COUNT, DIMENSION), dtype=int), "{file}: holds int64 numbers of the shape [23, 6]"),
        (np.ones((COUNT, 0)), "{file}: holds float64 numbers of the shape [23, 0]"),
        (unit(COUNT).astype(complex), "{file}: holds complex128 numbers"),
        (np.array([{}]), "{file}: cannot be read as a numpy array: "),
    ],
)
def test_an_array_that_holds_no_vectors_of_the_corpus_is_refused(
    held: np.ndarray, message: str, take: Import, tmp_path: Path, data: Path
) -> None:
    with pytest.raises(InputError) as refused:
        take(held, "vectors.npy")
    assert told(refused).startswith(message.format(file=tmp_path / "vectors.npy"))
    assert not (data / "indexes").exists(), "nothing of it is kept"


VECTORS = torch.tensor(unit(COUNT))


@pytest.mark.parametrize(
    ("held", "message"),
    [
        (
            (torch.arange(COUNT) + 1, VECTORS),
            "its ids are not the places 0 to 22 of the corpus list, each of them once",
        ),
        ((torch.zeros(COUNT, dtype=torch.int64), VECTORS), "its ids are not the places"),
        ((torch.arange(22), VECTORS), "its ids are not the places"),
        ((torch.arange(COUNT)[None], VECTORS), "its ids are not the places"),
        ((torch.arange(COUNT).float(), VECTORS), "the ids that stand before its vectors are no whole numbers"),
        ((list(range(COUNT)), VECTORS), "the ids that stand before its vectors are no whole numbers"),
        ((VECTORS, torch.arange(COUNT)), "holds int64 numbers of the shape [23]"),
        ({"vectors": VECTORS}, "holds dict, but must hold vectors"),
        ((VECTORS,), "holds tuple, but must hold vectors"),
        (VECTORS.to_sparse(), "holds Tensor, but must hold vectors"),
        ("text", "holds str, but must hold vectors"),
        (None, "holds NoneType, but must hold vectors"),
    ],
)
def test_a_torch_file_that_holds_no_vectors_of_the_corpus_is_refused(
    held: object, message: str, take: Import, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as refused:
        take(held)
    assert told(refused).startswith(f"{tmp_path / 'vectors.pth'}: {message}")


class Code:
    """Runs when a pickle that holds it is loaded without care."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


@pytest.mark.parametrize("save", [torch.save, lambda held, path: path.write_bytes(pickle.dumps(held))])
def test_code_in_a_pickle_is_not_run(
    save: Callable[..., object], names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save((torch.arange(COUNT), Code()), tmp_path / "vectors.pth")
    with pytest.raises(
        InputError, match=r"cannot be read as a torch file of tensors: it .* which is not run"
    ) as refused:
        import_vectors(Colors(), names, tmp_path / "vectors.pth")
    told(refused)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("vectors.npy", b"", "cannot be read as a numpy array"),
        ("vectors.npy", b"text", "cannot be read as a numpy array"),
        ("vectors.pth", b"", "cannot be read as a torch file"),
        ("vectors.pth", b"PK\3\4 torn", "cannot be read as a torch file"),
        ("vectors.npz", b"", "is of no kind that vectors are read from: .npy, .pth or .pt"),
        ("vectors", b"", "is of no kind that vectors are read from"),
        ("vectors.npy", None, "is not there, or is no file"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_in_one_line(
    file: str, content: bytes | None, message: str, names: list[str], tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(InputError) as refused:
        import_vectors(Colors(), names, tmp_path / file)
    assert told(refused).startswith(f"{tmp_path / file}: {message}")


def test_a_torn_array_is_refused(names: list[str], vectors: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", vectors)
    (tmp_path / "vectors.npy").write_bytes((tmp_path / "vectors.npy").read_bytes()[:-4])
    with pytest.raises(InputError, match="cannot be read as a numpy array"):
        import_vectors(Colors(), names, tmp_path / "vectors.npy")
