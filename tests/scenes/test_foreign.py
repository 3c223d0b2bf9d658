"""The built-in models on images that they know nothing of: one line says so, and says nothing of scenes."""

from __future__ import annotations

import json
import random
from io import BytesIO
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from players import Answering, Asking

from chatir import Dialog
from chatir.cli import run
from chatir.datasets.scenes.drawing import SIZE, draw, is_scene
from chatir.datasets.scenes.folder import write_scenes
from chatir.datasets.scenes.people import people_dialog
from chatir.datasets.scenes.world import scenes
from chatir.models.builtin.foreign import ForeignTargets
from chatir.plugins import Context, build
from chatir.retriever.index.indexing import index_images
from chatir.retriever.retriever import load_retriever
from chatir.simulate import read_dialogs, simulate, write_dialogs

T5 = ("--questioner", "hf", "-q", "model=scenes:t5", "-q", "prompt=scenes")
BLIP2 = ("--answerer", "blip2", "-a", "model=scenes:blip2")
CLIP = ("--retriever", "clip", "-r", "model=scenes:clip")
MEAN_NOTHING = "and figures from them mean nothing"
DRAWN = "trained on the pictures that 'chatir scenes' draws"


def photograph(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Blotches of all colors, smooth as in a photograph."""
    blotches = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(blotches).resize(size, Image.Resampling.BICUBIC)


def as_jpeg(picture: Image.Image, quality: int) -> Image.Image:
    file = BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `scenes`, and with `photos` that targets.json is about."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHATIR_DATA", str(tmp_path / "data"))
    write_scenes(tmp_path / "scenes", 6, seed=5)
    Path("photos").mkdir()
    for number in range(5):
        photograph(number).save(f"photos/{number}.jpg")
    write_dialogs(Path("targets.json"), [Dialog(f"{number}.jpg", f"a man on horse {number}") for number in range(3)])
    return tmp_path


def warnings(told: str) -> list[str]:
    return [line for line in told.splitlines() if MEAN_NOTHING in line]


def test_every_scene_is_known_as_one_in_any_format() -> None:
    for scene in islice(scenes("known"), 200):
        picture = draw(scene)
        for copy in (picture, as_jpeg(picture, 75), picture.quantize(64).convert("RGB")):
            assert is_scene(copy), scene.content


def test_other_pictures_are_no_scenes_even_of_their_size() -> None:
    on_white = Image.new("RGB", (SIZE, SIZE), "white")
    on_white.paste(photograph(1, (90, 90)), (50, 50))
    for picture in (*(photograph(seed, (SIZE, SIZE)) for seed in range(50)), photograph(2), on_white):
        assert not is_scene(picture)
    assert not is_scene(draw(next(scenes(1))).resize((96, 96)))


def test_every_caption_of_a_scene_is_in_words_of_the_questioner() -> None:
    questioner = build("questioners", "hf", {"model": "scenes:t5", "prompt": "scenes"})
    told: list[str] = []
    for number, scene in enumerate(islice(scenes("captions"), 300)):
        caption = people_dialog(scene, "a.png", random.Random(number)).caption
        ForeignTargets([questioner.config], None, told.append).check(Dialog("a.png", caption), 1)
    assert not told


def test_players_of_scenes_warn_of_photographs_in_one_line(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed = ["simulate", *T5, *BLIP2, "--images", "photos", "--targets", "targets.json", "--rounds", "1"]
    for _ in range(2):  # of a run that goes on, too
        assert run(typed) == 0
        (line,) = warnings(capsys.readouterr().err)
        assert line == (
            f"chatir: scenes:t5 and scenes:blip2 are small models {DRAWN}: they know nothing of photographs or other "
            f"images, such as 0.jpg, {MEAN_NOTHING}"
        )


def test_a_questioner_of_scenes_is_judged_by_the_captions(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = [Dialog("0.jpg", "a man on a horse"), Dialog("1.jpg", "two men")]
    told: list[str] = []
    questioner = build("questioners", "hf", {"model": "scenes:t5", "prompt": "scenes"})
    for targets in (said, iter(said)):
        simulate(targets, questioner, Answering(), out="a.json", rounds=1, fresh=True, note=told.append)
    assert [line for line in told if MEAN_NOTHING in line] == 2 * [
        f"scenes:t5 is a small model {DRAWN}: it knows nothing of photographs or other images, such as one captioned "
        f'"a man on a horse", {MEAN_NOTHING}'
    ]


def test_scenes_are_no_cause_to_warn_renamed_converted_or_in_part(work: Path) -> None:
    told: list[str] = []
    Path("mine").mkdir()
    targets = []
    for number, target in enumerate(read_dialogs("scenes/targets.json")[2:]):
        Image.open(Path("scenes", target.image)).save(f"mine/{number}.jpg", quality=85)
        targets.append(Dialog(f"{number}.jpg", target.caption))
    questioner = build("questioners", "hf", {"model": "scenes:t5", "prompt": "scenes"})
    answerer = build("answerers", "blip2", {"model": "scenes:blip2"}, Context(images=Path("mine")))
    simulate(targets, questioner, answerer, out="a.json", rounds=1, note=told.append)
    index_images(
        load_retriever("clip", model="scenes:clip"), [t.image for t in targets], Path("mine"), note=told.append
    )
    assert not told


def test_an_image_that_cannot_be_read_and_players_of_other_models_are_not_judged(work: Path) -> None:
    told: list[str] = []
    answerer = build("answerers", "blip2", {"model": "scenes:blip2"}, Context(images=Path("photos")))
    for name, content in (("broken.jpg", b"\xff\xd8\xff"), ("empty.jpg", b"")):
        Path("photos", name).write_bytes(content)
    for image in ("broken.jpg", "empty.jpg", "absent.jpg"):
        ForeignTargets([answerer.config], Path("photos"), told.append).check(Dialog(image, "a man"), 1)
    ForeignTargets([{"model": {"id": "m", "sha256": "0"}}, {}], Path("photos"), told.append).check(
        Dialog("0.jpg", "a"), 1
    )
    simulate([Dialog("0.jpg", "a man")], Asking(), Answering(), out="a.json", rounds=1, note=told.append)
    assert not told


def test_a_retriever_of_scenes_warns_of_photographs_once_a_command(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = ("--corpus", "photos", *CLIP)
    expected = (
        f"chatir: scenes:clip is a small model {DRAWN}: it knows nothing of photographs or other images, such as "
        f"0.jpg, {MEAN_NOTHING}"
    )
    Path("again.json").write_bytes(Path("targets.json").read_bytes())
    for typed in (["index", *corpus], ["score", "targets.json", "again.json", *corpus]):
        assert run(typed) == 0
        assert warnings(capsys.readouterr().err) == [expected]
    Path("list.json").write_text(json.dumps([f"{number}.jpg" for number in range(5)]))
    assert run(["score", "targets.json", "--corpus", "list.json", *CLIP]) == 0  # by the index that is there
    assert warnings(capsys.readouterr().err) == [expected]
    assert run(["score", "scenes/targets.json", "--corpus", "scenes/corpus.json", "--images", "scenes", *CLIP]) == 0
    assert not warnings(capsys.readouterr().err)
