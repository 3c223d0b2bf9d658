"""The index of an image folder: made as it goes, continued, and found again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from retriever import colors
from retriever.colors import COUNT, SHARD, Colors, FilesOnly, Index, change, damage_images, files, rows

from chatir.errors import InputError
from chatir.retriever.index import index_folder
from chatir.retriever.index.lookup import open_corpus


def test_each_image_has_the_vector_that_the_retriever_gives_of_its_file(
    index: Index, images: Path, names: list[str]
) -> None:
    indexed = index()
    corpus = indexed.corpus
    assert corpus.images == tuple(names)
    assert [len(shard) for shard in corpus.shards] == [5, 5, 5, 5, 3]
    assert all(isinstance(shard, np.memmap) and shard.dtype == np.float32 for shard in corpus.shards)
    for position, name in enumerate(names):
        alone = Colors().encode_images([images / name]).numpy()
        assert np.array_equal(corpus.vectors([position]), alone), name
    assert len(np.unique(rows(corpus), axis=0)) == COUNT
    assert indexed.encoded == COUNT


@pytest.mark.parametrize("made", [Colors, FilesOnly])
def test_the_file_in_another_form_of_unicode_is_the_image(
    index: Index, tmp_path: Path, made: Callable[[], Any]
) -> None:
    file = tmp_path / "here" / "cafe\u0301.png"
    file.parent.mkdir()
    change(file)
    expected = Colors().encode_images([file])
    retriever = made()
    retriever.encode_images = lambda paths: expected if [path.read_bytes() for path in paths] else None
    corpus = index(retriever, file.parent, images=["caf\u00e9.png"]).corpus
    assert corpus.images == ("caf\u00e9.png",)
    assert np.array_equal(rows(corpus), expected.numpy())


def test_on_disk_it_is_numpy_s_files_and_what_they_are_of(
    index: Index, images: Path, names: list[str], data: Path
) -> None:
    folder = index().folder
    assert folder.parent == data / "indexes"
    shards = [np.load(folder / f"{number:06d}.npy", mmap_mode="r") for number in range(5)]
    assert sum(map(len, shards)) == COUNT
    told = json.loads((folder / "index.json").read_text())
    assert (told["retriever"], told["image_config"], told["images"]) == ("Colors", {"flavor": ""}, COUNT)
    assert told["root"] == str(images)
    assert folder.name.startswith("Colors-")
    record = json.loads((folder / "000001.json").read_text())["images"][2]
    found = (images / names[7]).stat()
    assert (record["image"], record["size"], record["mtime_ns"]) == (names[7], found.st_size, found.st_mtime_ns)
    assert len(bytes.fromhex(record["sha256"])) == 32


def test_what_is_complete_is_opened_and_nothing_is_encoded(index: Index) -> None:
    first, again = index(), index(retriever := Colors())
    assert (again.encoded, retriever.encoded) == (0, [])
    assert again.corpus.fingerprint == first.corpus.fingerprint
    assert np.array_equal(rows(again.corpus), rows(first.corpus))


@pytest.mark.parametrize(("shard", "threads", "batch"), [(1, 1, 1), (7, 3, 4), (4096, 2, 64), (SHARD, 2, 2)])
def test_sizes_and_threads_change_no_result(
    shard: int, threads: int, batch: int, index: Index, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = index().corpus
    monkeypatch.setenv("CHATIR_DATA", str(tmp_path / "other"))
    monkeypatch.setattr(index_folder, "SHARD_SIZE", shard)
    other = index(Colors(batch_size=batch), threads=threads).corpus
    assert other.fingerprint == first.fingerprint
    assert np.array_equal(rows(other), rows(first))


def test_an_index_keeps_the_shard_size_that_it_was_begun_with(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    index()
    monkeypatch.setattr(index_folder, "SHARD_SIZE", 8)
    assert index().encoded == 0


def test_the_same_images_elsewhere_or_of_another_retriever_are_the_same_corpus(
    index: Index, images: Path, names: list[str]
) -> None:
    moved = shutil.copytree(images, images.parent / "moved")
    here, there, other = index(), index(root=moved), index(Colors("sour"))
    assert here.corpus.fingerprint == there.corpus.fingerprint == other.corpus.fingerprint
    assert len({here.folder, there.folder, other.folder}) == 3
    assert there.encoded == other.encoded == COUNT, "but each has an index of its own"
    assert index(images=names[::-1]).corpus.fingerprint != here.corpus.fingerprint


def test_one_index_serves_retrievers_that_differ_in_texts_only(index: Index) -> None:
    index(Colors(separator=" [SEP] "))
    assert index(Colors(separator=", ")).encoded == 0


def test_a_retriever_without_prepare_is_given_files(index: Index) -> None:
    corpus = index().corpus
    indexed = index(FilesOnly())
    assert indexed.folder.name.startswith("FilesOnly-")
    assert np.array_equal(rows(indexed.corpus), rows(corpus))


Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def started(images: Path, names: list[str], tmp_path: Path) -> Iterator[Start]:
    """Starts processes that index the images, and ends what is left of them."""
    (tmp_path / "list.json").write_text(json.dumps(names))
    with ExitStack() as stack:

        def start(stop: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, colors.__file__, str(images), str(tmp_path / "list.json"), str(SHARD), stop],
                env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def go(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()


@pytest.mark.parametrize(("stop", "whole"), [("encoding 7", 3), ("between 2", 1)])
def test_after_a_kill_the_index_goes_on_and_becomes_what_it_had_been_without(
    stop: str, whole: int, started: Start, index: Index, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = started(stop)
    go(process)
    assert process.stdout.readline() == "standing\n"
    process.kill()
    process.wait()
    (folder,) = (tmp_path / "data" / "indexes").iterdir()
    vectors, records = (len([*folder.glob(f"0*.{suffix}")]) for suffix in ("npy", "json"))
    assert (vectors, records) == (whole + stop.startswith("between"), whole)
    retriever = Colors()
    continued = index(retriever)
    assert continued.encoded == sum(retriever.encoded) == COUNT - whole * SHARD, "finished shards are not encoded again"
    monkeypatch.setenv("CHATIR_DATA", str(tmp_path / "other"))
    uninterrupted = index()
    assert files(continued.folder) == files(uninterrupted.folder)
    assert continued.corpus.fingerprint == uninterrupted.corpus.fingerprint


def test_two_processes_at_once_make_one_good_index(started: Start, index: Index) -> None:
    processes = [started(""), started("")]
    go(*processes)
    told = [process.stdout.readline().split() for process in processes]
    assert [process.wait() for process in processes] == [0, 0]
    opened = index()
    assert opened.encoded == 0
    assert {fingerprint for fingerprint, _ in told} == {opened.corpus.fingerprint}


def test_an_interrupt_ends_the_threads_and_keeps_the_finished_shards(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(Colors):
        def encode_prepared(self, prepared: Sequence[np.ndarray]) -> torch.Tensor:
            if len(self.encoded) == 5:
                raise KeyboardInterrupt
            return super().encode_prepared(prepared)

    retriever = Interrupted()
    before = {*threading.enumerate()}
    with pytest.raises(KeyboardInterrupt):
        index(retriever)
    assert not [each for each in {*threading.enumerate()} - before if each.name.startswith("chatir-images")]
    retriever = Colors()
    assert index(retriever).encoded == COUNT - 2 * SHARD


def test_without_a_folder_the_data_folder_s_images_are_indexed(images: Path, names: list[str], data: Path) -> None:
    shutil.copytree(images, data / "images")
    corpus = open_corpus(Colors(), names)
    assert len(corpus) == COUNT
    retriever = Colors()
    assert open_corpus(retriever, names).fingerprint == corpus.fingerprint
    assert retriever.encoded == []


def test_without_any_images_a_complete_index_is_opened(index: Index, images: Path, names: list[str]) -> None:
    corpus = index().corpus
    shutil.rmtree(images)
    opened = open_corpus(Colors(separator=" [SEP] "), names)
    assert opened.fingerprint == corpus.fingerprint
    assert np.array_equal(rows(opened), rows(corpus))
    for other in (open_corpus, lambda *given: open_corpus(*given, None)):
        with pytest.raises(InputError, match="there are no vectors of the corpus"):
            other(Colors("sour"), names)


def test_a_complete_index_is_preferred_to_a_data_folder_that_lacks_images(
    index: Index, images: Path, names: list[str], data: Path
) -> None:
    corpus = index().corpus
    shutil.copytree(images, data / "images")
    (data / "images" / names[0]).unlink()
    assert open_corpus(Colors(), names).fingerprint == corpus.fingerprint
    with pytest.raises(InputError, match=f"{names[0]}: is not in {data / 'images'}"):
        open_corpus(Colors("sour"), names)


def test_an_index_that_is_not_complete_is_not_opened(index: Index, images: Path, names: list[str]) -> None:
    (index().folder / "000004.npy").unlink()
    shutil.rmtree(images)
    with pytest.raises(InputError) as lacking:
        open_corpus(Colors(), names)
    for way in ("--images", "'chatir fetch images --whole-corpus'", "'chatir index --vectors FILE'"):
        assert way in str(lacking.value)


def test_indexes_of_several_roots_are_one_corpus_if_the_images_are_the_same(
    index: Index, images: Path, names: list[str]
) -> None:
    moved = shutil.copytree(images, images.parent / "moved")
    here, _ = index(), index(root=moved)
    assert open_corpus(Colors(), names).fingerprint == here.corpus.fingerprint
    change(moved / names[0])
    there = index(root=moved)
    with pytest.raises(InputError) as several:
        open_corpus(Colors(), names)
    assert str(here.folder) in str(several.value)
    assert str(there.folder) in str(several.value)
    assert open_corpus(Colors(), names, moved).fingerprint == there.corpus.fingerprint


def test_an_index_that_leaves_images_out_is_opened_only_where_that_is_wanted(
    index: Index, images: Path, names: list[str]
) -> None:
    damage_images(images, names, 0)
    skipped = index(on_broken="skip").corpus
    shutil.rmtree(images)
    notes: list[str] = []
    opened = open_corpus(Colors(), names, on_broken="skip", note=notes.append)
    assert (opened.fingerprint, opened.left_out) == (skipped.fingerprint, (names[0],))
    assert [note.partition(":")[0] for note in notes] == [
        "1 of 23 images are left out",
        "the vectors of the images are those of an earlier index; whether the images changed is not looked at",
    ]
    with pytest.raises(InputError, match="there are no vectors"):
        open_corpus(Colors(), names)
