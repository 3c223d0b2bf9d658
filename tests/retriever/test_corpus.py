"""The corpus: an ordered list of images, and their vectors wherever these lie."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from chatir.errors import InputError
from chatir.retriever.index.corpus import (
    Corpus,
    checked_images,
    images_fingerprint,
    read_corpus_list,
    vectors_fingerprint,
)


def unit(count: int, dimension: int = 5, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def names(count: int) -> list[str]:
    return [f"{number}.jpg" for number in range(count)]


def test_a_corpus_knows_its_images_by_their_place_in_the_list() -> None:
    corpus = Corpus.of(["b.jpg", "a/c.jpg", "a.jpg"], unit(3))
    assert (len(corpus), corpus.dimension, corpus.left_out) == (3, 5, ())
    assert [corpus.position(image) for image in corpus.images] == [0, 1, 2]
    assert "a.jpg" in corpus
    assert "c.jpg" not in corpus
    with pytest.raises(KeyError):
        corpus.position("c.jpg")


def test_vectors_come_from_any_shard_in_any_order() -> None:
    rows = unit(11)
    corpus = Corpus(tuple(names(11)), (rows[:4], rows[4:4], rows[4:5], rows[5:]), "00")
    wanted = [10, 0, 4, 4, 3, 5]
    found = corpus.vectors(wanted)
    assert found.dtype == np.float32
    assert np.array_equal(found, rows[wanted])
    assert np.array_equal(corpus.vectors(np.array([7])), rows[[7]])
    assert corpus.vectors([]).shape == (0, 5)
    found[:] = 0
    assert np.array_equal(corpus.vectors(wanted), rows[wanted]), "the corpus keeps its own"


@pytest.mark.parametrize("positions", [[-1], [3], [0, 1, 2, 3]])
def test_no_vector_is_given_for_a_place_outside_the_corpus(positions: list[int]) -> None:
    with pytest.raises(IndexError):
        Corpus.of(names(3), unit(3)).vectors(positions)


def test_the_fingerprint_tells_apart_what_differs_and_nothing_else() -> None:
    rows = unit(6)
    corpus = Corpus.of(names(6), rows)
    shards = (rows[:1], rows[1:4], rows[4:])
    assert corpus.fingerprint == vectors_fingerprint(names(6), shards) == Corpus.of(names(6), rows.copy()).fingerprint
    assert Corpus.of(names(6), torch.tensor(rows)).fingerprint == corpus.fingerprint
    assert Corpus.of(names(6), np.asfortranarray(rows)).fingerprint == corpus.fingerprint
    others = [Corpus.of(names(6)[::-1], rows), Corpus.of(names(6), rows[::-1]), Corpus.of(names(5), rows[:5])]
    assert len({corpus.fingerprint, *(other.fingerprint for other in others)}) == 4


def test_the_fingerprint_of_image_files_is_made_of_their_names_and_hashes() -> None:
    files = [("b.jpg", "11"), ("a.jpg", "22")]
    text = "chatir corpus of images 1\nb.jpg\x0011\na.jpg\x0022\n"
    assert images_fingerprint(files) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("vectors", "told"),
    [
        (unit(2), "are 2, but the images are 3"),
        (unit(3)[0], "shape [5]"),
        (np.ones((3, 0)), "shape [3, 0]"),
        (np.ones((3, 1), dtype=int), "are int64"),
        (unit(3) * [[1], [1.01], [1]], "row 1 has the length 1.01"),
        (unit(3) * [[1], [1], [np.nan]], "not finite in row 2"),
        (unit(3) * [[0], [1], [1]], "row 0 has the length 0"),
    ],
)
def test_what_are_no_unit_vectors_of_the_images_is_refused(vectors: np.ndarray, told: str) -> None:
    with pytest.raises(InputError) as refused:
        Corpus.of(names(3), vectors)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("images", "told"),
    [
        ([], "names no image"),
        (["a.jpg", "b.jpg", "a.jpg"], "'a.jpg' is named twice, as image 0 and 2"),
        (["a.jpg", "/b.jpg"], "image 1 '/b.jpg' is absolute"),
        (["../a.jpg"], "leads out of the image root"),
        (["a\n.jpg"], "holds a control character or a line break"),
        ([" "], "is empty"),
    ],
)
def test_a_list_that_no_corpus_can_have_is_refused_by_name(tmp_path: Path, images: list[str], told: str) -> None:
    path = tmp_path / "corpus.json"
    path.write_text(json.dumps(images))
    with pytest.raises(InputError) as refused:
        read_corpus_list(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match="the corpus"):
        Corpus.of(images, unit(len(images)))


def test_the_released_list_is_a_corpus(shared: Path) -> None:
    images = read_corpus_list(shared / "data" / "chatir" / "ChatIR_Protocol" / "Search_Space_val_50k.json")
    assert (len(images), images[0]) == (50_000, "unlabeled2017/000000000008.jpg")


@pytest.mark.parametrize("again", ["./b/1.png", "b//1.png", "b/./1.png", "b\\1.png"])
def test_an_image_is_not_there_twice_under_two_spellings(again: str) -> None:
    with pytest.raises(InputError, match="is named twice, as image 1 and 2"):
        checked_images(["a.png", "b/1.png", again], "list.json")
    assert checked_images(["a.png", again], "list.json") == ("a.png", again)
    corpus = Corpus.of(["a.png", again], unit(2))
    assert corpus.position("b/1.png") == corpus.position(".\\b/1.png") == 1


def test_an_image_is_found_in_either_form_of_unicode() -> None:
    corpus = Corpus.of(["caf\u00e9.png", "nai\u0308ve.png"], unit(2))
    assert [corpus.position(image) for image in ("cafe\u0301.png", "na\u00efve.png")] == [0, 1]
    with pytest.raises(InputError, match="is named twice"):
        checked_images(["caf\u00e9.png", "cafe\u0301.png"], "list.json")
