"""An index on disk, when images or its files have changed: never taken for another one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from retriever.colors import COUNT, SHARD, Colors, Index, change, files, rows

from chatir.errors import InputError
from chatir.retriever.index.index_folder import IndexFolder
from chatir.retriever.retriever import Identity


def test_a_changed_image_has_its_shard_encoded_again_and_makes_another_corpus(
    index: Index, images: Path, names: list[str]
) -> None:
    before = index().corpus
    change(images / names[7])
    retriever = Colors()
    after = index(retriever)
    assert after.encoded == SHARD
    assert after.corpus.fingerprint != before.fingerprint
    assert np.array_equal(after.corpus.vectors([7]), Colors().encode_images([images / names[7]]).numpy())
    others = [position for position in range(COUNT) if position != 7]
    assert np.array_equal(after.corpus.vectors(others), before.vectors(others))


def test_a_file_of_the_same_size_is_known_by_its_time(index: Index, images: Path, names: list[str]) -> None:
    content = (images / names[2]).read_bytes()
    (images / names[2]).write_bytes(content + b"1")
    before = index()
    (images / names[2]).write_bytes(content + b"2")
    os.utime(images / names[2], ns=(0, 10**9))
    after = index()
    assert after.encoded == SHARD
    assert after.corpus.fingerprint != before.corpus.fingerprint


def test_touched_images_are_hashed_once_and_not_encoded(
    index: Index, images: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = index()
    for name in names[3:9]:
        os.utime(images / name, ns=(0, 10**9))
    touched = index()
    assert touched.encoded == 0
    assert touched.corpus.fingerprint == before.corpus.fingerprint
    monkeypatch.setattr("chatir.storage.image_folder.ImageFolder.read", lambda *given: pytest.fail("reads an image"))
    assert index().encoded == 0


def test_a_list_another_config_or_root_has_an_index_of_its_own(index: Index, images: Path, names: list[str]) -> None:
    moved = shutil.copytree(images, images.parent / "moved")
    made = [index(), index(images=names[:-1]), index(images=names[::-1]), index(Colors("sour")), index(root=moved)]
    assert len({one.folder for one in made}) == 5
    assert index().encoded == 0, "none has touched another"


DAMAGES: dict[str, Callable[[Path], object]] = {
    "torn": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "a bit": lambda path: path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1])),
    "another shape": lambda path: np.save(path, np.load(path)[:-1]),
    "another dimension": lambda path: np.save(path, np.load(path)[:, :-1]),
    "the same bytes in rows of another length": lambda path: np.save(path, np.load(path).reshape(-1, 3)),
    "another order of bytes": lambda path: np.save(path, np.load(path).astype(">f4")),
    "columns first": lambda path: np.save(path, np.asfortranarray(np.load(path))),
    "objects": lambda path: np.save(path, np.array([{}]), allow_pickle=True),
    "no array": lambda path: path.write_bytes(b"x" * 500),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_vectors_are_made_again(damage: Callable[[Path], object], index: Index) -> None:
    before = index()
    whole = files(before.folder)
    damage(before.folder / "000002.npy")
    assert index().encoded == SHARD
    assert files(before.folder) == whole


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]", b"\xff", b'{"key": 1}'])
def test_a_damaged_sidecar_is_made_again_with_its_vectors(content: bytes, index: Index) -> None:
    before = index()
    whole = files(before.folder)
    (before.folder / "000004.json").write_bytes(content)
    assert index().encoded == 3
    assert files(before.folder) == whole


def test_files_of_another_index_or_of_another_shard_are_not_taken(index: Index) -> None:
    here, other = index(), index(Colors("sour"))
    whole = files(here.folder)
    for suffix in ("npy", "json"):
        shutil.copy(other.folder / f"000001.{suffix}", here.folder)
        shutil.copy(here.folder / f"000003.{suffix}", here.folder / f"000000.{suffix}")
    assert index().encoded == 2 * SHARD
    assert files(here.folder) == whole


def test_vectors_of_one_moment_are_not_taken_with_the_records_of_another(
    index: Index, images: Path, names: list[str]
) -> None:
    """As a kill between the two files leaves them, and the image then is what it was once more."""
    before = index()
    records = (before.folder / "000001.json").read_bytes()
    first = (images / names[6]).read_bytes()
    change(images / names[6])
    index()
    (before.folder / "000001.json").write_bytes(records)
    (images / names[6]).write_bytes(first)
    again = index()
    assert again.encoded == SHARD
    assert np.array_equal(rows(again.corpus), rows(before.corpus))


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("image_config", {"flavor": "sour"}, "'image_config'"),
        ("retriever", "Colours", "'retriever'"),
        ("list_sha256", "0", "'list_sha256'"),
        ("images", COUNT + 1, "'images'"),
        ("root", "/elsewhere", "'root'"),
        ("format", 0, "'format'"),
        ("shard_size", 0, "shard_size is 0"),
        ("shard_size", "many", "shard_size is 'many'"),
    ],
)
def test_a_folder_that_says_it_is_of_another_index_is_refused(key: str, value: object, told: str, index: Index) -> None:
    path = index().folder / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(InputError) as refused:
        index()
    assert told in str(refused.value)
    assert f"delete the folder {path.parent}" in str(refused.value)
    shutil.rmtree(path.parent)
    assert index().encoded == COUNT


@pytest.mark.parametrize("content", ["", "{", "[]", "null"])
def test_an_unreadable_index_json_is_told_with_the_way_out(content: str, index: Index) -> None:
    path = index().folder / "index.json"
    path.write_text(content)
    with pytest.raises(InputError, match="delete the folder") as refused:
        index()
    assert str(path) in str(refused.value)


def test_a_lost_index_json_is_written_again(index: Index) -> None:
    path = index().folder / "index.json"
    content = path.read_bytes()
    path.unlink()
    assert index().encoded == 0
    assert path.read_bytes() == content


def test_a_blocked_data_folder_is_told_by_name(index: Index, data: Path) -> None:
    data.write_text("in the way")
    with pytest.raises(InputError, match=f"{data}/indexes/Colors-"):
        index()


def test_a_shard_that_cannot_be_written_is_told_by_name(index: Index) -> None:
    folder = index().folder
    (folder / "000001.npy").unlink()
    (folder / "000001.npy").mkdir()
    with pytest.raises(InputError, match=f"{folder}/000001.npy"):
        index()


def test_shards_that_do_not_go_together_are_all_made_again(index: Index, images: Path, names: list[str]) -> None:
    """As two versions of a retriever leave them, that told the same of themselves, at work at once."""
    whole = files(index().folder)
    made = IndexFolder.of(Identity.of(Colors()), tuple(names), images)
    third = made.shard_files()[2]
    third.write(third.read().records, np.eye(9, dtype=np.float32)[:SHARD])
    assert made.read() is None
    assert index().encoded == COUNT
    assert files(made.folder) == whole
