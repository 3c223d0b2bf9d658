"""`chatir fetch`, as a user types it, against a real server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from http_source import Served, Source, picture
from players import said

from chatir import Dialog
from chatir.cli import run
from chatir.simulate import write_dialogs


@pytest.fixture
def targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHATIR_DATA", "data")
    images = [f"unlabeled2017/{n:012d}.jpg" for n in range(4)]
    write_dialogs(Path("t.json"), [Dialog(image, "a cat", said("is it? no")) for image in images])
    return images


def test_images_of_the_targets_land_where_simulate_looks_for_them(
    source: Source, targets: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    source.give = {f"/{image}": [Served(picture())] for image in targets}
    command = ("fetch", "images", "--targets", "t.json", "--base-url", source.url)
    assert run([*command, "--limit", "2"]) == 0
    assert capsys.readouterr().out == "2 images fetched, 0 were there, 0 failed\ndata/images\n"
    assert run(command) == 0
    assert capsys.readouterr().out.startswith("2 images fetched, 2 were there")
    assert all(Path("data", "images", image).is_file() for image in targets)
    assert len(source.requests) == 4


def test_an_image_that_cannot_be_had_is_named_and_the_exit_code_is_1(
    source: Source, targets: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    source.give = {f"/{image}": [Served(picture())] for image in targets[:3]}
    assert run(("fetch", "images", "--targets", "t.json", "--base-url", source.url, "--folder", "mine")) == 1
    out, error = capsys.readouterr()
    assert error == f"chatir: failed: {targets[3]}: HTTP 404\n"
    assert out == "3 images fetched, 0 were there, 1 failed\nmine\n"


def test_images_of_a_corpus_list(source: Source, targets: list[str]) -> None:
    source.give = {f"/{image}": [Served(picture())] for image in targets}
    Path("corpus.json").write_text(json.dumps(targets[1:3]))
    assert run(("fetch", "images", "--corpus", "corpus.json", "--base-url", source.url, "--folder", "mine")) == 0
    assert len(list(Path("mine").rglob("*.jpg"))) == 2


def test_a_released_file_that_is_not_what_was_released_is_refused(
    source: Source, targets: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    source.give = {"/dialogues/VisDial_v1.0_queries_val.json": [Served(b"[]")]}
    assert run(("fetch", "--base-url", source.url)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "dialogues/VisDial_v1.0_queries_val.json" in line
    assert "its sha256 differs" in line
    assert not [path for path in Path("data").rglob("*") if path.is_file()]
