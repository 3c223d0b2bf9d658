"""The data folder and the environment of LAVIS, in every state that a disk can be in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chatir import Dialog
from chatir.commands.doctoring import data as looks
from chatir.commands.doctoring.data import data_findings, has_images, lavis_findings
from chatir.commands.doctoring.finding import Finding
from chatir.datasets.data_folder import CORPUS, TARGETS
from chatir.simulate import write_dialogs


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHATIR_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def findings() -> dict[str, Finding]:
    return {finding.what: finding for finding in data_findings()}


def test_an_empty_folder_wants_what_fetch_brings(folder: Path) -> None:
    found = findings()
    assert "not there yet" in found["data folder"].detail
    assert not found["data folder"].gap
    assert [found[name].mends for name in ("targets", "corpus list", "dialogues")] == [(("chatir fetch",),)] * 3
    assert found["images"].mends == (("chatir fetch images",),)
    assert not folder.exists(), "a look makes nothing"


def test_the_released_files_are_known_by_their_content(folder: Path, shared: Path) -> None:
    for file in (TARGETS, CORPUS):
        path = folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((shared / "data" / "chatir" / file.name).read_bytes())
    found = findings()
    assert (found["targets"].state, found["corpus list"].state) == ("ok", "ok")
    (folder / TARGETS.name).write_text("[]")
    found = findings()
    assert found["targets"].gap
    assert "is not the released file" in found["targets"].detail
    assert "chatir fetch" in found["targets"].mends[0][0]


def test_images_are_counted_however_their_names_are_written(folder: Path) -> None:
    (folder / TARGETS.name).parent.mkdir(parents=True)
    write_dialogs(
        folder / TARGETS.name, [Dialog(name, "a cat") for name in (".\\a\\1.jpg", "\u00e9/\u00e9.jpg", "b.jpg")]
    )
    for name in ("a/1.jpg", "e\u0301/e\u0301.jpg"):
        (folder / "images" / name).parent.mkdir(parents=True)
        (folder / "images" / name).touch()
    assert findings()["images"].detail == "2 of the 3 of the targets"


def test_images_are_counted(folder: Path) -> None:
    for name in (TARGETS.name, CORPUS.name):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    write_dialogs(folder / TARGETS.name, [Dialog(f"a/{n}.jpg", "a cat") for n in range(3)])
    (folder / CORPUS.name).write_text(json.dumps([f"a/{n}.jpg" for n in range(5)]))
    (folder / "images" / "a").mkdir(parents=True)
    assert not has_images()
    (folder / "images" / "a" / "1.jpg").touch()
    assert has_images()
    found = findings()
    assert found["images"].detail == "1 of the 3 of the targets"
    assert found["images"].mends == (("chatir fetch images",),)
    assert found["corpus images"].detail == "1 of the 5 of the corpus"
    assert not found["corpus images"].gap
    for n in range(5):
        (folder / "images" / "a" / f"{n}.jpg").touch()
    found = findings()
    assert (found["images"].state, found["corpus images"].state) == ("ok", "ok")


def test_a_data_folder_that_is_a_file_is_a_gap(folder: Path) -> None:
    folder.write_text("")
    found = findings()
    assert found["data folder"].gap
    assert "is no folder" in found["data folder"].detail
    assert not [each for each in found.values() if each.gap and not each.mends]


def test_a_folder_that_cannot_be_read_is_a_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refused)
    found = findings()
    assert found["targets"].state == "broken"
    assert "Permission denied" in found["targets"].detail
    assert found["targets"].mends == (("export CHATIR_DATA=FOLDER",),)


def test_a_full_disk_is_a_gap(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "free_bytes", lambda folder: 10**6)
    assert findings()["data folder"].gap


def test_lavis_is_optional_and_a_ruin_of_it_is_broken(folder: Path) -> None:
    (absent,) = lavis_findings()
    assert (absent.state, absent.mends) == ("optional", (("chatir lavis install",),))
    (folder / "lavis").mkdir(parents=True)
    for stamp in ("", "{", '{"requirements": "others", "versions": {}}'):
        (folder / "lavis" / "chatir.json").write_text(stamp)
        (ruin,) = lavis_findings()
        assert (ruin.state, ruin.mends) == ("broken", (("chatir lavis install",),))
