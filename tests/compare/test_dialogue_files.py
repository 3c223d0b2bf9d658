"""`chatir compare DIR` and `chatir compare outputs/*`: what is no dialogue file is skipped, what is damaged is told."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from compare.made_runs import made_run, named, same_question

from chatir.cli import run
from chatir.compare import compare
from chatir.errors import InputError
from chatir.run.dialogue_files import is_other
from chatir.simulate import write_dialogs

Typed = Callable[..., tuple[int, str, str]]

OTHERS = {
    "a.run-wal": b"\x37\x7f\x06\x82",
    "corpus.json": b'["a.jpg", "b.jpg"]',
    "cut-list.json": b'["a.jpg", "b',
    "figure.png": b"\x89PNG\r\n",
    "kept.json.kept": b"[]",
    "list.json": b'[{"image": "a.jpg", "caption": "a"}]',
    "notes.txt": b"[todo] compare",
    "page.html": b"",
    "renamed.json": b"SQLite format 3\0 and more",
    "settings.json": b'{"img": 1',
}
DAMAGED = {
    "empty.json": (b"", "is empty"),
    "none.json": (b"[]", "holds no dialogs"),
    "cut.json": (b'[{"img": "a.jpg", "dialog": ["a', "is not valid JSON: Unterminated string"),
    "zeros.json": (bytes(100), "is not valid JSON"),
    "open.json": (b"[", "is not valid JSON"),
    "no-dialog.json": (b'[{"img": "a.jpg"}]', "entry 0 ('a.jpg'): 'dialog' is missing"),
    "later.json": (b'[{"a": 1}, {"dialog": ["a"]}]', "entry 0: 'img' is missing"),
}


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Type a command where `outputs` holds two runs and much else; `*` stands for all of it."""
    monkeypatch.chdir(tmp_path)
    outputs = Path("outputs")
    (outputs / "old").mkdir(parents=True)
    write_dialogs(outputs / "old" / "C.json", named(4))
    made_run(outputs, "A")
    made_run(outputs, "B", ask=same_question)
    for name, content in OTHERS.items():
        (outputs / name).write_bytes(content)

    def type_(*words: str) -> tuple[int, str, str]:
        shell = [str(path) for word in words for path in (sorted(outputs.glob("*")) if word == "*" else [word])]
        code = run(shell)
        return code, *capsys.readouterr()

    return type_


@pytest.mark.parametrize("word", ["*", "outputs"])
def test_a_folder_and_everything_in_it_are_compared_alike(typed: Typed, word: str) -> None:
    code, out, err = typed("compare", word)
    assert (code, err) == (0, "")
    skipped = [line for line in out.splitlines() if "not dialogue files" in line]
    count = len(OTHERS)  # a run file belongs beside its dialogue file
    (line,) = skipped
    assert line.startswith(f"note: skipped {count} files that are not dialogue files: outputs/a.run-wal, ")
    assert line.endswith(f" and {count - 3} more")
    told = json.loads(typed("compare", word, "--format", "json", "--baseline", "B")[1])
    assert [one["name"] for one in told["runs"]] == ["A", "B"]


def test_a_run_without_a_dialogue_file_is_named(typed: Typed) -> None:
    Path("outputs/C.run").write_bytes(Path("outputs/A.run").read_bytes())
    Path("outputs/A.json").rename("outputs/A.json.kept")
    notes = [line for line in typed("compare", "outputs")[1].splitlines() if "no dialogue file yet" in line]
    assert notes == [
        "note: outputs/C.run: has no dialogue file yet and is not compared; 'chatir simulate' continues the run"
    ]


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("word", ["*", "outputs"])
def test_a_damaged_dialogue_file_is_an_error_with_its_place(typed: Typed, name: str, word: str) -> None:
    content, why = DAMAGED[name]
    Path("outputs", name).write_bytes(content)
    code, out, err = typed("compare", word)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"outputs/{name}: {why}" in err


def test_a_file_that_is_not_there_is_an_error(typed: Typed) -> None:
    Path("outputs/link.json").symlink_to("nowhere.json")
    for words in (["outputs/A.json", "outputs/missing.json"], ["*"]):
        code, _, err = typed("compare", *words)
        assert code == 2
        assert "no such file or directory" in err


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_dialogue_file_is_an_error_where_it_is_named_alone(typed: Typed, name: str) -> None:
    assert is_other(Path("outputs", name))
    code, out, err = typed("compare", f"outputs/{name}")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"outputs/{name}" in err


def test_names_among_which_is_no_dialogue_file_are_an_error(typed: Typed) -> None:
    code, out, err = typed("compare", *(f"outputs/{name}" for name in OTHERS))
    assert (code, out) == (2, "")
    assert f"none of the {len(OTHERS)} files named is a dialogue file; 'chatir runs' lists what a folder holds" in err
    Path("empty").mkdir()
    assert "no file in empty is a dialogue file" in typed("compare", "empty")[2]


def test_in_python_a_folder_is_compared_too(typed: Typed) -> None:
    assert [one.name for one in compare("outputs").runs] == ["A", "B"]
    assert [one.name for one in compare(["outputs", Path("outputs/old")]).runs] == ["A", "B", "C"]
    with pytest.raises(InputError, match="no dialogue file is named"):
        compare([])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_dialogue_file_of_any_name_and_encoding_is_compared(typed: Typed, encoding: str) -> None:
    text = Path("outputs/old/C.json").read_text()
    Path("outputs/theirs.txt").write_text(text, encoding=encoding)
    told = json.loads(typed("compare", "outputs", "--format", "json")[1])
    assert [one["name"] for one in told["runs"]] == ["A", "B", "theirs"]


def test_a_skipped_name_that_is_no_utf_8_is_in_the_report_too(typed: Typed) -> None:
    Path("outputs", os.fsdecode(b"0\xff.html")).touch()
    code, _, err = typed("compare", "outputs", "--report", "report.html")
    assert code == 0, err
    assert "outputs/0\\udcff.html" in Path("report.html").read_text()
