"""A comparison of chosen measures: what is left in every format, and what is told of a name that is unknown."""

import re
from dataclasses import replace

import pytest
from compare.full_comparison import PLAIN, full

from chatir.compare.chosen_measures import check_measures, only_measures
from chatir.compare.comparison_json import as_json
from chatir.compare.tables import tables
from chatir.compare.tables.frames import tidy
from chatir.compare.tables.latex import as_latex
from chatir.compare.tables.markdown import as_markdown
from chatir.compare.tables.terminal import as_text
from chatir.errors import InputError


def heads(comparison):
    return {(table.key, column.name) for table in tables(comparison) for column in table.columns if column.numeric}


def test_tables_have_columns_and_rows_of_the_chosen_measures_only():
    made = only_measures(full(PLAIN), ["hits@10", "words_per_answer"])
    assert {name for key, name in heads(made) if key in ("summary", "retrieval-1", "language")} == {
        "Hits@10", "chance", "words per answer",
    }  # fmt: skip
    assert [table.key for table in tables(made)] == [
        "summary", "language", "retrieval-1", "retrieval-2", "by-round-1", "by-round-2", "primary", "rounds", "failed",
    ]  # fmt: skip
    (primary,) = [table for table in tables(made) if table.key == "primary"]
    assert {row[1].text for row in primary.rows} == {"Hits@10 (%, round 4)"}


def test_every_format_leaves_the_others_out():
    made = only_measures(full(PLAIN), ["hits@10"])
    assert set(tidy(made).metric) == {"hits@10"}
    for text in (as_markdown(made), as_latex(made), as_text(made, width=100, color=False)):
        assert "Hits@10" in text
        assert not re.search("repeats ?(↓|\\\\)|BRI ?(↓|\\\\)|Repetition|MRR", text)
    told = as_json(replace(made, worst={}))
    found = told["runs"][0]["retrieval"]["CLIP"]
    assert ("hits@10" in found, "hits@5" in found, found["bri"], found["truncated"]) == (True, False, None, None)
    assert {one["metric"] for key in ("differences", "failures") for one in told[key]} == {"hits@10"}
    assert {one["metric"] for each in told["summaries"] for one in each["estimates"]} == {"hits@10"}
    assert (told["runs"][0]["repetition"], told["runs"][0]["defects"], told["answers"]) == ({}, {}, [])


def test_what_is_concluded_stays():
    made = full(PLAIN)
    chosen = only_measures(made, ["bri"])
    assert (chosen.verdicts, chosen.notes, chosen.method) == (made.verdicts, made.notes, made.method)


def test_all_measures_are_the_same_as_none_chosen_but_for_agreement():
    made = full(PLAIN)
    names = {*tidy(made).metric, "bri", "truncated"}
    assert tidy(only_measures(made, names)).equals(tidy(made))


@pytest.mark.parametrize("name", ["hits@3", "Hits@10", "", "repeats"])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(InputError, match=f"{name!r} is unknown; the measures are repeats_per_dialog, .*, hits@10, "):
        check_measures(["bri", name], (1, 10))
