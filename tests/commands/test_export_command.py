"""`chatir export` as a user types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from retriever.searching import Hashing, corpus, dialogs

from chatir.cli import run
from chatir.retriever.score import score
from chatir.simulate import write_dialogs

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Type a command in a folder with a scored run."""
    monkeypatch.chdir(tmp_path)
    Path("outputs").mkdir()
    write_dialogs("outputs/X.json", dialogs())
    score("outputs/X.json", Hashing(), corpus())

    def type_(*words: str) -> tuple[int, str, str]:
        code = run(words)
        return code, *capsys.readouterr()

    return type_


def test_the_tables_are_written_and_told_on_stdout(typed: Typed) -> None:
    code, out, err = typed("export", "outputs/X.json", "--to", "csv", "tables")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "tables/dialogs.csv: 7 rows",
        "tables/rounds.csv: 21 rows",
        "tables/ranks.csv: 28 rows",
    ]
    ranks = pd.read_csv("tables/ranks.csv")
    assert ranks.groupby("run")["rank"].count().to_dict() == {"X": 28}


def test_a_dataset_is_loaded_from_where_it_was_written(typed: Typed) -> None:
    datasets = pytest.importorskip("datasets")
    code, out, err = typed("export", "outputs/X.json", "--to", "datasets", "dataset")
    assert (code, out, err) == (0, "dataset: 7 rows\n", "")
    loaded = datasets.load_from_disk("dataset")
    assert loaded["image"][:] == [entry["img"] for entry in json.loads(Path("outputs/X.json").read_text())]


def test_what_it_is_exported_to_may_come_from_the_environment(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setenv("CHATIR_EXPORT_TO", "parquet")
    assert typed("export", "outputs/X.json", "tables")[0] == 0
    assert len(pd.read_parquet("tables/rounds.parquet")) == 21


def test_nothing_is_overwritten(typed: Typed) -> None:
    assert typed("export", "outputs/X.json", "--to", "csv", "tables")[0] == 0
    before = {path: path.read_bytes() for path in Path("tables").iterdir()}
    for folder in ("tables", "outputs"):
        code, out, err = typed("export", "outputs/X.json", "--to", "csv", folder)
        assert (code, out) == (2, "")
        assert err == f"chatir: {folder}: holds something already, which is not overwritten; name a new folder\n"
    assert {path: path.read_bytes() for path in Path("tables").iterdir()} == before


def test_ranks_of_another_dialogue_file_are_left_out_with_a_note(typed: Typed) -> None:
    write_dialogs("outputs/X.json", dialogs(3))
    code, out, err = typed("export", "outputs/X.json", "--to", "csv", "tables")
    assert code == 0
    assert "ranks" not in out
    assert err.startswith("chatir: outputs/X.run: does not belong to X.json as it is now")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("outputs/X.json", "tables"), "Missing option '--to'"),
        (("outputs/X.json", "--to", "csv"), "Missing argument 'DIR'"),
        (("outputs/X.json", "--to", "excel", "tables"), "'excel' is not one of 'csv', 'parquet', 'datasets'"),
        (("outputs/Y.json", "--to", "csv", "tables"), "outputs/Y.json: no such file"),
        (("outputs/X.run", "--to", "csv", "tables"), "outputs/X.run: is a run file; name its dialogue file, X.json"),
        (("outputs", "--to", "csv", "tables"), "outputs: is a directory"),
    ],
)
def test_wrong_use_is_one_line_and_writes_nothing(typed: Typed, words: tuple[str, ...], told: str) -> None:
    code, out, err = typed("export", *words)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1
    assert not Path("tables").exists()
