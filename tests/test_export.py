"""Exports: the dialogue file can be made again from each of them; nothing is overwritten, half written or fetched."""

from __future__ import annotations

import csv
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from players import Answering, Asking
from retriever.searching import Hashing, corpus, dialogs, expected_ranks

from chatir import Dialog, Round
from chatir.datasets.lint import lint
from chatir.errors import InputError
from chatir.measures.defects import DEFECTS
from chatir.measures.questions import repeats
from chatir.retriever.score import score
from chatir.run.export import export
from chatir.run.export import writers as writing
from chatir.simulate import read_dialogs, simulate, write_dialogs

datasets = pytest.importorskip("datasets")
parquet = pytest.importorskip("pyarrow.parquet")

FORMS = ("csv", "parquet", "datasets")
ODD = [
    {"img": "a.jpg", "dialog": ["NA", "null? None", "NaN", "nan? ", "? yes", "1? 02", "1e3? \x1f", "is it?  two  "]},
    {"img": "b.jpg", "dialog": ['a "quoted", comma', "=1+1? @sum", 'is it "it"? ""', "a,b? c;d\te", "it? ''"]},
    {"img": "c.jpg", "dialog": ["two\nlines", "is it\r\nso? yes\rno\n", "\ufeffit? caf\u00e9 \U0001f600\u2028", " "]},
    {"img": "d.jpg", "dialog": [""]},
    {"img": "a.jpg", "dialog": ["again", "is it? no"], "id": "a.jpg#2", "width": 3.5, "tags": ["x", {"y": None}]},
    {"img": "e.jpg", "dialog": ["own id", "? ", ""], "id": "e.jpg", "lone": "\ud800", "nul": "\0"},
]  # fmt: skip


def rebuilt_entries(rows: list[dict[str, Any]], texts: Callable[[dict[str, Any]], list[str]]) -> list[dict[str, Any]]:
    entries = []
    for row in rows:
        entry = {"img": row["image"], "dialog": [row["caption"], *texts(row)]}
        entry |= {"id": row["id"]} if row["id"] != row["image"] else {}
        entries.append(entry | json.loads(row["extra"]))
    return entries


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    """A table as pandas reads it."""
    if (file := folder / f"{name}.csv").exists():
        return pd.read_csv(file, dtype=str, keep_default_na=False).to_dict("records")  # type: ignore[return-value]
    return pd.read_parquet(folder / f"{name}.parquet").to_dict("records")  # type: ignore[return-value]


def rebuilt(folder: Path, form: str) -> Any:
    """The dialogue file again, from an export."""
    if form == "datasets":
        rows = datasets.load_from_disk(str(folder)).to_list()
        return rebuilt_entries(rows, lambda row: [one["text"] for one in row["rounds"]])
    texts: dict[str, list[str]] = {}
    for row in rows_of(folder, "rounds"):
        texts.setdefault(row["id"], []).append(row["text"])
    return rebuilt_entries(rows_of(folder, "dialogs"), lambda row: texts.get(row["id"], []))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A dialogue file that is hard to export."""
    (tmp_path / "talk.json").write_text(json.dumps(ODD))
    return tmp_path / "talk.json"


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    """A dialogue file with ranks by two retrievers of the same name, one of which tells that it reads 50 characters."""
    write_dialogs(tmp_path / "scored.json", dialogs())
    score(tmp_path / "scored.json", Hashing(longest=50), corpus())
    score(tmp_path / "scored.json", Blind(flavor="other "), corpus(45))
    return tmp_path / "scored.json"


class Blind(Hashing):
    """Cannot tell whether it reads a text to its end."""

    truncated = None  # type: ignore[assignment]


@pytest.mark.parametrize("form", FORMS)
def test_the_dialogue_file_can_be_made_again(file: Path, tmp_path: Path, form: str) -> None:
    export(file, form, tmp_path / "out")
    assert rebuilt(tmp_path / "out", form) == ODD


@pytest.mark.parametrize("form", FORMS)
def test_a_released_file_can_be_made_again(shared: Path, tmp_path: Path, form: str) -> None:
    released = shared / "data" / "chatir" / "dialogues" / "FLAN_ALPACA_XXL_BLIP2.json"
    export(released, form, tmp_path / "out")
    assert rebuilt(tmp_path / "out", form) == json.loads(released.read_text())


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(st.lists(TEXT, min_size=1), min_size=1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_survives_csv(tmp_path: Path, texts: list[list[str]]) -> None:
    entries = [{"img": f"{number}.jpg", "dialog": some} for number, some in enumerate(texts)]
    (tmp_path / "any.json").write_text(json.dumps(entries))
    export(tmp_path / "any.json", "csv", tmp_path / "any")
    again = rebuilt(tmp_path / "any", "csv")
    shutil.rmtree(tmp_path / "any")
    assert again == entries


@pytest.mark.parametrize("form", FORMS)
def test_what_was_written_is_told_with_its_rows(scored: Path, tmp_path: Path, form: str) -> None:
    out = tmp_path / "out"
    counts = {"dialogs": 7, "rounds": 21, "ranks": 7 * 4 * 2}
    told = {out: 7} if form == "datasets" else {out / f"{name}.{form}": count for name, count in counts.items()}
    assert export(scored, form, out) == told
    assert form == "datasets" or {path.name for path in out.iterdir()} == {path.name for path in told}


def test_a_run_without_ranks_has_no_table_of_them(file: Path, tmp_path: Path) -> None:
    export(file, "csv", tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"dialogs.csv", "rounds.csv"}


def test_parquet_columns_have_types(scored: Path, tmp_path: Path) -> None:
    export(scored, "parquet", tmp_path / "out")
    kinds = {
        name: {field.name: str(field.type) for field in parquet.read_schema(tmp_path / "out" / f"{name}.parquet")}
        for name in ("dialogs", "rounds", "ranks")
    }
    text = dict.fromkeys(("run", "id", "image"), "string")
    assert kinds["dialogs"] == {**text, "caption": "string", "rounds": "int64", "repeats": "int64", "extra": "string"}
    assert kinds["rounds"] == {
        **text,
        "round": "int64",
        **dict.fromkeys(("question", "answer", "text"), "string"),
        **dict.fromkeys(("repeated", *DEFECTS), "bool"),
    }
    assert kinds["ranks"] == {
        **text,
        **dict.fromkeys(("retriever", "corpus"), "string"),
        **dict.fromkeys(("corpus_images", "round", "rank"), "int64"),
        "truncated": "bool",
    }


def test_csv_can_be_read_by_any_reader_and_its_figures_stand_outside_quotes(file: Path, tmp_path: Path) -> None:
    export(file, "csv", tmp_path / "out")
    with (tmp_path / "out" / "rounds.csv").open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["text"] for row in rows] == [text for entry in ODD for text in entry["dialog"][1:]]
    line = (tmp_path / "out" / "rounds.csv").read_text(encoding="utf-8").splitlines()[1]
    assert line == '"talk","a.jpg","a.jpg",1,"null?","None","null? None",False,False,False,False,False,False,False'


def test_repeats_and_defects_are_those_that_lint_and_compare_count(shared: Path, tmp_path: Path) -> None:
    released = shared / "data" / "chatir" / "dialogues" / "FLAN_ALPACA_XXL_BLIP2.json"
    export(released, "parquet", tmp_path / "out")
    rounds = pd.read_parquet(tmp_path / "out" / "rounds.parquet")
    told = pd.read_parquet(tmp_path / "out" / "dialogs.parquet")
    expected = [repeats(one.question for one in dialog.rounds) for dialog in read_dialogs(released)]
    assert told["repeats"].tolist() == expected
    assert rounds.groupby("id", sort=False)["repeated"].sum().tolist() == expected
    assert told["rounds"].tolist() == rounds.groupby("id", sort=False).size().tolist()
    found = lint(released).defects
    assert rounds[list(DEFECTS)].sum().to_dict() == {kind: found[kind] for kind in DEFECTS}


def expected_ranking(flavor: str, images: int) -> dict[str, list[int]]:
    ranks = expected_ranks(dialogs(), corpus(images), flavor)
    return {dialog.id: found for dialog, found in zip(dialogs(), ranks, strict=True)}


def test_ranks_are_told_for_each_retriever_and_round(scored: Path, tmp_path: Path) -> None:
    export(scored, "parquet", tmp_path / "out")
    ranks = pd.read_parquet(tmp_path / "out" / "ranks.parquet")
    for images, flavor, among in ((40, "", corpus()), (45, "other ", corpus(45))):
        some = ranks[ranks["corpus_images"] == images]
        assert set(some["corpus"]) == {among.fingerprint}
        assert {key: group.tolist() for key, group in some.groupby("id")["rank"]} == expected_ranking(flavor, images)
        assert some["round"].tolist() == [0, 1, 2, 3] * 7
    assert ranks["retriever"].nunique() == 2
    assert all(label.startswith("Hashing (") for label in ranks["retriever"])


def test_a_rank_tells_whether_the_text_was_too_long_if_the_retriever_can_tell(scored: Path, tmp_path: Path) -> None:
    write_dialogs(scored, [replace(dialogs(1)[0], caption="x" * 40)])
    scored.with_suffix(".run").unlink()
    score(scored, Hashing(longest=60), corpus())
    score(scored, Blind(), corpus(45))
    export(scored, "parquet", tmp_path / "out")
    ranks = pd.read_parquet(tmp_path / "out" / "ranks.parquet")
    assert ranks["truncated"].tolist() == [
        False,
        False,
        True,
        True,
        None,
        None,
        None,
        None,
    ]  # 40, 56, 72, 88 characters


def test_a_dataset_holds_the_ranks_in_its_rows_and_has_the_same_features_without(
    scored: Path, file: Path, tmp_path: Path
) -> None:
    export(scored, "datasets", tmp_path / "out")
    export(file, "datasets", tmp_path / "unscored")
    found = datasets.load_from_disk(str(tmp_path / "out"))
    for images, flavor in ((40, ""), (45, "other ")):
        ranks = {row["id"]: one["ranks"] for row in found for one in row["ranks"] if one["corpus_images"] == images}
        assert ranks == expected_ranking(flavor, images)
    assert [one["truncated"] for one in found[0]["ranks"]] == [[False, False, False, True], None]
    both = datasets.concatenate_datasets([found, datasets.load_from_disk(str(tmp_path / "unscored"))])
    assert both.filter(lambda row: row["run"] == "talk", keep_in_memory=True)["ranks"][:] == [[]] * len(ODD)


def test_dialogs_that_were_not_ranked_yet_are_told(tmp_path: Path) -> None:
    out, targets = tmp_path / "run.json", [replace(dialog, rounds=()) for dialog in dialogs(6)]
    simulate(targets[:4], Asking(), Answering(), out=out, rounds=2)
    score(out, Hashing(), corpus())
    simulate(targets, Asking(), Answering(), out=out, rounds=2)
    notes: list[str] = []
    export(out, "csv", tmp_path / "out", notes.append)
    assert {row["id"] for row in rows_of(tmp_path / "out", "ranks")} == {target.id for target in targets[:4]}
    assert len(rows_of(tmp_path / "out", "dialogs")) == 6
    told = "2 of 6 dialogs have no ranks by Hashing, or only ranks of other texts"
    assert notes == [f"{out}: {told}; 'chatir score' makes them"]


def test_a_run_file_of_another_dialogue_file_is_left_out_with_a_note(scored: Path, tmp_path: Path) -> None:
    write_dialogs(scored, dialogs()[:-1])
    notes: list[str] = []
    assert export(scored, "csv", tmp_path / "out", notes.append).keys() == {
        tmp_path / "out" / "dialogs.csv",
        tmp_path / "out" / "rounds.csv",
    }
    (told,) = notes
    assert f"{scored.with_suffix('.run')}: does not belong to scored.json" in told


def test_what_is_exported_stays_as_it_is(scored: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    export(scored, "csv", tmp_path / "out")
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_that_holds_something_is_refused_untouched(file: Path, tmp_path: Path, form: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="out: holds something already"):
        export(file, form, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]
    assert {path.name for path in tmp_path.iterdir()} == {"talk.json", "out"}


def test_a_file_in_its_place_and_the_current_folder_are_refused(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="is a file, but a folder is needed"):
        export(file, "csv", file)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(InputError, match="is the folder that you are in"):
        export(file, "csv", ".")


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_folder_is_filled_and_a_new_one_made_with_those_above(file: Path, tmp_path: Path, form: str) -> None:
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "new" / "and" / "deeper"):
        export(file, form, out)
        assert rebuilt(out, form) == ODD
        assert [path.name for path in out.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_export_that_is_broken_off_leaves_nothing(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def dying(run: object, folder: Path) -> dict[str, int]:
        writing.csv_files(run, folder)  # type: ignore[arg-type]
        raise error

    monkeypatch.setitem(writing.WRITERS, "csv", dying)  # type: ignore[arg-type]
    (tmp_path / "out").mkdir()
    with pytest.raises((KeyboardInterrupt, InputError)) as told:
        export(file, "csv", tmp_path / "out")
    assert not isinstance(error, OSError) or str(told.value) == f"{tmp_path / 'out'}: no space left on device"
    assert list((tmp_path / "out").iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"talk.json", "out"}


def test_what_a_killed_export_left_is_reused_by_the_next_one(file: Path, tmp_path: Path) -> None:
    program = (
        "import os, sys; from chatir.run.export import export, writers\n"
        "def dying(run, folder):\n"
        "    writers.csv_files(run, folder)\n"
        "    (folder / 'deep').mkdir()\n"
        "    os._exit(9)\n"
        "writers.WRITERS['csv'] = dying\n"
        "export(sys.argv[1], 'csv', sys.argv[2])"
    )
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", program, str(file), str(tmp_path / "out")]).returncode == 9
        assert {path.name for path in tmp_path.iterdir()} == {"talk.json", ".out.part"}
    written = export(file, "csv", tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"talk.json", "out"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {path.name for path in written}


def test_what_another_put_there_meanwhile_is_not_overwritten(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(run: object, folder: Path) -> dict[str, int]:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "dialogs.csv").write_text("theirs")
        return writing.csv_files(run, folder)  # type: ignore[arg-type]

    monkeypatch.setitem(writing.WRITERS, "csv", late)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="out: directory not empty"):
        export(file, "csv", tmp_path / "out")
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == {"dialogs.csv": "theirs"}


def test_a_link_to_a_folder_leads_there(file: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    export(file, "csv", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert rebuilt(tmp_path / "disk", "csv") == ODD


def test_a_folder_that_cannot_be_made_is_one_line(file: Path) -> None:
    with pytest.raises(InputError, match=r"talk\.json: is a file, but a folder is needed"):
        export(file, "csv", file / "out")


@pytest.mark.parametrize(("form", "package"), [("parquet", "pyarrow"), ("datasets", "datasets")])
def test_without_the_package_the_pip_line_is_told_and_nothing_written(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"{package}: pip install 'chatir\[datasets\]'"):
        export(file, form, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"talk.json"}


def test_csv_needs_no_further_package(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("pyarrow", "datasets"):
        monkeypatch.setitem(sys.modules, package, None)
    export(file, "csv", tmp_path / "out")


def test_other_forms_and_files_without_dialogs_are_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'excel' is nothing that a run is exported to; it is one of: csv, parquet"):
        export(file, "excel", tmp_path / "out")
    file.write_text("[]")
    with pytest.raises(InputError, match="holds no dialogs"):
        export(file, "csv", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", ["parquet", "datasets"])
def test_a_run_is_written_in_parts_to_the_same_end(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(writing, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(writing, "DIALOGS_AT_ONCE", 2)
    export(file, form, tmp_path / "out")
    assert rebuilt(tmp_path / "out", form) == ODD
    if form == "parquet":
        assert parquet.ParquetFile(tmp_path / "out" / "rounds.parquet").num_row_groups > 3


@pytest.mark.parametrize("form", FORMS)
def test_an_export_opens_no_connection_and_prints_nothing(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], form: str
) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("a connection is opened")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    datasets.enable_progress_bars()
    export(file, form, tmp_path / "out")
    assert capfd.readouterr() == ("", "")
    assert not datasets.are_progress_bars_disabled()


def test_dialogs_that_were_made_here_have_their_text_as_a_file_would_hold_it(tmp_path: Path) -> None:
    write_dialogs(tmp_path / "talk.json", [Dialog("a.jpg", "a room", (Round("is it?", "no"),))])
    export(tmp_path / "talk.json", "csv", tmp_path / "out")
    (row,) = rows_of(tmp_path / "out", "rounds")
    assert (row["question"], row["answer"], row["text"], row["round"]) == ("is it?", "no", "is it? no", "1")
