"""Bad input of every kind: exit code 2, one line that names the file and the way out, nothing changed on disk."""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from players import said

from chatir import Dialog
from chatir.cli import run
from chatir.simulate import write_dialogs

GOOD = [
    Dialog("a.jpg", "a cat", said("is it black? no", "is it small? yes")),
    Dialog("b.jpg", "a dog", said("is it black? yes", "is it small? no")),
]
ITEM = {"img": "a.jpg", "dialog": ["a cat", "is it black? no", "is it small? yes"]}


def snapshot(folder: Path) -> dict[str, tuple[bytes | None, int]]:
    return {
        str(path.relative_to(folder)): (None if path.is_dir() else path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if not path.is_fifo()
    }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHATIR_DATA", str(tmp_path / "data"))
    write_dialogs(Path("good.json"), GOOD)
    return tmp_path


def text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content, encoding="utf-8")


def data(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def items(*content: object) -> Callable[[Path], object]:
    return text(json.dumps(content))


def absent(path: Path) -> None:
    pass


def with_img(img: object) -> dict[str, object]:
    return ITEM | {"img": img}


def with_texts(*texts: object) -> dict[str, object]:
    return ITEM | {"dialog": list(texts)}


# What the targets file t.json holds, and what the line on stderr must tell.
TARGET_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (absent, "t.json: no such file or directory"),
    "empty": (data(b""), "t.json: is empty"),
    "only white space": (text(" \n"), "t.json: is not valid JSON"),
    "truncated": (text('[{"img": "a.jpg", "dial'), "t.json: is not valid JSON: Unterminated string"),
    "binary": (data(bytes(range(256))), "t.json: is not UTF-8 text"),
    "an image": (data(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), "t.json: is not UTF-8 text"),
    "UTF-16 cut short": (data("[]".encode("utf-16")[:-1]), "t.json: is not UTF-16 text"),
    "Latin-1": (data('[{"img": "é"}]'.encode("latin-1")), "t.json: is not UTF-8 text"),
    "a directory": (lambda path: path.mkdir(), "t.json: is a directory"),
    "no targets": (items(), "there are no targets"),
    "a number": (text("3"), "t.json: is a number, but a dialogue file is a list"),
    "null": (text("null"), "t.json: is missing or null"),
    "a string": (text('"x"'), "t.json: is text"),
    "an object that is not VisDial": (
        text('{"img": "a.jpg"}'),
        "t.json: is a JSON object of unknown kind (its keys: 'img');",
    ),
    "nested deeply": (text("[" * 100_000), "t.json: is not JSON that can be read"),
    "a huge number": (text("[" + "9" * 5000 + "]"), "t.json"),
    "an entry that is a list": (items(["a.jpg"]), "t.json: entry 0: is a list"),
    "an entry without image": (items(ITEM, {"dialog": ["x"]}), "t.json: entry 1: 'img' is missing"),
    "a number for an image": (items(with_img(7)), "t.json: entry 0: 'img' is a number"),
    "an entry without dialog": (items({"img": "a.jpg"}), "t.json: entry 0 ('a.jpg'): 'dialog' is missing"),
    "an empty dialog": (items(with_texts()), "t.json: entry 0 ('a.jpg'): 'dialog' is empty"),
    "text for a dialog": (items(ITEM | {"dialog": "a cat"}), "t.json: entry 0 ('a.jpg'): 'dialog' is text"),
    "a number for a caption": (items(with_texts(3)), "t.json: entry 0 ('a.jpg'): the caption is a number"),
    "a null round": (items(with_texts("a", "is it? no", None)), "('a.jpg'): round 2 is missing or null"),
    "a round as an object": (items(with_texts("a", {"question": "is it?"})), "round 1 is an object"),
    "a round as a list": (items(with_texts("a", ["is it?", "no"])), "round 1 is a list"),
    "an image named twice": (items(ITEM, ITEM), "t.json: entry 1: 'a.jpg' is named twice (first at entry 0)"),
    "an id named twice": (items(ITEM | {"id": "x"}, with_img("b.jpg") | {"id": "x"}), "'x' is named twice"),
    "a number for an id": (items(ITEM | {"id": 4}), "t.json: entry 0 ('a.jpg'): 'id' is a number"),
    "an absolute path": (items(with_img("/etc/passwd")), "image path '/etc/passwd' is absolute"),
    "a Windows path": (items(with_img("C:\\a.jpg")), "is absolute"),
    "a path that leads out": (items(with_img("x/../../a.jpg")), "leads out of the image root by '..'"),
    "an empty path": (items(with_img("")), "image path '' is empty"),
    "an empty caption": (items(ITEM, with_img("b.jpg") | {"dialog": [" "]}), "entry 1 ('b.jpg'): the caption is empty"),
    "an empty id": (items(ITEM | {"id": ""}), "t.json: entry 0 ('a.jpg'): 'id' is empty"),
    "an image named twice in other words": (items(ITEM, with_img("./a.jpg")), "entry 1: './a.jpg' is named twice"),
    "NUL in a path": (items(with_img("a\0.jpg")), "'img' holds a NUL character"),
    "NUL in a caption": (items(with_texts("a\0cat")), "the caption holds a NUL character"),
    "a raw NUL byte": (data(b'[{"img": "a.jpg", "dialog": ["a\0cat"]}]'), "t.json: is not valid JSON"),
    "a lone surrogate": (items(with_texts("a cat", "is it \ud83d? no")), "round 1 holds a lone surrogate"),
    "a terminal escape in a path": (items(with_img("\x1b[2Ja.jpg")), "holds a control character or a line break"),
    "a round that human lacks": (
        items(with_texts("a cat", "is it black? no")),
        "needs 2 questions of people about 'a.jpg', but the targets hold 1",
    ),
}


@pytest.mark.parametrize(("write", "told"), TARGET_FILES.values(), ids=TARGET_FILES)
def test_bad_targets(
    folder: Path, capsys: pytest.CaptureFixture[str], write: Callable[[Path], object], told: str
) -> None:
    write(Path("t.json"))
    refused(["simulate", *HUMANS, "--targets", "t.json", "--rounds", "2"], told, folder, capsys)


HUMANS = ("--questioner", "human", "--answerer", "human")
GOOD_RUN = ("simulate", *HUMANS, "--targets", "good.json", "--rounds", "2", "--out", "x.json")

TABLES: dict[str, tuple[str, str, str]] = {
    "a line that is not JSON": ("t.jsonl", "\nnope\n", "t.jsonl: line 2: is not valid JSON"),
    "a line without caption": ("t.jsonl", '{"image": "a.jpg"}\n', "t.jsonl: line 1: caption: field required"),
    "a line with a number": (
        "t.jsonl",
        '{"image": "a.jpg", "caption": 3}\n',
        "t.jsonl: line 1: caption: input should be",
    ),
    "no caption column": ("t.csv", "image,text\na.jpg,x\n", "t.csv: line 1: no column ['caption']"),
    "a short row": ("t.csv", "image,caption\na.jpg\n", "t.csv: line 2: has not as many fields"),
    "a quote that never ends": ("t.csv", 'image,caption\na.jpg,"x\n', "t.csv: line"),
    "a row that leads out": ("t.csv", "image,caption\n../a.jpg,x\n", "t.csv: line 2: image path '../a.jpg'"),
    "nothing that people said": (
        "t.csv",
        "image,caption\na.jpg,x\n",
        "'nearest-human' needs what people said about 'a.jpg'",
    ),
}


@pytest.mark.parametrize(("name", "content", "told"), TABLES.values(), ids=TABLES)
def test_bad_tables(folder: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, told: str) -> None:
    Path(name).write_text(content)
    refused(
        ["simulate", "--questioner", "smollm2", "--answerer", "nearest-human", "--targets", name], told, folder, capsys
    )


COMMANDS: dict[str, tuple[list[str], str]] = {
    "no such command": (["simulat"], "No such command 'simulat'"),
    "no questioner": (["simulate", "--answerer", "human"], "Missing option '--questioner'"),
    "unknown questioner": (
        ["simulate", "--questioner", "humna", "--answerer", "human", "--targets", "good.json"],
        "there is no questioner 'humna'; did you mean 'human'?",
    ),
    "unknown answerer": (
        ["simulate", "--questioner", "human", "--answerer", "blip3", "--targets", "good.json"],
        "there is no answerer 'blip3'; did you mean 'blip2'? there are: blip2, ",
    ),
    "unknown flag": ([*GOOD_RUN, "--limits", "3"], "No such option '--limits'"),
    "unknown option of a player": (
        ["simulate", "--questioner", "smollm2", "-q", "shot=1", "--answerer", "human", "--targets", "good.json"],
        "questioner 'smollm2' has no option 'shot'; did you mean 'shots'?",
    ),
    "wrong type of an option": (
        ["simulate", "--questioner", "smollm2", "-q", "shots=few", "--answerer", "human", "--targets", "good.json"],
        "questioner 'smollm2': option shots='few'",
    ),
    "an option for a player without any": ([*GOOD_RUN, "-q", "a=1"], "questioner 'human' has no options"),
    "an option without value": ([*GOOD_RUN, "-a", "threshold"], "-a threshold: must be KEY=VALUE"),
    "--limit -1": ([*GOOD_RUN, "--limit", "-1"], "--limit is -1, but must be a whole number of targets, 1 or more"),
    "--limit 0": ([*GOOD_RUN, "--limit", "0"], "--limit is 0"),
    "--limit few": ([*GOOD_RUN, "--limit", "few"], "'few' is not a valid integer"),
    "--rounds 0": ([*GOOD_RUN, "--rounds", "0"], "rounds is 0, but must be at least 1"),
    "--ask-again -1": ([*GOOD_RUN, "--ask-again", "-1"], "ask_again is -1"),
    "--seed x": ([*GOOD_RUN, "--seed", "x"], "'x' is not a number"),
    "--out without .json": ([*GOOD_RUN, "--out", "x.txt"], "x.txt: the dialogue file needs a name that ends in .json"),
    "--out of a directory": ([*GOOD_RUN, "--out", "dir.json"], "dir.json: is a directory"),
    "--out over the targets": ([*GOOD_RUN, "--out", "good.json"], "good.json: holds the targets; name another --out"),
    "--out over a dialogue file": ([*GOOD_RUN, "--out", "y.json"], "y.json: exists, but has no run file y.run"),
    "--out below a file": ([*GOOD_RUN, "--out", "good.json/x.json"], "good.json: file exists"),
    "--images that are not there": ([*GOOD_RUN, "--images", "nowhere"], "--images nowhere: is no folder"),
    "a prompt that is not there": (
        ["simulate", "--questioner", "smollm2", "-q", "prompt=zero", "--answerer", "human", "--targets", "good.json"],
        "there is no prompt 'zero'; there are: answer, chatcaptioner, few-shot",
    ),
    "default targets not fetched": (["simulate", *HUMANS], "'chatir fetch' brings it"),
    "image template": (
        ["simulate", *HUMANS, "--targets", "visdial.json", "--image-template", "x.jpg"],
        "must name {image_id}",
    ),
    "lint without files": (["lint"], "Missing argument 'FILE...'"),
    "lint of nothing": (["lint", "nothing.json"], "nothing.json: no such file"),
    "lint of no dialogue file": (["lint", "visdial.json"], "visdial.json: is an object"),
    "lint with a bad reference": (["lint", "good.json", "--reference", "no.json"], "no.json: no such file"),
    "lint in an unknown format": (["lint", "good.json", "--format", "xml"], "'xml' is not one of 'table', 'json'"),
    "list of an unknown kind": (["list", "players"], "'players' is not one of"),
    "fetch of an unknown thing": (["fetch", "weights"], "'weights' is not one of"),
    "fetch from no URL": (["fetch", "--base-url", "somewhere"], "--base-url: must be an http:// or https://"),
    "fetch released with targets": (["fetch", "--targets", "good.json"], "--targets goes with 'chatir fetch images'"),
    "fetch of a corpus that is none": (["fetch", "images", "--corpus", "visdial.json"], "is not a corpus list"),
}  # fmt: skip


@pytest.mark.parametrize(("command", "told"), COMMANDS.values(), ids=COMMANDS)
def test_bad_commands(folder: Path, capsys: pytest.CaptureFixture[str], command: list[str], told: str) -> None:
    Path("dir.json").mkdir()
    Path("y.json").write_text("[]")
    tables = {"questions": ["is it"], "answers": ["no"]}
    dialog = {"image_id": 5, "caption": "a cat", "dialog": [{"question": 0, "answer": 0}]}
    Path("visdial.json").write_text(json.dumps({"data": tables | {"dialogs": [dialog]}}))
    refused(command, told, folder, capsys)


def other_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE mine (thing)")


def damaged_run(path: Path) -> None:
    assert run(GOOD_RUN) == 0
    content = bytearray(path.read_bytes())
    content[4096 : 3 * 4096] = os.urandom(2 * 4096)
    path.write_bytes(content)
    Path("x.json").unlink()


def cut_run(path: Path) -> None:
    assert run(GOOD_RUN) == 0
    path.write_bytes(path.read_bytes()[:50])


def newer_run(path: Path) -> None:
    assert run(GOOD_RUN) == 0
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")


def other_run(path: Path) -> None:
    assert run([*GOOD_RUN, "--seed", "5"]) == 0


RUN_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a directory": (lambda path: path.mkdir(), "x.run: is a directory"),
    "text": (text("hello"), "x.run: is not a run file"),
    "empty": (data(b""), "x.run: is not a run file"),
    "a database of another program": (other_database, "x.run: is a database of another program"),
    "damaged": (damaged_run, "x.run: the run file is damaged"),
    "cut short": (cut_run, "x.run: is not a run file"),
    "of a later chatir": (newer_run, "x.run: is a run file of format 99"),
    "of another configuration": (other_run, "x.run: was made with another configuration (seed: 5 there, 0 now)"),
}


@pytest.mark.parametrize(("write", "told"), RUN_FILES.values(), ids=RUN_FILES)
def test_bad_run_files(
    folder: Path, capsys: pytest.CaptureFixture[str], write: Callable[[Path], object], told: str
) -> None:
    write(Path("x.run"))
    capsys.readouterr()
    refused(list(GOOD_RUN), told, folder, capsys)


def refused(command: list[str], told: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(folder)
    code = run(command)
    out, error = capsys.readouterr()
    assert code == 2, error
    assert told in error
    assert len(error.splitlines()) == 1
    assert error.rstrip("\n").isprintable()
    assert "Traceback" not in error
    assert out == ""
    assert snapshot(folder) == before


@pytest.mark.parametrize("below", ["x.json", "deep/x.json"])
def test_a_folder_that_cannot_be_written(folder: Path, capsys: pytest.CaptureFixture[str], below: str) -> None:
    Path("locked").mkdir(mode=0o500)
    # Root may write anywhere but into what the kernel makes up.
    locked = Path("/proc/self/fd") if os.geteuid() == 0 else Path("locked")
    refused([*GOOD_RUN, "--out", str(locked / below)], f"chatir: {locked}/", folder, capsys)


@pytest.mark.parametrize("size", [1_000, 30_000, 150_000])
def test_a_full_disk_ends_a_run_in_one_line_with_what_was_committed_kept(folder: Path, size: int) -> None:
    dialogs = [Dialog(f"{n}.jpg", "a cat", said("is it black? no", "is it small? yes")) for n in range(2000)]
    write_dialogs(Path("many.json"), dialogs)
    command = [sys.executable, "-m", "chatir", *GOOD_RUN, "--targets", "many.json"]

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    done = subprocess.run(command, preexec_fn=small_disk, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert "x." in done.stderr
    assert not Path("x.json").exists()
    assert not list(folder.glob(".x.*"))
    assert subprocess.run(command, capture_output=True).returncode == 0, "with room again, the same command goes on"
