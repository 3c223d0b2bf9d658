"""A file of rewritten queries is no dialogs: nothing is concluded from its repeats, its ranks count as ever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from compare.made_runs import CLIP, made_run, same_question
from matplotlib.text import Text
from players import said

from chatir import Dialog
from chatir.cli import run
from chatir.compare import compare
from chatir.compare.comparison_json import as_json
from chatir.compare.figures import save_figures
from chatir.compare.figures.bars import repeats_figures, unique_tokens_figures
from chatir.compare.figures.curves import onset_figures
from chatir.compare.figures.look import PAPER, drawing, look_of
from chatir.compare.figures.word_clouds import word_cloud_figures
from chatir.compare.report.browser_data import browser_data
from chatir.compare.tables import tables
from chatir.simulate import write_dialogs

TEXTS = {"repeats_per_dialog", "exact_repeats_per_dialog"} | {
    f"unique_{of}_tokens_per_dialog" for of in ("question", "answer")
}
PROBABLY = "most rounds hold no question: this is probably a file of rewritten queries, one whole text a round"


def query(dialog: Dialog) -> str:
    """The query text after a round: the same one from round 2 on."""
    return f"{dialog.caption} by day" if dialog.rounds else dialog.caption


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Queries, which repeat themselves, and dialogs that do and that do not; all were ranked."""
    targets = [Dialog(f"{number}.jpg", f"a picture of {number} things") for number in range(12)]
    made = {"queries": query, "repeating": same_question, "dialogs": lambda dialog: f"is it {len(dialog.rounds)}?"}
    finds = {"queries": (90, 9, 3, 1), "repeating": (90, 90, 90, 90), "dialogs": (90, 90, 90, 90)}
    return [
        made_run(tmp_path, name, targets=targets, ask=ask, ranks=[(CLIP, lambda dialog, name=name: finds[name])])
        for name, ask in made.items()
    ]


@pytest.mark.parametrize("baseline", ["queries", "dialogs"])
def test_no_test_and_no_verdict_is_about_its_repeats_and_its_ranks_are_compared(
    files: list[Path], baseline: str
) -> None:
    found = compare(files, baseline=baseline, all_pairs=True, worst=3)
    told = as_json(found)
    assert [one["repetition"] is None for one in told["runs"]] == [True, False, False]
    assert [one["language"] is None for one in told["runs"]] == [True, False, False]
    assert {(one.a, one.b) for one in found.differences if one.metric in TEXTS} in (
        {("repeating", "dialogs")},
        {("dialogs", "repeating")},
    )
    with_queries = [one for one in found.verdicts if "queries" in (one.a, one.b)]
    assert len(with_queries) == 2
    for verdict in with_queries:
        assert "targets" in verdict.sentence
        assert "repeats" not in verdict.sentence
    assert (found.worst["queries"], len(found.worst["repeating"])) == ((), 3)
    why = "most rounds hold no '?', so that their questions cannot be told from their answers"
    told = [note for note in found.notes if "chance" not in note]
    assert told == [f"queries: {why}; its repeats are not counted"], "a run of chatir is no file of queries"
    assert found.frames["runs"]["repeats_per_dialog"].isna().tolist() == [True, False, False]
    assert found.frames["dialogs"].groupby("run")["repeats"].count().to_dict() == {
        "queries": 0,
        "repeating": 12,
        "dialogs": 12,
    }
    for table in tables(found):
        if table.key in ("repetition", "language"):
            assert {cell.text for cell in table.rows[0][1:]} == {"–"}  # noqa: RUF001 - a dash as tables print it
            assert all(cell.best is False for cell in table.rows[0])


def test_no_figure_and_no_dialog_of_the_report_shows_its_repeats(files: list[Path]) -> None:
    found = compare(files)
    data = browser_data(found)["runs"]
    assert [run["asks"] for run in data] == [False, True, True]
    assert not any(data[0]["repeats"])
    with drawing(PAPER):
        look = look_of(found, PAPER)
        for figures in (repeats_figures, unique_tokens_figures, onset_figures, word_cloud_figures):
            for drawn in figures(found, look):
                texts = {text.get_text() for text in drawn.figure.findobj(Text)}
                assert "queries" not in texts
                assert "dialogs" in texts, drawn.name


def test_alone_it_has_neither_tables_nor_figures_of_texts(files: list[Path], tmp_path: Path) -> None:
    found = compare(files[0])
    assert not {"repeats", "onset", "unique_tokens"} & {path.stem for path in save_figures(found, tmp_path, ["svg"])}
    assert not {"repetition", "language"} & {table.key for table in tables(found)}


def test_seeds_of_queries_have_no_spread_of_repeats(tmp_path: Path) -> None:
    ranks = [(CLIP, lambda dialog: (9, 3, 2, 1))]
    played = {"ask": query, "questioner": {"name": "X"}, "ranks": ranks}
    (group,) = compare([made_run(tmp_path, f"x_seed{seed}", seed=seed, **played) for seed in (0, 1)]).groups  # type: ignore[arg-type]
    assert [spread.metric for spread in group.spread] == ["hits@10", "bri"]


@pytest.mark.parametrize(("questions", "counted"), [(2, True), (1, False)])
def test_a_run_is_no_dialogs_if_more_than_half_of_its_rounds_hold_no_question(
    tmp_path: Path, questions: int, counted: bool
) -> None:
    texts = [f"is it {number}? no" if number < questions else f"a text {number}" for number in range(4)]
    write_dialogs(tmp_path / "x.json", [Dialog("a.jpg", "a cat", said(*texts))])
    assert (compare(tmp_path / "x.json").runs[0].repetition is not None) is counted


@pytest.mark.parametrize("form", ["table", "json", "csv", "markdown", "latex"])
def test_every_format_says_what_the_file_probably_is(
    files: list[Path], form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files[0].with_suffix(".run").unlink()  # a file from elsewhere
    assert run(["compare", *map(str, files), "--format", form]) == 0
    out, error = capsys.readouterr()
    assert f"queries: {PROBABLY}" in (error if form in ("csv", "latex") else out)


@pytest.mark.parametrize("form", ["table", "json"])
def test_lint_says_so_too(files: list[Path], form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lint", *map(str, files), "--format", form]) == 0
    out, error = capsys.readouterr()
    assert error == f"chatir: {files[0]}: {PROBABLY}\n"
    assert form == "table" or len(json.loads(out)) == 3
