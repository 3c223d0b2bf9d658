"""What every built-in retriever promises, a row each: unit vectors that no batch, order or reuse changes.

A new retriever is a row of `ROWS`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from retriever import tiny_encoders

from chatir import Dialog, Round
from chatir.errors import ChatirError
from chatir.retriever import load_retriever
from chatir.retriever.retriever import Identity, checked_retriever

WORDS = ("a", "big", "red", "small", "star", "heart", "circle", "is", "there", "how", "many", "yes", "no", "teal")


def tiny(kind: str) -> Callable[[Path, pytest.FixtureRequest], dict[str, Any]]:
    """The options of a retriever with an untrained model of a kind, written into a folder."""
    return lambda folder, request: {"model": str(tiny_encoders.MAKERS[kind](folder / kind))}


def released(folder: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Those of a small checkpoint in the format of the original BLIP code."""
    original = request.getfixturevalue("shared") / "fixtures" / "blip_original"
    return {"checkpoint": str(original / "checkpoint.pth"), "tokenizer": str(original)}


ROWS = {
    "clip": tiny("clip"),
    "siglip": tiny("siglip"),
    "blip": tiny("blip"),
    "hf-text-image": tiny("siglip2"),
    "chatir": released,
}
Make = Callable[..., Any]


@pytest.fixture(scope="module", params=ROWS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Make:
    options = ROWS[request.param](tmp_path_factory.mktemp("models"), request)
    return lambda **more: checked_retriever(load_retriever(request.param, **options, **more))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, noise = tmp_path_factory.mktemp("images"), random.Random(0)
    paths = []
    for number, size in enumerate([(40, 30), (30, 40), (32, 32), (90, 33), (7, 5), (64, 64), (1, 200)]):
        paths.append(folder / f"{number}.png")
        Image.frombytes("RGB", size, noise.randbytes(3 * size[0] * size[1])).save(paths[-1])
    return paths


def texts(count: int) -> list[str]:
    chance = random.Random(0)
    return [" ".join(chance.choices(WORDS, k=chance.randint(1, 12))) for _ in range(count)]


def close(found: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_vectors_of_dialogs_are_unit_and_do_not_depend_on_the_batch_or_the_order(made: Make) -> None:
    some = texts(25)
    wanted = torch.as_tensor(made(batch_tokens=1).encode_dialogs(some))
    close(wanted.double().norm(dim=1), torch.ones(len(some), dtype=torch.float64))
    order = random.Random(1).sample(range(len(some)), len(some))
    for batch_tokens in (40, 10**6):
        close(made(batch_tokens=batch_tokens).encode_dialogs([some[place] for place in order]), wanted[order])


def test_vectors_of_images_are_unit_and_do_not_depend_on_the_batch_or_the_order(made: Make, images: list[Path]) -> None:
    wanted = torch.as_tensor(made(batch_size=1).encode_images(images))
    close(wanted.double().norm(dim=1), torch.ones(len(images), dtype=torch.float64))
    close(made(batch_size=3).encode_images(images[::-1]), wanted.flip(0))


def test_a_dialog_is_its_caption_and_rounds_and_each_round_counts(made: Make) -> None:
    rounds = (Round("is it big?", "yes"), Round("what color?", "teal"))
    dialogs = [Dialog("a.png", "a star", rounds[:count]) for count in range(3)]
    vectors = torch.as_tensor(made().encode_dialogs(dialogs))
    assert not torch.allclose(vectors[0], vectors[1], atol=1e-4)
    assert not torch.allclose(vectors[1], vectors[2], atol=1e-4)


def test_what_fixes_its_vectors_is_plain_data_and_the_same_each_time(made: Make) -> None:
    first, again = (Identity.of(made()) for _ in range(2))
    assert json.loads(json.dumps(first.config)) == first.config == again.config
    assert first.image_config.items() <= first.config.items()


def test_one_that_was_closed_can_be_used_again(made: Make, images: list[Path]) -> None:
    retriever = made()
    before = torch.as_tensor(retriever.encode_images(images[:2])), torch.as_tensor(retriever.encode_dialogs(["a star"]))
    retriever.close()
    close(retriever.encode_images(images[:2]), before[0])
    close(retriever.encode_dialogs(["a star"]), before[1])


def test_a_broken_image_is_named(made: Make, images: list[Path], tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(images[0].read_bytes()[:60])
    with pytest.raises(ChatirError, match=r"broken\.png"):
        made().encode_images([images[0], tmp_path / "broken.png"])
