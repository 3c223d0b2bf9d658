from hypothesis import given
from hypothesis import strategies as st

from chatir.datasets.lint import Example, LintReport
from chatir.datasets.lint_table import lint_table


def report(file, examples=(), **defects):
    kinds = {"leaked_label": 0, "odd_spacing": 0} | defects
    return LintReport(file, 2064, 20_640, kinds, {kind: [example] for kind, example in examples})


def names(table):
    """The files that a table's head names; their own spaces are single."""
    return table.splitlines()[0].strip().split("  ")


def test_a_row_for_each_kind_and_a_column_for_each_file():
    one = report("one.json", [("leaked_label", Example("a.jpg", 3, "is it? Answer: yes"))], leaked_label=13_547)
    assert lint_table([one, report("runs/two.json")]).split("\n") == [
        "                one    two",
        "dialogs        2064   2064",
        "rounds        20640  20640",
        "leaked_label  13547      0",
        "odd_spacing       0      0",
        "",
        "one, for example",
        "  leaked_label: a.jpg round 3: 'is it? Answer: yes'",
    ]


def test_captions_and_whole_dialogs_are_named_as_such():
    examples = [("a", Example("a.jpg", 0, "a  dog")), ("b", Example("b.jpg", None, "9 rounds instead of 10"))]
    lines = lint_table([report("one.json", examples, a=1, b=1)]).splitlines()
    assert lines[-2:] == ["  a: a.jpg caption: 'a  dog'", "  b: b.jpg: '9 rounds instead of 10'"]


def test_long_texts_are_cut():
    table = lint_table([report("one.json", [("a", Example("a.jpg", 1, "x" * 101))], a=1)])
    assert table.endswith(": '" + "x" * 99 + "…'")


def test_a_kind_that_one_file_was_not_asked_for_is_not_zero():
    lines = lint_table([report("one.json"), report("two.json", missing_dialog=0)]).splitlines()
    assert lines[-1].split() == ["missing_dialog", "-", "0"]


def test_files_of_one_stem_are_told_apart():
    files = ["a/same.json", "b/same.json", "other.json", "b/same.json", "/same.json"]
    assert names(lint_table(reports(files))) == ["a/same", "b/same", "other", "b/same (2)", "/same"]
    assert names(lint_table(reports(["x/one.json", "x/one.json"]))) == ["one", "one (2)"]
    assert names(lint_table(reports(["one.json", "one.txt"]))) == ["one", "one (2)"]


def reports(files):
    return [report(file) for file in files]


def test_seven_files_need_two_tables():
    first, second = lint_table(reports([f"{n}.json" for n in range(7)])).split("\n\n")
    assert first.splitlines()[0].split() == list("012345")
    assert second.splitlines()[0].split() == ["6"]
    assert lint_table([]) == ""


def test_a_terminal_command_in_a_file_is_shown_and_not_obeyed():
    example = Example("a\x1b[2J.jpg", 1, "is it\x1b]0;title\x07?\u202e\nyes")
    table = lint_table([report("\x1b[31m.json", [("leaked_label", example)], leaked_label=1)])
    assert table.endswith(r"leaked_label: 'a\x1b[2J.jpg' round 1: 'is it\x1b]0;title\x07?\u202e\nyes'")


@given(st.text(), st.text(), st.text(min_size=1).map("run".__add__))
def test_nothing_unprintable_is_ever_shown(img, text, stem):
    table = lint_table([report(f"{stem}.json", [("leaked_label", Example(img, 1, text))], leaked_label=1)])
    assert table.replace("\n", "").isprintable()
