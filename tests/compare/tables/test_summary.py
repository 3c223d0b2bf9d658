"""The table that answers first: one row a run or group, plain intervals, chance, and words that name every measure."""

from dataclasses import replace

import pytest
from compare.comparisons import compared, difference, primary, side_by_side

from chatir.compare.summary_words import outcome
from chatir.compare.tables import summary_table, tables
from chatir.measures.names import NOT_GIVEN

METRICS = ("hits@10", "bri", "repeats_per_dialog")


def between(*changes, **every):
    """A and B, their primary differences changed in the order of `METRICS`."""
    found = [replace(one, decided=False, **every) for one in primary("A", "B")]
    changed = [replace(one, **change) for one, change in zip(found, changes, strict=False)]
    return side_by_side(compared("A"), compared("B"), differences=[*changed, *found[len(changes) :]])


def row(comparison, name, **options):
    table = summary_table(comparison, **options)
    return next(
        {column.name: cell.text for column, cell in zip(table.columns, cells, strict=True)}
        for cells in table.rows
        if cells[0].text == name
    )


def with_estimate(comparison, metric, **values):
    first, *others = comparison.summaries
    changed = tuple(replace(one, **values) if one.metric == metric else one for one in first.estimates)
    return replace(comparison, summaries=(replace(first, estimates=changed), *others))


def meanings(table):
    return {mark.sign: mark.meaning for mark in table.marks}


def test_it_is_the_first_table():
    assert [table.key for table in tables(between())][:2] == ["summary", "repetition"]


def test_a_figure_stands_with_its_interval_and_what_chance_gives():
    made = with_estimate(between(), "hits@10", value=66.0, low=56.3, high=74.54, chance=2.94)
    found = row(made, "A")
    assert (found["Hits@10"], found["chance"]) == ("66.0 [56, 75]", "2.9")
    assert row(replace(made, images=2000), "A")["Hits@10"] == "66.00 [56.3, 74.5]"
    assert row(made, "A", intervals=())["Hits@10"] == "66.0"


def test_an_interval_has_two_digits_of_its_width_and_no_more_than_the_figure():
    made = with_estimate(between(), "bri", value=2.34, low=2.1687, high=2.5103)
    assert row(made, "A")["BRI"] == "2.340 [2.17, 2.51]"
    made = with_estimate(between(), "repeats_per_dialog", value=0.0078, low=0.0044, high=0.0116)
    assert row(made, "A")["repeats"] == "0.0078 [0.0044, 0.0116]"
    made = with_estimate(between(), "repeats_per_dialog", value=2.0, low=2.0, high=2.0)
    assert row(made, "A")["repeats"] == "2.00 [2.00, 2.00]"


def test_a_group_of_seeds_has_one_row_with_its_spread():
    made = with_estimate(between(), "hits@10", value=65.0, low=58.3, high=71.7, between_seeds=4.33)
    table = summary_table(made)
    assert row(made, "A")["Hits@10"] == "65.0 ± 4.3 [58, 72]"
    assert meanings(table)["±"] == "standard deviation between seeds"


def test_every_retriever_has_a_row_for_every_run_that_it_ranked():
    made = side_by_side(compared("A", labels=("CLIP", "BLIP")), compared("B", labels=("CLIP",)))
    table = summary_table(made)
    assert [(cells[0].text, cells[1].text) for cells in table.rows] == [("A", "CLIP"), ("B", "CLIP"), ("A", "BLIP")]
    assert NOT_GIVEN not in meanings(table)


def test_why_figures_are_not_given_is_told():
    queries = replace(compared("B"), repetition=None)
    made = side_by_side(compared("A"), queries, differences=primary("A", "B")[:2])
    assert row(made, "B")["repeats"] == NOT_GIVEN
    assert meanings(summary_table(made))[NOT_GIVEN] == "most rounds hold no question"
    made = with_estimate(between(), "hits@10", chance=None)
    assert row(made, "A")["chance"] == NOT_GIVEN
    assert meanings(summary_table(made))[NOT_GIVEN].startswith("chance is known once")
    assert NOT_GIVEN not in meanings(summary_table(between()))


def test_without_ranks_only_repeats_are_told_and_without_figures_there_is_no_table():
    made = side_by_side(compared("A", labels=()), compared("B", labels=()), differences=primary("A", "B")[2:])
    assert list(row(made, "B")) == ["run", "repeats", "decision"]
    assert summary_table(replace(made, summaries=())) is None


YES, LESS = {"decided": True}, {"decided": True, "delta": -1.0}
HELD, OPPOSED, FEW = {"withheld": "gate"}, {"withheld": "gate-opposed"}, {"least_p": 0.06, "n": 5}


@pytest.mark.parametrize(
    ("changes", "said"),
    [((YES, LESS, LESS), "better: Hits@10, BRI, repeats"), ((LESS, {}, YES), "worse: Hits@10, repeats"),
     ((LESS, LESS), "worse: Hits@10; better: BRI"), ((), "undecided"),
     ((HELD, HELD, YES), "no verdict: Hits@10, BRI; worse: repeats"), ((OPPOSED,), "no verdict: Hits@10"),
     ((FEW, FEW, FEW), "too few to decide"), ((FEW,), "undecided"), ((FEW, FEW, YES), "worse: repeats")],
)  # fmt: skip
def test_a_decision_names_every_measure_that_it_is_about(changes, said):
    made = between(*changes)
    assert row(made, "B")["decision"] == said
    assert row(made, "A")["decision"] == "baseline"


def test_what_both_have_and_is_not_tested_is_named():
    made = side_by_side(compared("A"), compared("B"), differences=primary("A", "B")[2:])
    assert row(made, "B")["decision"] == "undecided: repeats; not tested: Hits@10, BRI"
    made = replace(made, differences=(replace(made.differences[0], decided=True),))
    assert row(made, "B")["decision"] == "worse: repeats; not tested: Hits@10, BRI"
    assert row(replace(made, differences=()), "B")["decision"] == "not tested"


def test_only_words_that_are_used_are_explained():
    assert not set(meanings(summary_table(between()))) & {
        "no verdict",
        "too few to decide",
        "not tested",
        "±",
        "†",
        "‡",
    }
    held = meanings(summary_table(between(HELD)))["no verdict"]
    assert held.endswith("round by round neither is shown to rank targets better")
    assert "the other one ranks targets better" in meanings(summary_table(between(OPPOSED)))["no verdict"]
    assert "cannot reach 0.05" in meanings(summary_table(between(FEW, FEW, FEW)))["too few to decide"]


def test_daggers_say_what_is_decided_where_there_are_no_words():
    table = summary_table(between(YES, HELD), daggers=True)
    assert [column.name for column in table.columns] == ["run", "repeats", "Hits@10", "chance", "BRI"]
    assert [cell.mark for cell in table.rows[1]] == ["", "", "†", "", "‡"]
    assert table.rows[0][0].text == "A (baseline)"
    assert meanings(table)["†"] == "differs from the baseline, p (Holm) at most 0.05"
    assert "‡" not in meanings(summary_table(between(YES), daggers=True))


def test_its_text_says_how_many_images_and_by_which_test():
    made = between()
    tested = tuple(replace(one, test="mcnemar") if one.metric == "hits@10" else one for one in made.differences)
    about = summary_table(replace(made, differences=tested)).about
    assert about.startswith("12 images, 4 rounds a dialog. Ranked by CLIP in 1,000 images.")
    assert "Tested against A: Hits@10 by the exact McNemar test; BRI, repeats by the paired sign-flip" in about
    assert about.endswith("p adjusted by Holm over 3 tests.")


@pytest.mark.parametrize(
    ("metric", "delta", "said"),
    [("hits@10", 1.0, "better"), ("hits@10", -1.0, "worse"), ("bri", -1.0, "better"), ("bri", 1.0, "worse"),
     ("words_per_answer", 1.0, "higher"), ("words_per_answer", -1.0, "lower")],
)  # fmt: skip
def test_an_outcome_says_which_way(metric, delta, said):
    assert outcome(difference("A", "B", metric, delta, 0.5, decided=True), 3) == said
