"""Encoding: what is read ahead, in which order, and what a retriever may not give."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from retriever.colors import COUNT, Colors, Index, damage_images

from chatir.errors import InputError
from chatir.retriever.index.image_vectors import looked_ahead, thread_pool
from chatir.retriever.index.indexing import IndexProgress


@pytest.mark.parametrize(
    ("vectors", "told"),
    [
        (lambda n: torch.zeros(n, 5), "row 0 has the length 0"),
        (lambda n: torch.eye(7)[: n - 1], "are 2, but the images are 3"),
        (lambda n: torch.full((n, 5), float("nan")), "not finite in row 0"),
        (lambda n: torch.ones(n, 5), "has the length 2.236"),
        (lambda n: torch.ones(n, 1, dtype=torch.int64), "are int64"),
        (lambda n: torch.eye(9)[0], "have the shape [9]"),
        (lambda n: "vectors", "are <U7"),
    ],
)
def test_what_are_no_unit_vectors_stop_the_index_with_the_retrievers_name(
    vectors: Callable[[int], torch.Tensor], told: str, index: Index
) -> None:
    retriever = Colors()
    retriever.encode_prepared = lambda prepared: vectors(len(prepared))
    with pytest.raises(InputError) as refused:
        index(retriever)
    assert str(refused.value).startswith("Colors: the vectors that it gives of 3 images ")
    assert told in str(refused.value)


def test_a_retriever_that_fails_is_named_in_one_line(index: Index) -> None:
    retriever = Colors()
    retriever.encode_prepared = lambda prepared: torch.ones(2, 3) @ torch.ones(2, 3)
    with pytest.raises(InputError, match=r"^Colors cannot encode 3 images at once: RuntimeError: mat1") as told:
        index(retriever)
    assert "\n" not in str(told.value)


def test_a_retriever_that_changed_and_did_not_tell_is_noticed_by_the_dimension(index: Index) -> None:
    folder = index().folder
    (folder / "000003.npy").unlink()
    retriever = Colors()
    retriever.encode_prepared = lambda prepared: torch.eye(9)[: len(prepared)]
    with pytest.raises(InputError, match=f"Colors: gives vectors of 9 numbers, but gave 6 before; .*{folder}"):
        index(retriever)


@pytest.mark.parametrize("size", [0, -1, "many", None])
def test_a_batch_size_that_makes_no_sense_is_refused(size: object, index: Index) -> None:
    with pytest.raises(InputError, match=f"Colors: batch_size is {size!r}"):
        index(Colors(batch_size=size))


def test_what_is_read_ahead_is_bounded(index: Index) -> None:
    """An image waits, decoded, for its turn: how many do, is counted whenever something is encoded."""
    counts: list[int] = []
    prepared: list[int] = []

    class Counting(Colors):
        def prepare(self, image: Image.Image) -> np.ndarray:
            prepared.append(1)
            return super().prepare(image)

        def encode_prepared(self, some: Sequence[np.ndarray]) -> torch.Tensor:
            before = sum(self.encoded)
            if before == 6:  # they may go ahead as far as they like
                patience = time.monotonic() + 20
                while len(prepared) - before <= 2 and time.monotonic() < patience:
                    time.sleep(0.01)
                time.sleep(0.1)
            counts.append(len(prepared) - before)
            return super().encode_prepared(some)

    index(Counting(batch_size=2), threads=4)
    assert max(counts) <= 2 + 2 * 2
    assert max(counts) > 2, "some are read ahead"


def test_images_are_read_while_others_are_encoded(index: Index) -> None:
    """Each side waits for the other: the index ends only if both go on at once."""
    encoding, reading = threading.Event(), threading.Event()

    class Meeting(Colors):
        def prepare(self, image: Image.Image) -> np.ndarray:
            if encoding.is_set():
                reading.set()
            return super().prepare(image)

        def encode_prepared(self, prepared: Sequence[np.ndarray]) -> torch.Tensor:
            encoding.set()
            assert self.encoded or reading.wait(20), "nothing is read while the first batch is encoded"
            return super().encode_prepared(prepared)

    assert index(Meeting(batch_size=8), threads=1).encoded == COUNT


def test_results_come_in_order_whoever_is_done_first() -> None:
    gate = threading.Event()

    def work(number: int) -> int:
        assert number or gate.wait(20)
        if number == 3:
            gate.set()
        return number

    with thread_pool(2) as pool:
        assert list(looked_ahead(pool, work, range(9), 4)) == list(range(9))


def test_progress_tells_how_far_how_fast_and_how_long(index: Index, images: Path, names: list[str]) -> None:
    damage_images(images, names, 1)
    told: list[str] = []
    index(on_broken="skip", report=lambda progress: told.append(str(progress)))
    assert told[-1].startswith("23/23 images, ")
    assert told[-1].endswith(" images/s, 0.0s left, 1 broken")
    progress = IndexProgress(50_000, done=20_000, encoded=10_000, seconds=100)
    assert str(progress) == "20,000/50,000 images, 100.0 images/s, 5m00s left"
