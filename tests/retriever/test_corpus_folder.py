"""A folder as a corpus: what it lists, in what order, and what it says of the rest."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest
from models.image_files import picture

from chatir import plugins
from chatir.cli import run
from chatir.errors import InputError
from chatir.retriever.index.corpus_folder import folder_images

Listed = Callable[..., tuple[list[str], list[str]]]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return tmp_path / "photos"


@pytest.fixture
def listed(photos: Path) -> Listed:
    """Put files into the folder, and list it: the images, and what is told."""

    def list_(files: dict[str, bytes], root: Path = photos) -> tuple[list[str], list[str]]:
        for name, content in files.items():
            (photos / name).parent.mkdir(parents=True, exist_ok=True)
            (photos / name).write_bytes(content)
        notes: list[str] = []
        return list(folder_images(photos, root, notes.append)), notes

    return list_


def test_a_folder_lists_its_images_sorted_by_their_paths(listed: Listed, photos: Path) -> None:
    names = ["b.jpg", "a/z.png", "a b.png", "a/b/c.webp", "A.JPEG", "\u00e9.gif", "10.tif", "9.bmp"]
    images, notes = listed(dict.fromkeys(reversed(names), picture()))
    assert (
        images
        == sorted(names)
        == ["10.tif", "9.bmp", "A.JPEG", "a b.png", "a/b/c.webp", "a/z.png", "b.jpg", "\u00e9.gif"]
    )
    assert notes == []
    assert listed({}, root=photos.parent)[0] == [f"photos/{name}" for name in images]


def test_names_and_order_are_the_same_whatever_form_the_file_system_keeps(listed: Listed) -> None:
    names = [unicodedata.normalize("NFD", name) for name in ("\u00e9.png", "\u00e0/z.png", "e.png", "f.png")]
    images, _ = listed(dict.fromkeys(names, picture()))
    assert images == ["e.png", "f.png", "\u00e0/z.png", "\u00e9.png"]


def test_content_tells_where_the_ending_does_not(listed: Listed) -> None:
    images, notes = listed({"0a1b": picture("JPEG"), "photo.orig": picture(), "page.webp.part": picture("WEBP")})
    assert images == ["0a1b", "page.webp.part", "photo.orig"]
    assert notes == []


def test_what_is_skipped_is_told_in_one_line_and_hidden_files_are_not(listed: Listed, photos: Path) -> None:
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99)
    others = {
        "notes.txt": b"BMW and II",
        "b/list.json": b"[]",
        "z.csv": b"",
        "a.heic": heic,
        "bad\nname.png": picture(),
    }
    hidden = {".DS_Store": b"x", "__MACOSX/a.png": b"x", ".git/a.png": picture(), "._a.png": b"x", "Icon\r": b""}
    images, notes = listed({"a.png": picture(), **others, **hidden})
    assert images == ["a.png"]
    assert notes == [
        f"{photos}: skipped 1 file that has a name that no list can hold, bad\\nname.png; "
        "1 file that is HEIC, which chatir does not read, a.heic; "
        "4 files that are not images, for example Icon\\r"
    ]


def test_no_link_is_followed_out_of_the_folder_or_to_another_one(listed: Listed, photos: Path) -> None:
    listed({"a.png": picture(), "sub/b.png": picture()})
    (photos.parent / "outside.png").write_bytes(picture())
    (photos / "in.png").symlink_to("a.png")
    (photos / "out.png").symlink_to("../outside.png")
    (photos / "loose.png").symlink_to("nothing.png")
    (photos / "around").symlink_to("sub")
    os.mkfifo(photos / "pipe.png")
    images, notes = listed({})
    assert images == ["a.png", "in.png", "sub/b.png"]
    assert notes == [
        f"{photos}: skipped 1 file that is a link out of the folder, out.png; "
        "1 file that is a link to a folder, which is not followed, around; "
        "2 files that are not images, for example loose.png"
    ]
    link = photos.parent / "link"
    link.symlink_to("photos")
    assert list(folder_images(link, link, print)) == images, "the folder itself may be one"


def test_a_folder_that_is_no_corpus_is_refused(listed: Listed, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"--corpus {photos}: holds no image"):
        listed({"notes.txt": b"x"})
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match=r"photos: is not in --images .*other: name a folder in it"):
        listed({"a.png": picture()}, root=tmp_path / "other")


def test_a_folder_and_its_list_are_one_corpus_to_the_commands(
    listed: Listed, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHATIR_DATA", str(tmp_path / "data"))
    point = EntryPoint("colors", "retriever.colors:Colors", "chatir.retrievers")
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point, *entry_points(group=group)])
    images, _ = listed({f"{n}/{n}.png": picture(color=color) for n, color in enumerate(("red", "blue", "teal"))})
    (photos / "notes.txt").write_text("x")
    Path("corpus.json").write_text(json.dumps(images))
    Path("targets.json").write_text(json.dumps([{"img": "1/1.png", "dialog": ["x", "is it? no"]}]))
    colors = ("--retriever", "colors")

    assert run(["index", *colors, "--corpus", "photos"]) == 0
    told = capsys.readouterr()
    assert told.err == "chatir: photos: skipped 1 file that is not an image, notes.txt\n"
    assert run(["index", *colors, "--corpus", "corpus.json", "--images", "photos"]) == 0
    again = capsys.readouterr()
    assert again.err == ""
    assert "encoded      nothing: the index was complete" in again.out
    assert again.out.splitlines()[3] == told.out.splitlines()[3]

    assert run(["score", "targets.json", *colors, "--corpus", "photos"]) == 0
    assert "1 dialog" in capsys.readouterr().out
    played = ("--questioner", "human", "--answerer", "human", "--targets", "targets.json", "--rounds", "1")
    assert run(["simulate", *played, *colors, "--corpus", "photos", "--out", "x.json"]) == 0
    capsys.readouterr()
    # Below another root the same images have other names.
    assert run(["score", "targets.json", *colors, "--corpus", "photos/1", "--images", "photos"]) == 0
    assert "in 1 images" in capsys.readouterr().out
    assert run(["score", "targets.json", *colors, "--corpus", "photos/1"]) == 2
    assert "1 of 1 targets are not in the corpus of 1 images: 1/1.png" in capsys.readouterr().err
    Path("v.npy").write_bytes(b"x")
    assert run(["index", *colors, "--corpus", "photos", "--vectors", "v.npy"]) == 2
    assert "--vectors needs a list as --corpus" in capsys.readouterr().err


def test_players_look_for_images_in_the_folder_that_is_searched(
    listed: Listed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from chatir.models.builtin import checkpoints

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHATIR_DATA", str(tmp_path / "data"))
    listed({"a.png": picture(), "b.png": picture()})
    Path("targets.csv").write_text("image,caption\na.png,a picture with a circle\n")
    models = {name: f"model={model}" for name, model in checkpoints().items()}
    asks = ("--questioner", "hf", "-q", models["t5"], "-q", "prompt=scenes", "--rounds", "1", "--out", "x.json")
    answers = ("--answerer", "blip2", "-a", models["blip2"], "--targets", "targets.csv")
    code = run(["simulate", *asks, *answers, "--retriever", "clip", "-r", models["clip"], "--corpus", "photos"])
    assert code == 0, capsys.readouterr().err
