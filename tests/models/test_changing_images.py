"""Images that become others while a model looks at them: never another's answer, and never under another's key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from chatir.datasets.scenes.drawing import draw
from chatir.datasets.scenes.folder import scene_dialogs
from chatir.models.builtin import checkpoints
from chatir.models.completion import Completion
from chatir.models.local import vision_model
from chatir.models.local.blip2 import Blip2Model, Blip2Options
from chatir.models.local.vision_model import Look
from chatir.models.reply_cache import ReplyCache
from chatir.plugins import Context

ASKED = "Question: what is the color of the background? Short answer:"


@pytest.fixture(scope="module")
def pictures() -> dict[str, Image.Image]:
    """One picture for each background."""
    return {scene.background: draw(scene) for scene, _ in scene_dialogs(30, 0)}


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ReplyCache]:
    with closing(ReplyCache(tmp_path / "replies.cache")) as made:
        yield made


def blip2(folder: Path, cache: ReplyCache | None = None, **options: Any) -> Blip2Model:
    settings = Blip2Options(model=str(checkpoints()["blip2"]), precision="fp32", **options)
    return Blip2Model(settings, Context(folder, cache))


def said(model: Blip2Model, names: Sequence[str]) -> list[str | None]:
    return [each.text for each in model.complete([Look(name, ASKED) for name in names])]


def test_a_model_that_was_closed_sees_the_files_as_they_are(pictures: dict[str, Image.Image], tmp_path: Path) -> None:
    first, second = [*pictures][:2]
    pictures[first].save(tmp_path / "a.png")
    model = blip2(tmp_path)
    assert said(model, ["a.png"]) == [first]
    pictures[second].save(tmp_path / "a.png")
    assert said(model, ["a.png"]) == [first]  # one dialog, one picture
    model.close()
    assert said(model, ["a.png"]) == [second]


def test_the_cache_never_learns_what_was_said_about_another_picture(
    pictures: dict[str, Image.Image], tmp_path: Path, cache: ReplyCache
) -> None:
    first, second, third = [*pictures][:3]
    for name, color in (("a.png", first), ("b.png", second), ("c.png", third)):
        pictures[color].save(tmp_path / name)
    model = blip2(tmp_path, cache, batch_size=1, kept_images=2)
    said(model, ["a.png", "b.png"])
    pictures[second].save(tmp_path / "a.png")
    for names in (["a.png"], ["c.png", "a.png"], ["b.png", "c.png", "a.png"]):
        for text in ("Question: is there a star? Short answer:", ASKED):
            model.complete([Look(name, text) for name in names])
    pictures[first].save(tmp_path / "a.png")
    for known in (cache, None):
        assert said(blip2(tmp_path, known), ["a.png", "b.png", "c.png"]) == [first, second, third]


def test_a_picture_that_changes_between_its_hash_and_its_opening_fails_its_look(
    pictures: dict[str, Image.Image], tmp_path: Path, cache: ReplyCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = [*pictures][:2]
    pictures[first].save(tmp_path / "a.png")
    pictures[first].save(tmp_path / "b.png")
    model = blip2(tmp_path, cache)
    contents = model._contents

    def then_changed(asked: Sequence[Look]) -> dict[str, str]:
        known = contents(asked)
        pictures[second].save(tmp_path / "a.png")
        return known

    monkeypatch.setattr(model, "_contents", then_changed)
    changed, same = model.complete([Look("a.png", ASKED), Look("b.png", ASKED)])
    assert changed.failure is not None
    assert changed.failure.kind == "changed_image"
    assert same == Completion(first, tokens_in=same.tokens_in, tokens_out=same.tokens_out)
    assert cache.models()[0].replies == 1
    monkeypatch.undo()
    assert said(model, ["a.png"]) == [second]  # which it stays to be


def test_few_large_pictures_are_held_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    for number in range(12):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
    held, most, lock = 0, 0, threading.Lock()
    model = blip2(tmp_path, batch_size=12)
    prepared = model._prepared

    def decoded(image: str, content: bytes) -> Image.Image:
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        return Image.new("RGB", (8, 8))

    def let_go(picture: Image.Image) -> Any:
        nonlocal held
        pixels = prepared(picture)
        with lock:
            held -= 1
        return pixels

    monkeypatch.setattr(vision_model, "decoded", decoded)
    monkeypatch.setattr(model, "_prepared", let_go)
    assert len(said(model, [f"{number}.png" for number in range(12)])) == 12
    assert (held, most <= vision_model.READERS) == (0, True)
