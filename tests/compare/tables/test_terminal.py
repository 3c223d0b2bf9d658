"""What a person at a terminal sees of a comparison, at any width, whatever names and texts hold."""

import re
from collections import Counter
from dataclasses import replace

import pytest
from compare.comparisons import compared, side_by_side
from compare.full_comparison import HOSTILE, PLAIN, full
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from chatir import Dialog, Round
from chatir.compare.comparison import Verdict
from chatir.compare.tables import tables
from chatir.compare.tables.terminal import LEAST_WIDTH, as_text

WIDTHS = (LEAST_WIDTH, 80, 100, 120, 200)
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def shown(comparison):
    """The tables that a terminal shows."""
    return [table for table in tables(comparison) if table.key not in ("descriptive", "rounds")]


def figures(comparison):
    """All figures, each as often as it must be seen."""
    return Counter(
        cell.text
        for table in shown(comparison)
        for row in table.rows
        for cell, column in zip(row, table.columns, strict=True)
        if column.numeric
    )


def line_of(text, start):
    return next(line for line in text.splitlines() if line.startswith(start))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("names", [PLAIN, HOSTILE])
def test_no_line_is_wider_than_the_terminal(names, width):
    lines = as_text(full(names), width=width, color=False).split("\n")
    assert max(map(cell_len, lines)) <= width


@pytest.mark.parametrize("width", [20, *WIDTHS, None])
@pytest.mark.parametrize("names", [PLAIN, HOSTILE])
def test_no_figure_is_cut_or_lost_however_narrow_the_terminal(names, width):
    text = as_text(full(names), width=width, color=False)
    seen = Counter(re.sub("[*†]+", "", part) for part in re.split(r" {2,}|\n", text))
    missing = {figure: times for figure, times in figures(full(names)).items() if seen[figure] < times}
    assert missing == {}


@pytest.mark.parametrize("width", WIDTHS)
def test_no_head_of_a_column_is_lost(width):
    text = re.sub("[↓↑]", "", as_text(full(PLAIN), width=width, color=False)).split()
    heads = {word for table in shown(full(PLAIN)) for one in table.columns for word in one.name.split()}
    assert heads - set(text) == set()


@pytest.mark.parametrize("width", WIDTHS)
def test_every_block_names_all_runs(width):
    made = replace(side_by_side(*(compared(f"run{number}", seed=number) for number in range(12))), differences=())
    text = as_text(made, width=width, color=False)
    blocks = len(re.findall("^run ", text, flags=re.MULTILINE))
    assert blocks >= 2
    for name in ("run0 ", "run7 ", "run11 "):
        assert len(re.findall(f"^{name}", text, flags=re.MULTILINE)) == blocks


def test_tables_about_the_same_runs_stand_side_by_side_where_there_is_room():
    made = side_by_side(compared("A"), compared("B"))
    assert re.search("^ +Repetition ─+  Language ─+$", as_text(made, width=120, color=False), flags=re.MULTILINE)
    assert not re.search("Repetition.*Language", as_text(made, width=80, color=False))


def test_figures_stand_in_line_below_each_other_whatever_the_names_are():
    text = as_text(full(("x", "名前の長い実行", "émile")), width=120, color=False)
    rows = [line for line in text.split("\n") if line.startswith(("x (baseline)", "名前の長い実行 ", "émile "))]
    ends = {tuple(cell_len(row[: match.end()]) for match in re.finditer(r"\d\.\d+", row)) for row in rows[:3]}
    assert len(rows) > 3
    assert len(ends) == 1


def test_what_is_best_has_a_star_where_nothing_can_be_bold():
    runs = [compared("A", dialogs=[asked("a?", "a?")]), compared("B", dialogs=[asked("a?", "b?")])]
    text = as_text(side_by_side(*runs, differences=()), width=100, color=False)
    assert line_of(text, "B ").split()[1] == "0.00*"
    assert "1.00*" not in line_of(text, "A (baseline)")
    assert "*: the best figure of its column" in text
    assert "\x1b" not in text


def test_on_a_terminal_just_what_is_best_is_bold():
    runs = [compared("A", dialogs=[asked("a?", "a?")]), compared("B", dialogs=[asked("a?", "b?")])]
    made = side_by_side(*runs)
    text = as_text(made, width=100, color=True)
    bold = [part.strip(" †") for part in re.findall(r"\x1b\[1m(.*?)\x1b\[0m", text)]
    assert Counter(bold) == Counter(
        cell.text for table in shown(made) for row in table.rows for cell in row if cell.best
    )
    assert "bold: the best figure of its column" in text
    assert "*" not in text


@pytest.mark.parametrize("variable", ["NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS", "TERM"])
def test_only_the_arguments_say_how_it_looks(monkeypatch, variable):
    usual = [as_text(full(PLAIN), width=100, color=color) for color in (True, False)]
    monkeypatch.setenv(variable, {"COLUMNS": "30", "TERM": "dumb"}.get(variable, "1"))
    assert [as_text(full(PLAIN), width=100, color=color) for color in (True, False)] == usual


@pytest.mark.parametrize("color", [True, False])
@pytest.mark.parametrize("width", [80, None])
def test_no_text_reaches_the_terminal_as_a_command(width, color):
    text = as_text(full(), width=width, color=color)
    codes = set(ANSI.findall(text))
    assert codes == ({"\x1b[1m", "\x1b[0m"} if color else set())
    assert ANSI.sub("", text).replace("\n", "").isprintable()
    assert r"\x1b[31mred\x1b[0m\r\n" in text


@settings(max_examples=25)
@given(st.text(min_size=1, max_size=40), st.text(max_size=60))
def test_nothing_unprintable_is_ever_shown(name, sentence):
    made = side_by_side(compared(name), compared("B"))
    made = replace(made, verdicts=(Verdict(name, "B", "runs", (), sentence),), notes=(sentence,), method=sentence)
    assert as_text(made, width=80, color=False).replace("\n", "").isprintable()


def test_markup_in_a_name_is_only_text():
    made = side_by_side(compared("[bold]A[/bold] :smile:"), compared("B"))
    assert line_of(as_text(made, width=200, color=True), "[bold]A[/bold] :smile: (baseline)")


def test_what_is_no_terminal_gets_nothing_folded():
    name = "a name " * 20 + "that is long"
    made = replace(side_by_side(compared(name), compared("B")), method="word " * 100)
    lines = as_text(made, width=None, color=False).splitlines()
    assert sum(line.startswith(f"{name} (baseline)") for line in lines) == 4
    assert ("word " * 100).strip() in lines


def test_verdicts_are_the_last_that_is_said():
    made = full(PLAIN)
    verdicts = tuple(replace(made.verdicts[0], sentence=f"Sentence {number}.") for number in range(3))
    lines = as_text(replace(made, verdicts=verdicts), width=80, color=False).splitlines()
    assert lines[-4:] == ["", *(f"=> Sentence {number}." for number in range(3))]


def test_notes_and_method_stand_beneath_the_tables():
    text = as_text(full(PLAIN), width=200, color=False)
    places = [text.index(part) for part in ("Failed dialogs", "†: differs", "note: ", "Tested by", "Dialogs of", "=> ")]
    assert places == sorted(places)


def test_how_many_differences_are_told_elsewhere_is_said():
    assert "2 further differences, on which no verdict rests" in as_text(full(PLAIN), width=200, color=False)
    assert "further" not in as_text(side_by_side(compared("A"), compared("B")), width=200, color=False)


def test_worst_dialogs_name_the_round_that_each_question_repeats():
    run = compared("A", dialogs=[asked("a?", "b?", "A!?", "b?"), asked("a?")])
    text = as_text(replace(side_by_side(run), worst={"A": (0,)}), width=80, color=False)
    assert text.split("Dialogs of A with most repeats\n")[1].split("\n") == [
        "  a?.jpg: 2 repeats: a picture",
        "     1 a? yes",
        "     2 b? yes",
        "     3 (= 1) A!? yes",
        "     4 (= 2) b? yes",
    ]


def test_worst_dialogs_are_told_only_if_they_are_asked_for():
    assert "most repeats" not in as_text(side_by_side(compared("A")), width=80, color=False)


def test_long_texts_of_dialogs_are_cut():
    run = compared("A", dialogs=[asked("why " * 100 + "?")])
    text = as_text(replace(side_by_side(run), worst={"A": (0,)}), width=None, color=False)
    assert text.endswith("    1 " + ("why " * 100)[:299] + "…")


def test_one_run_alone_is_told_without_differences():
    text = as_text(side_by_side(compared("A")), width=120, color=False)
    assert text.startswith("1 run: 12 images, 4 rounds a dialog\n")
    assert "differs" not in text
    assert "best" not in text


@pytest.mark.slow
def test_the_released_runs_fit_on_one_screen(shared):
    from chatir.compare import compare

    made = compare(sorted((shared / "data/chatir/dialogues").glob("*.json")))
    text = as_text(made, width=120, color=False)
    flan = line_of(text, "FLAN_ALPACA_XXL_BLIP2 ").split()
    assert flan[1:6] == ["6.74†", "6.60", "99.32", "3.26", "4.20"]
    assert text[: text.index("Agreement")].count("\n") < 35


def asked(*questions):
    return Dialog(f"{questions[0][:5]}.jpg", "a picture", tuple(Round(question, "yes") for question in questions))
