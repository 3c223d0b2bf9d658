"""Images that are missing or broken: named, or left out, and never a vector that means nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from retriever import colors
from retriever.colors import COUNT, SHARD, Colors, Index, change, damage_images, rows

from chatir.errors import InputError


def test_broken_images_fail_once_all_others_are_encoded(index: Index, images: Path, names: list[str]) -> None:
    damage_images(images, names, 3, 12)
    retriever = Colors()
    with pytest.raises(InputError) as failed:
        index(retriever)
    assert sum(retriever.encoded) == COUNT - 2
    message = str(failed.value)
    assert message.startswith(f"2 of 23 images cannot be indexed: {names[3]}: is not an image; {names[12]}: ")
    assert "--on-broken skip" in message
    notes: list[str] = []
    skipped = index(on_broken="skip", note=notes.append)
    assert skipped.encoded == 0, "what was good is indexed either way"
    (note,) = notes
    assert note.startswith("2 of 23 images are left out: ")
    with pytest.raises(InputError, match="2 of 23"):
        index()


def test_what_is_left_out_has_no_vector_and_moves_no_other(index: Index, images: Path, names: list[str]) -> None:
    before = index().corpus
    damage_images(images, names, 0, 11)
    (images / names[22]).unlink()
    after = index(on_broken="skip").corpus
    good = [position for position in range(COUNT) if position not in (0, 11, 22)]
    assert after.images == tuple(names[position] for position in good)
    assert after.left_out == (names[0], names[11], names[22])
    assert [after.position(names[position]) for position in good] == list(range(20))
    assert np.array_equal(rows(after), before.vectors(good))
    assert after.fingerprint != before.fingerprint


def test_a_shard_of_broken_images_only_has_no_vectors(index: Index, images: Path, names: list[str]) -> None:
    damage_images(images, names, *range(5, 10))
    corpus = index(on_broken="skip").corpus
    assert len(corpus) == COUNT - 5
    assert index(on_broken="skip").encoded == 0
    assert corpus.vectors([4, 5]).shape == (2, colors.DIMENSION)
    change(images / names[5])
    assert len(index(on_broken="skip").corpus) == COUNT - 4


def test_ten_broken_images_are_named_and_the_rest_counted(index: Index, images: Path, names: list[str]) -> None:
    damage_images(images, names, *range(12))
    with pytest.raises(InputError) as failed:
        index()
    assert str(failed.value).count(": is not an image") == 10
    assert "; and 2 more. " in str(failed.value)


def test_no_corpus_is_left_where_all_images_are_broken(index: Index, images: Path, names: list[str]) -> None:
    damage_images(images, names, *range(COUNT))
    with pytest.raises(InputError, match="23 of 23 images cannot be indexed, so nothing is left"):
        index(on_broken="skip")


def test_a_mended_image_joins_the_corpus(index: Index, images: Path, names: list[str]) -> None:
    whole = index().corpus
    content = (images / names[3]).read_bytes()
    damage_images(images, names, 3)
    index(on_broken="skip")
    (images / names[3]).write_bytes(content)
    mended = index()
    assert mended.corpus.fingerprint == whole.fingerprint
    assert mended.encoded == SHARD


def test_an_image_that_can_now_be_read_joins_though_its_file_is_as_it_was(index: Index, names: list[str]) -> None:
    class Picky(Colors):
        def prepare(self, image: Image.Image) -> np.ndarray:
            raise ValueError("not today")

    with pytest.raises(InputError, match="Colors cannot prepare it: ValueError: not today"):
        index(Picky())
    assert index().encoded == COUNT


def test_missing_images_are_told_before_and_fail_after_all_others_are_encoded(
    index: Index, images: Path, names: list[str]
) -> None:
    (images / names[4]).unlink()
    notes: list[str] = []
    retriever = Colors()
    retriever.encode_dialogs = retriever.encode_images = None

    def encode(prepared: Sequence[np.ndarray]) -> torch.Tensor:
        assert notes == [f"1 of 23 images are missing in {images}, or may not be looked at, {names[4]} for one"]
        return Colors.encode_prepared(retriever, prepared)

    retriever.encode_prepared = encode
    with pytest.raises(InputError, match=f"1 of 23 images cannot be indexed: {names[4]}: is not in {images}"):
        index(retriever, note=notes.append)
    assert sum(retriever.encoded) == COUNT - 1


def test_an_image_that_is_lost_for_a_time_costs_no_shard(index: Index, images: Path, names: list[str]) -> None:
    first = index()
    (images / names[4]).rename(images / "elsewhere")
    with pytest.raises(InputError, match=f"{names[4]}: is not in"):
        index(retriever := Colors())
    assert retriever.encoded == []
    (images / "elsewhere").rename(images / names[4])
    again = index()
    assert again.encoded == 0
    assert again.corpus.fingerprint == first.corpus.fingerprint


def test_a_folder_without_any_of_the_images_is_refused_with_the_one_that_was_meant(
    index: Index, images: Path, data: Path
) -> None:
    with pytest.raises(InputError) as below:
        index(root=images / "deep", images=["deep/x.png", "deep/y.png"])
    assert "holds none of the 2 images of the corpus, deep/x.png for one; name another --images" in str(below.value)
    inner = sorted(path.name for path in (images / "deep").iterdir())
    with pytest.raises(InputError, match=f"; name --images {images}$"):
        index(root=images / "deep", images=[f"deep/{inner[0]}"])
    with pytest.raises(InputError, match=f"; name --images {images / 'deep'}$"):
        index(images=inner)
    with pytest.raises(InputError, match="is no folder of images"):
        index(root=images / "nowhere")
    assert not (data / "indexes").exists()


def test_nothing_outside_of_the_folder_is_opened(index: Index, images: Path, names: list[str], tmp_path: Path) -> None:
    change(tmp_path / "secret.png")
    (images / names[0]).unlink()
    (images / names[0]).symlink_to(tmp_path / "secret.png")
    with pytest.raises(InputError, match=f"{names[0]}: a link leads out of"):
        index()
