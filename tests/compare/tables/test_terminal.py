"""What a person at a terminal sees of a comparison, at any width, whatever names and texts hold."""

import re
from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
from compare.comparisons import compared, side_by_side
from compare.full_comparison import HOSTILE, PLAIN, full
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from chatir import Dialog, Round
from chatir.compare.comparison import Verdict
from chatir.compare.tables import tables
from chatir.compare.tables.terminal import LEAST_WIDTH, as_text

WIDTHS = (LEAST_WIDTH, 80, 100, 120, 200)
ANSI = re.compile(r"\x1b\[[0-9;]*m")


whole = partial(as_text, everything=True)


def figures(comparison):
    """All figures, each as often as it must be seen."""
    return Counter(
        cell.text
        for table in tables(comparison)
        for row in table.rows
        for cell, column in zip(row, table.columns, strict=True)
        if column.numeric
    )


def line_of(text, start):
    return next(line for line in text.splitlines() if line.startswith(start))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("names", [PLAIN, HOSTILE])
def test_no_line_is_wider_than_the_terminal(names, width):
    lines = whole(full(names), width=width, color=False).split("\n")
    assert max(map(cell_len, lines)) <= width


@pytest.mark.parametrize("width", [20, *WIDTHS, None])
@pytest.mark.parametrize("names", [PLAIN, HOSTILE])
def test_no_figure_is_cut_or_lost_however_narrow_the_terminal(names, width):
    text = whole(full(names), width=width, color=False)
    seen = Counter(re.sub("[*†]+", "", part) for part in re.split(r" {2,}|\n", text))
    missing = {figure: times for figure, times in figures(full(names)).items() if seen[figure] < times}
    assert missing == {}


@pytest.mark.parametrize("width", WIDTHS)
def test_no_head_of_a_column_is_lost(width):
    text = re.sub("[↓↑]", "", whole(full(PLAIN), width=width, color=False)).split()
    heads = {word for table in tables(full(PLAIN)) for one in table.columns for word in one.name.split()}
    assert heads - set(text) == set()


@pytest.mark.parametrize("width", WIDTHS)
def test_every_block_names_all_runs(width):
    made = replace(side_by_side(*(compared(f"run{number}", seed=number) for number in range(12))), differences=())
    text = whole(made, width=width, color=False)
    blocks = len(re.findall("^run ", text, flags=re.MULTILINE))
    assert blocks >= 2
    for name in ("run0 ", "run7 ", "run11 "):
        assert len(re.findall(f"^{name}", text, flags=re.MULTILINE)) == blocks


def test_tables_about_the_same_runs_stand_side_by_side_where_there_is_room():
    made = side_by_side(compared("A"), compared("B"))
    assert re.search("^ +Repetition ─+  Language ─+$", whole(made, width=120, color=False), flags=re.MULTILINE)
    assert not re.search("Repetition.*Language", whole(made, width=80, color=False))


def test_figures_stand_in_line_below_each_other_whatever_the_names_are():
    text = whole(full(("x", "名前の長い実行", "émile")), width=120, color=False)
    rows = [line for line in text.split("\n") if line.startswith(("x (baseline)", "名前の長い実行 ", "émile "))]
    rows = rows[4:]  # Those of the summary aside, which end in intervals.
    ends = {tuple(cell_len(row[: match.end()]) for match in re.finditer(r"\d\.\d+", row)) for row in rows[:3]}
    assert len(rows) > 3
    assert len(ends) == 1


def test_what_is_best_has_a_star_where_nothing_can_be_bold():
    runs = [compared("A", dialogs=[asked("a?", "a?")]), compared("B", dialogs=[asked("a?", "b?")])]
    text = whole(side_by_side(*runs, differences=()), width=100, color=False)
    assert re.search(r"^B +0\.00\* ", text, flags=re.MULTILINE)
    assert "1.00*" not in text
    assert "*: the best figure of its column" in " ".join(text.split())
    assert "\x1b" not in text


def test_on_a_terminal_just_what_is_best_is_bold():
    runs = [compared("A", dialogs=[asked("a?", "a?")]), compared("B", dialogs=[asked("a?", "b?")])]
    made = side_by_side(*runs)
    text = whole(made, width=100, color=True)
    bold = [part.strip(" †") for part in re.findall(r"\x1b\[1m(.*?)\x1b\[0m", text)]
    assert Counter(bold) == Counter(
        cell.text for table in tables(made) for row in table.rows for cell in row if cell.best
    )
    assert "bold: the best figure of its column" in " ".join(text.split())
    assert "*" not in text


@pytest.mark.parametrize("variable", ["NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS", "TERM"])
def test_only_the_arguments_say_how_it_looks(monkeypatch, variable):
    usual = [whole(full(PLAIN), width=100, color=color) for color in (True, False)]
    monkeypatch.setenv(variable, {"COLUMNS": "30", "TERM": "dumb"}.get(variable, "1"))
    assert [whole(full(PLAIN), width=100, color=color) for color in (True, False)] == usual


@pytest.mark.parametrize("color", [True, False])
@pytest.mark.parametrize("width", [80, None])
def test_no_text_reaches_the_terminal_as_a_command(width, color):
    text = whole(full(), width=width, color=color)
    codes = set(ANSI.findall(text))
    assert codes == ({"\x1b[1m", "\x1b[0m"} if color else set())
    assert ANSI.sub("", text).replace("\n", "").isprintable()
    assert r"\x1b[31mred\x1b[0m\r\n" in text


@given(st.text(min_size=1, max_size=40), st.text(max_size=60))
def test_nothing_unprintable_is_ever_shown(name, sentence):
    made = side_by_side(compared(name), compared("B"))
    made = replace(made, verdicts=(Verdict(name, "B", "runs", (), sentence),), notes=(sentence,), method=sentence)
    assert whole(made, width=80, color=False).replace("\n", "").isprintable()


def test_markup_in_a_name_is_only_text():
    made = side_by_side(compared("[bold]A[/bold] :smile:"), compared("B"))
    assert line_of(whole(made, width=200, color=True), "[bold]A[/bold] :smile: (baseline)")


def test_what_is_no_terminal_gets_nothing_folded():
    name = "a name " * 20 + "that is long"
    made = replace(side_by_side(compared(name), compared("B")), method="word " * 100)
    lines = whole(made, width=None, color=False, method=True).splitlines()
    assert sum(line.startswith(f"{name} (baseline)") for line in lines) == 5
    assert ("word " * 100).strip() in lines


def test_tables_marks_dialogs_method_verdicts_notes_and_what_else_there_is_follow_each_other():
    text = whole(full(PLAIN), width=200, color=False, method=True)
    parts = ("Failed dialogs", "†: differs", "Dialogs of", "Tested by", "ChatGPT_BLIP2 finds", "note: ", "--report")
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_verdicts_and_notes_hang_by_their_first_lines():
    made = full(PLAIN)
    verdicts = (replace(made.verdicts[0], sentence="A sentence of " + "words " * 20),) * 2
    text = as_text(replace(made, verdicts=verdicts, notes=("note " * 20,)), width=80, color=False)
    lines = text.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("A sentence"))
    assert [len(line) - len(line.lstrip()) for line in lines[start : start + 7]] == [0, 2, 0, 2, 0, 2, 0]
    assert " ".join(" ".join(lines[start : start + 2]).split()) == f"A sentence of {'words ' * 20}".strip()


def test_unless_all_is_asked_for_there_is_one_table_and_what_it_needs():
    text = as_text(full(PLAIN), width=120, color=False)
    assert len(re.findall("^run ", text, flags=re.MULTILINE)) == 1
    assert "Tested by" not in text
    assert "†" not in text
    assert text.endswith("--all: every table; --method: how it was tested (6 tests, Holm); --report FILE.html: a page")
    assert "Tested by flipping" in as_text(full(PLAIN), width=120, color=False, method=True)
    assert "--all" not in whole(full(PLAIN), width=120, color=False)


def test_notes_that_are_left_out_are_counted():
    made = replace(full(PLAIN), notes=tuple(f"number {number}" for number in range(7)))
    short, every = as_text(made, width=100, color=False), whole(made, width=100, color=False)
    assert [line for line in short.splitlines() if line.startswith("note")] == [f"note: number {n}" for n in range(5)]
    assert "--all: every table and 2 more notes; " in short
    assert "note: number 6" in every


@pytest.mark.parametrize(("width", "has"), [(200, (True, True)), (86, (False, True)), (76, (False, False))])
def test_the_summary_has_the_intervals_that_there_is_room_for(width, has):
    made = side_by_side(compared("first-unasked"), compared("greedy"))
    row = line_of(as_text(made, width=width, color=False), "greedy ")
    assert re.search(r"\d\.\d \[", row)  # Hits@10 always has its interval.
    assert (bool(re.search(r"^greedy +\d\.\d\d \[", row)), bool(re.search(r"\d\.\d{3} \[", row))) == has


def test_five_runs_take_less_than_25_lines_of_100_columns():
    names = ("first-unasked", "greedy", "people-blip2", "people", "unanswered")
    made = side_by_side(*(compared(name, seed=seed) for seed, name in enumerate(names)))
    sentence = "{}: no difference from first-unasked is shown in Hits@10, BRI or repeats (nearest: BRI -0.145, 95% CI "
    sentence += "-0.259 to -0.033, p (Holm) = 0.0966); about the runs: BLIP2 answers in first-unasked, Human in {}"
    verdicts = tuple(Verdict(names[0], name, "runs", (), sentence.format(name, name)) for name in names[1:])
    lines = as_text(replace(made, verdicts=verdicts, notes=("a line to type",)), width=100, color=False).split("\n")
    assert max(map(len, lines)) <= 100
    assert len(lines) <= 25


def test_a_decision_is_folded_between_words_before_a_name_is():
    made = side_by_side(compared("first-unasked"), compared("greedy"))
    decided = [replace(one, decided=True) for one in made.differences]
    lines = as_text(replace(made, differences=tuple(decided)), width=76, color=False).splitlines()
    place = next(place for place, line in enumerate(lines) if line.startswith("greedy "))
    folded = [line.split("  ")[-1].strip() for line in lines[place : place + 3]]
    assert " ".join(folded).startswith("better: Hits@10, BRI; worse: repeats")


def test_without_a_summary_the_tables_of_each_run_are_shown():
    made = replace(side_by_side(compared("A", labels=()), differences=()), summaries=())
    text = as_text(made, width=120, color=False)
    assert "Repetition" in text
    assert "Defects" in text


def test_worst_dialogs_name_the_round_that_each_question_repeats():
    run = compared("A", dialogs=[asked("a?", "b?", "A!?", "b?"), asked("a?")])
    text = whole(replace(side_by_side(run), worst={"A": (0,)}), width=80, color=False)
    assert text.split("Dialogs of A with most repeats\n")[1].split("\n")[:5] == [
        "  a?.jpg: 2 repeats: a picture",
        "     1 a? yes",
        "     2 b? yes",
        "     3 (= 1) A!? yes",
        "     4 (= 2) b? yes",
    ]


def test_worst_dialogs_are_told_only_if_they_are_asked_for():
    assert "most repeats" not in whole(side_by_side(compared("A")), width=80, color=False)


def test_long_texts_of_dialogs_are_cut():
    run = compared("A", dialogs=[asked("why " * 100 + "?")])
    text = whole(replace(side_by_side(run), worst={"A": (0,)}), width=None, color=False)
    assert "     1 " + ("why " * 100)[:299] + "…" in text.splitlines()


def test_one_run_alone_is_told_without_differences():
    text = whole(side_by_side(compared("A")), width=120, color=False)
    assert text.startswith("1 run: 12 images, 4 rounds a dialog; each ranked by CLIP among 1,000 images\n")
    assert "differs" not in text
    assert "best figure" not in text
    assert "decision" not in text


@pytest.mark.slow
def test_the_released_runs_fit_on_one_screen(shared):
    from chatir.compare import compare

    made = compare(sorted((shared / "data/chatir/dialogues").glob("*.json")))
    text = whole(made, width=120, color=False)
    assert re.search(r"^FLAN_ALPACA_XXL_BLIP2 +6\.74† +6\.60 +99\.32 +3\.26 +4\.20 ", text, flags=re.MULTILINE)
    short = as_text(made, width=100, color=False)
    assert line_of(short, "FLAN_ALPACA_XXL_BLIP2 ").split()[1:4] == ["6.74", "[6.66,", "6.81]"]
    assert short.count("\n") < 25


def asked(*questions):
    return Dialog(f"{questions[0][:5]}.jpg", "a picture", tuple(Round(question, "yes") for question in questions))
