"""The folder of images: one for the whole run, and what contradicts it is told before anybody is asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from players import Asking

from chatir import Dialog, Reply
from chatir.answerers.sighted import SightedModel
from chatir.datasets.scenes.folder import write_scenes
from chatir.datasets.target_checks import ImagesThere
from chatir.errors import InputError
from chatir.plugins import Context, build
from chatir.simulate import RunSummary, read_dialogs, simulate

OPTIONS: dict[str, dict[str, Any]] = {
    "blip2": {"model": "scenes:blip2"},
    "openai-vision": {"model": "m", "base_url": "http://127.0.0.1:1/v1"},
}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, 3, seed=1)
    return folder


def blip2(images: Path | None) -> SightedModel:
    answerer: SightedModel = build("answerers", "blip2", OPTIONS["blip2"], Context(images=images))
    return answerer


def played(scenes: Path, answerer: object, out: Path, asking: Asking | None = None, **more: Any) -> RunSummary:
    return simulate(
        read_dialogs(scenes / "targets.json"), asking or Asking(), answerer, out=out / "x.json", rounds=1, **more
    )


@pytest.mark.parametrize("name", OPTIONS)
def test_a_player_built_without_images_is_refused_before_anybody_is_asked(
    name: str, scenes: Path, tmp_path: Path
) -> None:
    asking = Asking()
    answerer = build("answerers", name, OPTIONS[name])
    with pytest.raises(InputError, match=r"was built without their folder; build it with Context\(images=Path\("):
        played(scenes, answerer, tmp_path, asking, images=scenes)
    assert not asking.calls.batches
    assert not list(tmp_path.iterdir())


def test_a_player_that_looks_into_another_folder_is_refused(scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"scenes:blip2 looks for the images in {tmp_path}, and the run in {scenes}"):
        played(scenes, blip2(tmp_path), tmp_path, images=scenes)


def test_the_same_folder_by_another_name_is_the_same(scenes: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(scenes)
    assert played(scenes, blip2(link), tmp_path, images=str(scenes)).dialogs == 3


def test_the_players_folder_is_enough(scenes: Path, tmp_path: Path) -> None:
    assert played(scenes, blip2(scenes), tmp_path).dialogs == 3
    with pytest.raises(InputError, match="contains none of the targets' images"):
        played(scenes, blip2(tmp_path), tmp_path, fresh=True)


def test_without_any_folder_one_line_tells_how_to_get_images(scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="scenes:blip2 looks at the images: 'chatir fetch images' brings them"):
        played(scenes, blip2(None), tmp_path)


def test_a_folder_may_be_named_by_text(scenes: Path, tmp_path: Path) -> None:
    answerer = build("answerers", "blip2", OPTIONS["blip2"], Context(images=str(scenes)))  # type: ignore[arg-type]
    assert played(scenes, answerer, tmp_path, images=str(scenes)).dialogs == 3


class Looking:
    """Looks at images in a way of its own, and does not tell where."""

    needs_images = True

    def answer(self, dialogs: Sequence[Dialog], questions: Sequence[str]) -> list[Reply]:
        return [Reply("yes") for _ in dialogs]


def test_a_player_that_does_not_tell_where_it_looks_is_believed(scenes: Path, tmp_path: Path) -> None:
    assert played(scenes, Looking(), tmp_path, images=scenes).dialogs == 3
    with pytest.raises(InputError, match="Looking looks at the images"):
        played(scenes, Looking(), tmp_path, fresh=True)


def test_an_image_that_is_gone_is_told_of_only_while_its_dialog_is_not_done(tmp_path: Path) -> None:
    write_scenes(tmp_path, 4, seed=1)
    targets = list(read_dialogs(tmp_path / "targets.json"))
    (tmp_path / targets[0].image).unlink()

    def notes(count: int, **more: Any) -> list[str]:
        told: list[str] = []
        given = {"out": tmp_path / "x.json", "rounds": 1, "images": tmp_path, "note": told.append, **more}
        simulate(targets[:count], Asking(), Looking(), **given)
        return told

    (note,) = notes(2)
    assert note.startswith(f"the images of 1 of 2 targets are missing from {tmp_path} ")
    assert targets[0].image in note
    assert notes(3) == []
    (tmp_path / targets[3].image).unlink()
    (note,) = notes(4)
    assert note.startswith("the images of 1 of 4 targets ")
    assert targets[3].image in note
    note, *_ = notes(4, fresh=True)  # the run before it is kept, which is told too
    assert note.startswith("the images of 2 of 4 targets ")


def test_a_folder_that_is_no_path_is_refused(scenes: Path, tmp_path: Path) -> None:
    answerer = Looking()
    answerer.image_folder = 3  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="Looking: image_folder is 3, but must be a path or None"):
        played(scenes, answerer, tmp_path, images=scenes)


def test_images_are_there_though_list_and_folder_differ_in_form(tmp_path: Path) -> None:
    (tmp_path / "images" / "cafe\u0301").mkdir(parents=True)
    (tmp_path / "images" / "cafe\u0301" / "a.png").touch()
    there = ImagesThere(tmp_path / "images")
    for image in ("caf\u00e9/a.png", "cafe\u0301\\a.png", "./cafe\u0301//a.png"):
        there.check(Dialog(image, "a cat"), 1)
    assert not there.any_missing
    elsewhere = ImagesThere(tmp_path / "images" / "cafe\u0301")
    elsewhere.check(Dialog(".\\caf\u00e9\\a.png", "a cat"), 1)
    with pytest.raises(InputError, match=f"name --images {tmp_path}/images, or"):
        elsewhere.told()
