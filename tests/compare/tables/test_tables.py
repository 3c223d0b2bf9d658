"""What the tables of a comparison say: digits, what is best, marks, and what each mark means."""

from dataclasses import replace

import numpy as np
import pytest
from compare.comparisons import compared, difference, primary, retrieval, side_by_side
from compare.full_comparison import HOSTILE, PLAIN, full

from chatir import Dialog, Round
from chatir.compare.tables import tables
from chatir.measures.names import (
    MEASURES,
    NOT_GIVEN,
    interval_decimals,
    measure,
    number,
    p_value,
    percent_level,
)


def asking(*questions, count=1):
    rounds = tuple(Round(question, "yes") for question in questions)
    return [Dialog(f"{place}.jpg", "a picture", rounds) for place in range(count)]


def figures(run, **repetition):
    return replace(run, repetition={**run.repetition, **repetition})


def the(key, comparison):
    (found,) = [table for table in tables(comparison) if table.key == key]
    return found


def column(table, name, detail=None):
    (place,) = [
        place for place, column in enumerate(table.columns) if column.name == name and detail in (None, column.detail)
    ]
    return [row[place] for row in table.rows]


def best(table, name, detail=None):
    return [cell.best for cell in column(table, name, detail)]


def texts(table, name, detail=None):
    return [cell.text for cell in column(table, name, detail)]


def test_fewest_repeats_and_most_questions_are_best():
    runs = [compared("A", dialogs=asking("a?", "a?", "a?")), compared("B", dialogs=asking("a?", "b?", "c?"))]
    table = the("repetition", side_by_side(*runs))
    assert best(table, "repeats") == [False, True]
    assert best(table, "unique questions") == [False, True]
    assert best(table, "dialogs with repeats") == [False, True]


def test_most_hits_and_lowest_mean_rank_are_best():
    low, high = retrieval(12, 1), retrieval(12, 1)
    high = replace(high, curves={name: replace(curve, values=curve.values + 1) for name, curve in high.curves.items()})
    runs = [replace(compared(name), retrieval={"CLIP": found}) for name, found in (("A", low), ("B", high))]
    table = the("retrieval-1", side_by_side(*runs))
    assert best(table, "Hits@10", "%, round 4") == [False, True]
    assert best(table, "ATR") == [True, False]


def test_figures_that_print_the_same_are_best_together():
    made = side_by_side(
        *(
            figures(compared(name), repeats_per_dialog=value)
            for name, value in zip("ABC", (0.501, 0.499, 2), strict=True)
        )
    )
    assert best(the("repetition", made), "repeats") == [True, True, False]


def test_nothing_is_best_where_all_are_equal_or_alone():
    alike = side_by_side(compared("A"), compared("B"))
    assert not any(cell.best for table in tables(alike) for row in table.rows for cell in row)
    assert not any(cell.best for table in tables(side_by_side(compared("A"))) for row in table.rows for cell in row)


def test_no_language_is_better_than_another():
    runs = [compared("A", dialogs=asking("a?")), compared("B", dialogs=asking("what is there in it?"))]
    table = the("language", side_by_side(*runs))
    assert texts(table, "words per question") == ["1.00", "5.00"]
    assert not any(cell.best or one.better for row in table.rows for cell, one in zip(row, table.columns, strict=True))


def test_a_figure_that_cannot_be_given_is_never_best():
    runs = [figures(compared("A"), repeats_per_dialog=None), figures(compared("B"), repeats_per_dialog=1.0)]
    table = the("repetition", side_by_side(*runs, compared("C", dialogs=asking("a?", "a?", "a?", "a?"))))
    assert texts(table, "repeats") == [NOT_GIVEN, "1.00", "3.00"]
    assert best(table, "repeats") == [False, True, False]


def test_the_baseline_is_told_wherever_it_is_named():
    made = side_by_side(compared("A"), compared("B"))
    assert texts(the("repetition", made), "run") == ["A (baseline)", "B"]
    assert the("primary", made).title == "Primary differences from A (baseline)"


def test_all_runs_of_a_group_that_is_the_baseline_are_told_to_be():
    made = full(PLAIN)
    grouped = replace(made, baseline="two", groups=(replace(made.groups[0], name="two", runs=PLAIN[:2]),))
    assert texts(the("repetition", grouped), "run") == [f"{PLAIN[0]} (baseline)", f"{PLAIN[1]} (baseline)", PLAIN[2]]
    assert texts(the("seeds", grouped), "runs") == ["two (baseline)"]


def test_only_what_is_decided_is_marked_as_different():
    table = the("retrieval-1", side_by_side(compared("A"), compared("B")))
    assert [cell.mark for cell in column(table, "Hits@10", "%, round 4")] == ["", "†"]
    assert [cell.mark for cell in column(table, "Hits@10", "%, round 0")] == ["", ""]
    assert [cell.mark for cell in column(table, "BRI")] == ["", ""]


def test_a_difference_by_another_retriever_marks_nothing():
    told = replace(difference("A", "B", "hits@10", 12.5, 4.0, decided=True), retriever="other")
    table = the("retrieval-1", side_by_side(compared("A"), compared("B"), differences=[told]))
    assert {cell.mark for row in table.rows for cell in row} == {""}


def test_a_difference_between_others_than_the_baseline_marks_nothing():
    runs = [compared(name) for name in "ABC"]
    table = the("retrieval-1", side_by_side(*runs, differences=primary("B", "C")))
    assert {cell.mark for row in table.rows for cell in row} == {""}


def test_what_is_decided_of_a_group_marks_its_runs():
    made = full(PLAIN)
    groups = (replace(made.groups[0], name="two", runs=PLAIN[1:]),)
    table = the("retrieval-1", replace(made, groups=groups, differences=tuple(primary(PLAIN[0], "two"))))
    assert [cell.mark for cell in column(table, "Hits@10", "%, round 4")] == ["", "†", "†"]


@pytest.mark.parametrize("names", [HOSTILE, PLAIN])
def test_all_marks_that_are_used_are_explained_and_no_others(names):
    for table in tables(full(names)):
        cells = [cell for row in table.rows for cell in row]
        used = {cell.mark for cell in cells} | {column.arrow for column in table.columns}
        used |= {"bold" for cell in cells if cell.best} | {NOT_GIVEN for cell in cells if cell.text == NOT_GIVEN}
        explained = [mark.sign for mark in table.marks]
        assert {sign for sign in explained if sign == "bold" or not sign.isascii()} == used - {""}
        assert len(explained) == len(set(explained))


def test_every_row_has_a_cell_for_each_column_and_every_table_a_key_of_its_own():
    found = tables(full())
    assert all(len(row) == len(table.columns) for table in found for row in table.rows)
    assert len({table.key for table in found}) == len(found) == 14


def test_a_share_is_told_in_percent_with_a_second_decimal_from_a_thousand_images():
    made = side_by_side(figures(compared("A"), dialogs_with_repeats=0.123456))
    assert texts(the("repetition", made), "dialogs with repeats", "%") == ["12.3"]
    assert texts(the("repetition", replace(made, images=1000)), "dialogs with repeats") == ["12.35"]


def test_a_run_without_ranks_has_dashes_beside_those_that_have():
    table = the("retrieval-1", side_by_side(compared("A"), compared("B", labels=())))
    assert {cell.text for cell in table.rows[1][1:]} == {NOT_GIVEN}
    assert next(mark.meaning for mark in table.marks if mark.sign == NOT_GIVEN).startswith("not ranked with")


def test_without_ranks_there_is_no_table_of_retrieval():
    made = side_by_side(
        compared("A", labels=()),
        compared("B", labels=()),
        differences=[difference("A", "B", "repeats_per_dialog", 1, 1)],
    )
    assert [table.key for table in tables(made)] == ["summary", "repetition", "language", "defects", "primary"]


def test_truncation_is_told_only_where_a_retriever_can_tell():
    told = [the("retrieval-1", side_by_side(compared("A", truncated=share))) for share in (None, 0.0, 12.5)]
    assert ["truncated" in [one.name for one in table.columns] for table in told] == [False, True, True]
    assert texts(told[2], "truncated") == ["12.5"]


def test_a_dialog_that_ended_early_leaves_a_dash_in_the_last_round():
    found = retrieval(12)
    curve = found.curves["atr"]
    found = replace(found, curves={**found.curves, "atr": replace(curve, values=np.append(curve.values[:-1], np.nan))})
    table = the("retrieval-1", side_by_side(replace(compared("A"), retrieval={"CLIP": found})))
    assert texts(table, "ATR") == [NOT_GIVEN]


def test_kinds_of_defects_that_no_run_has_are_named_once():
    dialogs = [Dialog("a.jpg", "a picture", (Round.parse("no mark"), Round.parse("is it? yes")))]
    table = the("defects", side_by_side(compared("A", dialogs=dialogs), compared("B")))
    assert [one.name for one in table.columns] == ["run", "no question mark"]
    assert texts(table, "no question mark") == ["1", "0"]
    absent = "leaked label, several question marks, empty question, empty answer, soft refusal"
    assert table.about.endswith(f"with: {absent}.")


def test_that_there_are_no_defects_is_told():
    table = the("defects", side_by_side(compared("A"), compared("B")))
    assert texts(table, "defects") == ["0", "0"]


def test_primary_differences_stand_apart_from_all_others():
    found = {table.key: table for table in tables(full(PLAIN))}
    assert [len(found[key].rows) for key in ("primary", "descriptive", "rounds")] == [6, 1, 1]
    assert texts(found["primary"], "decision") == ["better", "undecided", "undecided"] * 2
    assert "decision" not in [one.name for one in found["descriptive"].columns]
    assert "No verdict rests on these." in found["descriptive"].about
    assert "flipping" not in found["primary"].about


@pytest.mark.parametrize(
    ("metric", "delta", "said"),
    [("hits@10", 1.0, "better"), ("hits@10", -1.0, "worse"), ("bri", -1.0, "better"), ("bri", 1.0, "worse")],
)  # fmt: skip
def test_a_decision_says_which_way(metric, delta, said):
    told = difference("A", "B", metric, delta, 0.5, decided=True)
    assert texts(the("primary", side_by_side(compared("A"), compared("B"), differences=[told])), "decision") == [said]


def test_the_plain_interval_stands_before_the_adjusted_one_whose_level_is_named():
    one = difference("A", "B", "bri", 1, 1)
    table = the("primary", side_by_side(compared("A"), compared("B"), differences=[one]))
    heads = [(each.name, each.detail) for each in table.columns]
    assert heads[3:5] == [("95% interval", ""), ("adjusted interval", "97.5%")]
    assert texts(table, "adjusted interval") == ["[-0.500, +2.500]"]
    other = replace(difference("A", "C", "bri", 1, 1), adjusted_level=0.95)
    runs = [compared(name) for name in "ABC"]
    table = the("primary", side_by_side(*runs, differences=[one, other]))
    assert texts(table, "level", "adjusted") == ["97.5%", "95%"]


def test_there_is_no_second_interval_where_nothing_is_adjusted():
    one = replace(difference("A", "B", "bri", 1, 1), adjusted_level=0.95)
    table = the("primary", side_by_side(compared("A"), compared("B"), differences=[one]))
    assert not {"adjusted interval", "level"} & {each.name for each in table.columns}


def test_p_of_the_test_and_of_the_gate_stand_beside_the_adjusted_one():
    told = [replace(one, p=0.2, gate_p=0.3 if one.retriever else None, p_holm=0.4) for one in primary("A", "B")]
    table = the("primary", side_by_side(compared("A"), compared("B"), differences=told))
    assert texts(table, "p", "of test") == ["0.200"] * 3
    assert texts(table, "p", "of gate") == ["0.300", "0.300", NOT_GIVEN]
    assert texts(table, "p (Holm)") == ["0.400"] * 3
    of_texts = the("primary", side_by_side(compared("A"), compared("B"), differences=told[2:]))
    assert "of gate" not in [each.detail for each in of_texts.columns]
    assert {"p (Holm)": "p, adjusted by Holm"}.items() <= {m.sign: m.meaning for m in of_texts.marks}.items()


def test_why_nothing_is_decided_is_explained_where_it_is_so():
    held, few, other = (replace(one, decided=False) for one in primary("A", "B"))
    told = [replace(held, withheld="gate-opposed"), replace(few, least_p=0.0625, n=5), other]
    table = the("primary", side_by_side(compared("A"), compared("B"), differences=told))
    assert texts(table, "decision") == ["no verdict", "too few to decide", "undecided"]
    assert texts(table, "least", "p (Holm)") == ["0.0010", "0.0625", "0.0010"]
    meanings = {mark.sign: mark.meaning for mark in table.marks}
    assert meanings["no verdict"].endswith("round by round the other one ranks targets better")
    plain = the("primary", side_by_side(compared("A"), compared("B"), differences=[other]))
    assert not {"no verdict", "too few to decide", "better"} & {mark.sign for mark in plain.marks}
    assert "least" not in [each.name for each in plain.columns]


def test_hits_by_round_have_a_row_of_chance_where_it_is_known():
    known = compared("A")
    unknown = replace(compared("B"), retrieval={"CLIP": replace(retrieval(12), chance={"hits@10": np.full(5, np.nan)})})
    table = the("by-round-1", side_by_side(known, unknown))
    assert texts(table, "run") == ["A (baseline)", "A: chance", "B"]
    assert [cell.text for cell in table.rows[1][1:]] == ["1.0", "1.8", "2.5", "3.2", "4.0"]
    assert [each.name for each in table.columns[1:]] == [f"round {number}" for number in range(5)]


def test_the_run_that_others_are_held_against_has_a_column_where_it_is_not_always_the_same():
    runs = [compared(name) for name in "ABC"]
    told = [*primary("A", "B"), *primary("B", "C")]
    table = the("primary", side_by_side(*runs, differences=told))
    assert texts(table, "minus") == ["A (baseline)"] * 3 + ["B"] * 3
    assert table.title == "Primary differences"


def test_numbers_of_failed_dialogs_stand_under_their_own_runs():
    table = the("failed", full(PLAIN))
    assert [cell.text for cell in table.rows[0]] == [
        "ChatGPT_BLIP2", "Human_BLIP2 (baseline)", "Hits@10 (%, CLIP)", "15", "2", "1", "-4.5", "+12.2",
    ]  # fmt: skip


def test_agreement_without_yes_or_no_has_dashes():
    table = the("answers", full(PLAIN))
    assert " ".join(cell.text for cell in table.rows[0][2:]) == "120 71.2 [68.1, 74.2] 0 – – 2.50 3.75"  # noqa: RUF001


@pytest.mark.parametrize(
    ("p", "said"),
    [(1.0, "1.000"), (0.5, "0.500"), (0.0496, "0.0496"), (1 / 10_000, "0.0001"), (0.000051, "0.0001"),
     (0.00004, "<0.0001"), (0.0, "<0.0001"), (None, NOT_GIVEN), (float("nan"), NOT_GIVEN)],
)  # fmt: skip
def test_a_p_is_never_told_smaller_than_it_is(p, said):
    assert p_value(p) == said


def test_what_rounds_to_zero_has_no_sign():
    assert [number(value, 2, sign=True) for value in (-0.001, 0.001, 0.0, -0.0)] == ["0.00"] * 4
    assert [number(value, 2, sign=True) for value in (-0.01, 0.01)] == ["-0.01", "+0.01"]
    assert [number(value, 0) for value in (0, -0.4, 100)] == ["0", "0", "100"]


def test_a_narrow_interval_has_the_digits_that_tell_its_ends_apart():
    told = replace(difference("A", "B", "repeats_per_dialog", 0.0021, 0.0017))
    table = the("primary", side_by_side(compared("A"), compared("B"), differences=[told]))
    assert texts(table, "95% interval") == ["[+0.0004, +0.0038]"]
    assert texts(table, "difference") == ["+0.0021"]


def test_an_interval_without_width_or_end_has_the_usual_digits():
    assert interval_decimals(2, 1.0, 1.0) == interval_decimals(2, 0.0, float("inf")) == 2
    assert interval_decimals(2, float("nan"), float("nan")) == 2


def test_a_level_is_told_with_no_more_digits_than_it_needs():
    assert [percent_level(level) for level in (0.95, 0.975, 1 - 0.05 / 3)] == ["95%", "97.5%", "98.33%"]


def test_every_measure_has_a_key_of_its_own_and_an_unknown_one_keeps_its_name():
    assert len({one.key for one in MEASURES}) == len(MEASURES)
    assert measure("of_another_kind", 10).name == "of another kind"
    assert measure("hits@3", 10).name == "Hits@3"
