"""`chatir scenes`: a folder of pictures, targets and corpus that every other command takes as it is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from PIL import Image

from chatir.cli import run
from chatir.datasets.data_folder import read_corpus
from chatir.simulate import read_dialogs

TARGETS_OF_SEED_0 = "aa085b69a5637851e63f161517e2fe5d7af2bbc3b34a2ea8e14de519a539823e"
PIXELS_OF_SEED_0 = "25e22dad03b2313e4d7e009b61ce1a9510daa4479058abf64ce994613ac2cca6"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def scenes(folder: Path, count: int = 12, seed: int = 5) -> int:
    return run(["scenes", str(folder), "--count", str(count), "--seed", str(seed)])


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scenes(tmp_path / "one") == scenes(tmp_path / "two") == 0
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "one"), str(tmp_path / "two")]
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert len(tree(tmp_path / "one")) == 12 + 2


def test_what_a_seed_gives_never_changes(tmp_path: Path) -> None:
    """Scenes are named in papers by count and seed, and the built-in models know them as they are drawn now."""
    scenes(tmp_path, 50, 0)
    pixels = hashlib.sha256()
    for image in read_corpus(tmp_path / "corpus.json"):
        with Image.open(tmp_path / image) as picture:
            pixels.update(picture.tobytes())
    assert hashlib.sha256((tmp_path / "targets.json").read_bytes()).hexdigest() == TARGETS_OF_SEED_0
    assert pixels.hexdigest() == PIXELS_OF_SEED_0


def test_another_seed_gives_other_scenes_of_other_names(tmp_path: Path) -> None:
    scenes(tmp_path / "one", seed=1)
    scenes(tmp_path / "two", seed=2)
    assert not set(tree(tmp_path / "one")) & set(tree(tmp_path / "two")) - {"corpus.json", "targets.json"}


def test_fewer_scenes_are_the_first_of_more(tmp_path: Path) -> None:
    scenes(tmp_path / "few", 5)
    scenes(tmp_path / "many", 9)
    many = tree(tmp_path / "many")
    assert all(many[name] == content for name, content in tree(tmp_path / "few").items() if name.endswith(".png"))
    assert read_dialogs(tmp_path / "few" / "targets.json") == read_dialogs(tmp_path / "many" / "targets.json")[:5]


def test_targets_corpus_and_pictures_name_each_other(tmp_path: Path) -> None:
    scenes(tmp_path)
    dialogs = read_dialogs(tmp_path / "targets.json")
    corpus = json.loads((tmp_path / "corpus.json").read_text())
    assert [dialog.image for dialog in dialogs] == corpus == list(read_corpus(tmp_path / "corpus.json"))
    assert all(len(dialog.rounds) == 10 for dialog in dialogs)
    assert {f"images/{path.name}" for path in (tmp_path / "images").iterdir()} == set(corpus)
    for image in corpus:
        with Image.open(tmp_path / image) as picture:
            assert (picture.format, picture.mode) == ("PNG", "RGB")


def test_people_of_the_scenes_play_like_any_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scenes(tmp_path / "scenes")
    players = ["--questioner", "human", "--answerer", "human"]
    assert run(["simulate", *players, "--targets", "scenes/targets.json", "--images", "scenes"]) == 0
    assert Path("outputs/Human_Human.json").read_bytes() == Path("scenes/targets.json").read_bytes()


def test_written_again_nothing_changes_and_an_interrupted_folder_is_completed(tmp_path: Path) -> None:
    scenes(tmp_path)
    whole = tree(tmp_path)
    times = {name: (tmp_path / name).stat().st_mtime_ns for name in whole}
    (tmp_path / "corpus.json").unlink()
    (tmp_path / "images" / "5-000007.png").unlink()
    half_written = tmp_path / "images" / ".5-000007.png.0a0b0c0d.part"
    half_written.write_bytes(b"half")
    assert scenes(tmp_path) == 0
    half_written.unlink()
    assert tree(tmp_path) == whole
    kept = set(whole) - {"corpus.json", "images/5-000007.png"}
    assert all((tmp_path / name).stat().st_mtime_ns == times[name] for name in kept)


@pytest.mark.parametrize(("count", "seed"), [(11, 5), (12, 6)])
def test_a_folder_of_other_scenes_is_refused_and_kept(
    tmp_path: Path, count: int, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes(tmp_path)
    before = tree(tmp_path)
    assert scenes(tmp_path, count, seed) == 2
    assert f"{tmp_path / 'targets.json'}: is there and is not what --count {count} --seed {seed} gives" in (
        capsys.readouterr().err
    )
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["5-000007.png", "6-000000.png", "cat.jpg"])
def test_a_picture_of_somebody_else_is_neither_overwritten_nor_taken_in(name: str, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / name).write_bytes(b"mine")
    assert scenes(tmp_path) == 2
    assert tree(tmp_path) == {f"images/{name}": b"mine"}


def test_pictures_left_by_an_interrupted_larger_count_are_refused(tmp_path: Path) -> None:
    scenes(tmp_path, 12)
    (tmp_path / "corpus.json").unlink()
    (tmp_path / "targets.json").unlink()
    assert scenes(tmp_path, 5) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "give a folder to write to, or --checkpoints"),
        (["x", "--checkpoints"], "give a folder to write to, or --checkpoints"),
        (["--checkpoints", "--seed", "1"], "--seed goes with a folder, not with --checkpoints"),
        (["x", "--count", "0"], "0 is not in the range"),
        (["x", "--count", "many"], "'many' is not a valid integer"),
        (["x", "--seed", "-1"], "-1 is not in the range"),
        (["file"], "file"),
        (["file/below"], "file/below"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("mine")
    assert run(["scenes", *arguments]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert tree(tmp_path) == {"file": b"mine"}
