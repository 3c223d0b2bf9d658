"""What another program gets of a comparison: frames and one long table in CSV."""

import csv
import io
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from compare.comparisons import asked, compared, primary, side_by_side
from compare.full_comparison import PLAIN, SCREEN, SHEET, TEX, full
from compare.made_runs import CLIP, made_run

from chatir import Dialog, Round
from chatir.compare import compare
from chatir.compare.comparison import Agreement, Difference, RunFigure
from chatir.compare.tables.frames import (
    COLUMNS,
    agreements_frame,
    as_csv,
    curves_frame,
    dialogs_frame,
    differences_frame,
    ranks_frame,
    runs_frame,
    summary_frame,
    tidy,
)


def rows_of(frame, **values):
    for name, value in values.items():
        frame = frame[frame[name].isna() if value is None else frame[name] == value]
    return frame


def read(text):
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_a_runs_own_figures_have_no_other_run():
    made = full(PLAIN)
    own = tidy(made)[lambda frame: frame.versus.isna()]
    assert set(own.run) == set(PLAIN)
    assert rows_of(own, run=PLAIN[0], metric="repeats_per_dialog").value.tolist() == [
        made.runs[0].repetition["repeats_per_dialog"]
    ]
    assert own.p.isna().all()
    assert own.decided.isna().all()


def test_a_difference_is_the_run_minus_the_other():
    made = full(PLAIN)
    frame = tidy(made)[lambda frame: frame.versus.notna()]
    assert len(frame) == len(made.differences)
    row = rows_of(frame, run=PLAIN[1], metric="hits@10", round=4).iloc[0]
    assert (row.versus, row.value, row.low, row.high, row.level, row.n) == (PLAIN[0], 12.5, 8.5, 16.5, 0.95, 12)
    assert (row.gate_p, row.adjusted_low, row.adjusted_high, row.adjusted_level) == (0.01, 6.5, 18.5, 0.975)


def test_only_of_primary_differences_is_it_told_whether_they_are_decided():
    frame = tidy(full(PLAIN))
    assert rows_of(frame, metric="hits@10", versus=PLAIN[0], round=4).decided.tolist() == [True, True]
    assert rows_of(frame, metric="bri", versus=PLAIN[0]).decided.tolist() == [False, False]
    assert rows_of(frame, metric="mrr", versus=PLAIN[0]).decided.isna().all()


def test_curves_are_told_round_by_round_with_their_bands():
    made = full(PLAIN)
    curve = made.runs[1].retrieval["CLIP"].curves["hits@5"]
    rows = rows_of(curves_frame(made), run=PLAIN[1], retriever="CLIP", metric="hits@5")
    assert rows["round"].tolist() == [0, 1, 2, 3, 4]
    assert rows.value.tolist() == curve.values.tolist()
    assert rows.low.tolist() == curve.low.tolist()
    assert rows.high.tolist() == curve.high.tolist()
    assert set(rows.corpus) == {"c" * 64}


def test_only_what_has_an_interval_has_a_level():
    frame = tidy(full(PLAIN))
    assert frame.level.notna().tolist() == frame.low.notna().tolist()
    assert set(rows_of(frame, metric="hits@5").level) == {0.95}
    assert rows_of(frame, metric="truncated").level.isna().all()


def test_hits_have_beside_them_what_chance_would_give():
    made = full(PLAIN)
    chance = made.runs[1].retrieval["CLIP"].chance["hits@5"].tolist()
    for frame in (curves_frame(made), tidy(made)):
        assert rows_of(frame, run=PLAIN[1], retriever="CLIP", metric="hits@5").chance.tolist() == chance
        assert rows_of(frame, metric="atr").chance.isna().all()


def test_primary_figures_have_intervals_of_their_own_beside_the_bands_of_curves():
    made = full(PLAIN)
    frame = tidy(made)[lambda frame: frame.versus.isna()]
    found = frame[frame.plain_low.notna()]
    assert set(zip(found.metric, found["round"].fillna(-1), strict=True)) == {
        ("repeats_per_dialog", -1),
        ("hits@10", 4),
        ("bri", -1),
    }
    estimate = made.summaries[0]["hits@10", "CLIP"]
    row = rows_of(found, run=PLAIN[0], retriever="CLIP", metric="hits@10").iloc[0]
    assert (row.plain_low, row.plain_high) == (estimate.low, estimate.high)
    assert row.low != row.plain_low


def test_the_summary_has_a_row_for_each_run_or_group_and_primary_figure():
    made = full(PLAIN)
    frame = summary_frame(made)
    assert len(frame) == sum(len(one.estimates) for one in made.summaries)
    assert list(frame.columns)[:5] == ["run", "metric", "retriever", "round", "value"]
    row = rows_of(frame, run=PLAIN[0], metric="hits@10", retriever="CLIP").iloc[0]
    assert (row["round"], row.chance) == (4, made.summaries[0]["hits@10", "CLIP"].chance)
    assert made.frames["summary"].equals(frame)


def test_a_group_of_seeds_has_rows_of_its_own():
    made = full(PLAIN)
    name = made.groups[0].name
    grouped = replace(
        made.summaries[2],
        name=name,
        runs=made.groups[0].runs,
        estimates=tuple(replace(one, between_seeds=0.5) for one in made.summaries[2].estimates),
    )
    rows = rows_of(tidy(replace(made, summaries=(*made.summaries[:2], grouped))), run=name)
    assert len(rows) == len(grouped.estimates) == 5
    assert rows.between_seeds.tolist() == [0.5] * 5
    assert rows.value.tolist() == [one.value for one in grouped.estimates]
    assert rows.corpus.isna().tolist() == [one.retriever is None for one in grouped.estimates]


def test_what_is_told_of_whole_dialogs_has_no_round():
    frame = curves_frame(full(PLAIN))
    assert rows_of(frame, run=PLAIN[0], retriever="CLIP", metric="bri")["round"].isna().tolist() == [True]


def test_the_tidy_table_holds_every_figure_of_every_run():
    made = full(PLAIN)
    frame = tidy(made)
    figures = [{**run.repetition, **run.language, **run.defects} for run in made.runs]
    curves = sum(5 * (len(found.curves) + 1) + 1 for run in made.runs for found in run.retrieval.values())
    assert len(frame) == sum(map(len, figures)) + curves + len(made.differences)
    assert tuple(frame.columns) == COLUMNS


def test_csv_is_read_back_as_it_was():
    frame = tidy(full(PLAIN))
    types = {"round": "Int64", "n": "Int64", "decided": "boolean", "withheld": object}
    back = pd.read_csv(io.StringIO(as_csv(full(PLAIN))), dtype=types)
    texts = ["versus", "retriever", "corpus", "test", "withheld"]
    pd.testing.assert_frame_equal(back.fillna(dict.fromkeys(texts, "")), frame.fillna(dict.fromkeys(texts, "")))


def test_what_cannot_be_given_is_empty():
    made = side_by_side(compared("A", dialogs=[Dialog("a.jpg", "a picture", (Round("a?", "b"),))]))
    onset = next(row for row in read(as_csv(made)) if row["metric"] == "onset_round")
    assert (onset["value"], onset["versus"], onset["decided"]) == ("", "", "")


def test_lines_end_as_they_do_everywhere():
    text = as_csv(full())
    assert text.endswith("\n")
    assert "\r" not in text


def test_names_are_quoted_where_they_must_be():
    names = ('a "quoted", name', "b,c;d", "e'f")
    assert list(dict.fromkeys(row["run"] for row in read(as_csv(full(names))))) == list(names)


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", SHEET])
def test_no_name_is_a_formula(name):
    names = {row["run"] for row in read(as_csv(side_by_side(compared(name), compared("B"))))}
    assert names == {f"'{name}", "B"}
    against = {row["versus"] for row in read(as_csv(side_by_side(compared(name), compared("B"))))}
    assert against == {"", f"'{name}"}


def test_figures_below_zero_are_figures():
    assert "-0.125" in [row["value"] for row in read(as_csv(full(PLAIN)))]


def test_what_cannot_be_printed_is_shown():
    text = as_csv(full((TEX, SCREEN, "c")))
    assert text.replace("\n", "").isprintable()
    assert r"\x1b[31mred\x1b[0m\r\n[bold]" in text


def test_frames_hold_names_as_they_are():
    assert runs_frame(full((TEX, SCREEN, SHEET))).run.tolist() == [TEX, SCREEN, SHEET]


def test_runs_tell_who_played_and_how_they_speak():
    made = side_by_side(compared("A", questioner="ChatGPT"), compared("B"))
    frame = runs_frame(made)
    assert frame.questioner[0] == "ChatGPT"
    assert frame.questioner.isna().tolist() == [False, True]
    assert frame.dialogs.tolist() == [12, 12]
    assert frame.words_per_question.tolist() == [run.language["words_per_question"] for run in made.runs]
    assert frame.seed.isna().all()


def test_differences_have_the_names_of_the_json_contract():
    contract = ["a", "b", "metric", "retriever", "corpus", "round", "n", "delta", "effect", "ci_low", "ci_high"]
    frame = differences_frame(full(PLAIN))
    gated = ["gate", "gate_p", "adjusted_low", "adjusted_high", "adjusted_level", "least_p", "withheld"]
    assert {*contract, *gated, "test", "p", "p_holm", "level", "primary", "decided"} == set(frame.columns)
    assert frame.gate_p.isna().tolist() == [one.gate_p is None for one in full(PLAIN).differences]
    assert frame.delta.tolist() == [one.delta for one in full(PLAIN).differences]
    assert frame["round"].isna().tolist() == [one.round is None for one in full(PLAIN).differences]


def test_agreements_have_a_row_for_each_pair():
    frame = agreements_frame(full(PLAIN))
    assert frame[["a", "b", "exact", "yes_no_questions"]].values.tolist() == [[PLAIN[0], PLAIN[1], 71.25, 0]]


def test_a_row_for_each_run_and_dialog_with_its_figures():
    made = full(PLAIN)
    frame = dialogs_frame(made)
    assert len(frame) == 3 * 12
    own = rows_of(frame, run=PLAIN[2])
    assert own.id.tolist() == [dialog.id for dialog in made.runs[2].dialogs]
    assert own.repeats.tolist() == made.runs[2].counts.repeats.tolist()
    assert own["CLIP best_rank"].tolist() == made.runs[2].retrieval["CLIP"].ranks.min(axis=0).tolist()
    assert "near_duplicates" not in frame


def test_ranks_of_a_dialog_that_ended_early_are_those_it_has(tmp_path):
    targets = [Dialog(f"images/{number}.jpg", "a picture") for number in range(2)]
    ranks = {"images/0.jpg": [5, 2, 4], "images/1.jpg": [9, 8, 7]}
    out = made_run(tmp_path, "A", targets=targets, rounds=2, ranks=[(CLIP, lambda dialog: ranks[dialog.image])])
    made = compare([out])
    found = made.runs[0].retrieval["CLIP"]
    stopped = np.array([[5, 9], [2, 8], [0, 7]])
    ended = replace(made, runs=(replace(made.runs[0], retrieval={"CLIP": replace(found, ranks=stopped)}),))
    frame = dialogs_frame(ended)
    assert frame["CLIP first_rank"].tolist() == [5, 9]
    assert frame["CLIP last_rank"].tolist() == [2, 7]
    assert frame["CLIP best_rank"].tolist() == [2, 7]
    every = ranks_frame(ended)
    assert rows_of(every, id="images/0.jpg")["round"].tolist() == [0, 1]
    assert rows_of(every, id="images/1.jpg")["rank"].tolist() == [9, 8, 7]


def test_a_run_without_ranks_has_none_beside_those_that_have():
    frame = dialogs_frame(side_by_side(compared("A"), compared("B", labels=())))
    assert rows_of(frame, run="B")["CLIP first_rank"].isna().all()
    assert rows_of(frame, run="A")["CLIP first_rank"].notna().all()
    assert frame["CLIP first_rank"].dtype == "Int64"


def test_frames_without_rows_have_their_columns():
    made = replace(side_by_side(compared("A", labels=())), differences=())
    assert list(curves_frame(made).columns)[:5] == ["run", "retriever", "corpus", "metric", "round"]
    assert list(ranks_frame(made).columns) == ["run", "retriever", "corpus", "id", "round", "rank"]
    assert "delta" in differences_frame(made).columns
    assert "kappa" in agreements_frame(made).columns
    assert tidy(made).retriever.isna().all()


def test_a_run_of_no_repeats_has_an_onset_of_nan_in_every_dialog():
    dialogs = asked(0)[:1]
    made = side_by_side(compared("A", dialogs=[replace(dialogs[0], rounds=dialogs[0].rounds[:1])]))
    assert dialogs_frame(made).onset.isna().all()


def test_two_hundred_differences_keep_their_order():
    made = side_by_side(compared("A"), compared("B"), differences=primary("A", "B") * 60)
    assert tidy(made).tail(180).metric.tolist() == [one.metric for one in made.differences]


@pytest.mark.parametrize(
    ("frame", "kind"), [(summary_frame, RunFigure), (differences_frame, Difference), (agreements_frame, Agreement)]
)
def test_every_field_is_a_column(frame, kind):
    columns = list(frame(full()).columns)
    assert [name for name in columns if name != "run"] == [field.name for field in fields(kind)]
