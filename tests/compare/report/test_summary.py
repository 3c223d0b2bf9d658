"""The first table of a report: what a reader must know of each run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from compare.comparisons import compared, difference, side_by_side
from compare.report.reports import two_runs, written

from chatir.compare.comparison import Comparison, Difference, RunFigure
from chatir.compare.report.summary import summary_rows

HITS = RunFigure("hits@10", "CLIP", 4, 66.0, 56.28, 74.54, chance=2.9)
BRI = RunFigure("bri", "CLIP", None, 2.34, 2.126, 2.5504)


def compare_two(*differences: Difference, estimates: tuple[RunFigure, ...] = (HITS, BRI)) -> Comparison:
    comparison = side_by_side(compared("a"), compared("b"), differences=differences)
    return replace(comparison, summaries=tuple(replace(one, estimates=estimates) for one in comparison.summaries))


def test_figures_have_their_plain_intervals() -> None:
    row = summary_rows(compare_two(), "CLIP")[1]
    assert (row.repeats, row.hits, row.bri) == (None, ("66.0", "[56, 75]"), ("2.340", "[2.13, 2.55]"))
    assert row.drawn == HITS


def test_a_group_of_seeds_has_its_spread() -> None:
    row = summary_rows(compare_two(estimates=(replace(HITS, between_seeds=1.25),)), "CLIP")[0]
    assert row.hits == ("66.0", "[56, 75]", "SD over seeds 1.2")


def test_what_cannot_be_given_is_left_out() -> None:
    for row in (*summary_rows(compare_two(estimates=()), "CLIP"), *summary_rows(compare_two(), "SigLIP")):
        assert (row.hits, row.bri, row.drawn) == (None, None, None)


HITS_AND_BRI = (difference("a", "b", "hits@10", -34, 5, decided=True), difference("a", "b", "bri", -0.2, 0.1))


@pytest.mark.parametrize(
    ("differences", "decisions"),
    [
        (HITS_AND_BRI, (("worse", "worse: Hits@10"),)),
        (
            [replace(one, decided=True) for one in reversed(HITS_AND_BRI)],
            (("worse", "worse: Hits@10"), ("better", "better: BRI")),
        ),
        (
            [replace(HITS_AND_BRI[0], decided=False, withheld="gate"), HITS_AND_BRI[1]],
            (("open", "no verdict: Hits@10"),),
        ),
        (HITS_AND_BRI[1:], (("open", "undecided: BRI"), ("open", "not tested: Hits@10"))),
        (
            [replace(HITS_AND_BRI[1], least_p=0.06, n=5)],
            (("open", "too few to decide: BRI"), ("open", "not tested: Hits@10")),
        ),
        (
            [difference("a", "b", "repeats_per_dialog", 2, 1, decided=True)],
            (("worse", "worse: repeats"), ("open", "not tested: Hits@10, BRI")),
        ),
        ([replace(HITS_AND_BRI[0], retriever="SigLIP")], (("open", "not tested"),)),
        ([replace(HITS_AND_BRI[0], a="b", b="a")], (("open", "not tested"),)),
    ],
)
def test_decisions_are_against_the_baseline_by_this_retriever(differences, decisions) -> None:
    baseline, other = summary_rows(compare_two(*differences), "CLIP")
    assert (baseline.decisions, other.decisions) == ((), decisions)


@pytest.mark.parametrize("labels", [(), ("CLIP",), ("CLIP", "SigLIP")])
def test_each_retriever_has_a_table_and_runs_without_ranks_have_one(labels, tmp_path) -> None:
    comparison = side_by_side(compared("a", labels=labels), compared("b", labels=labels))
    text = written(comparison, tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.count('<table class="figures-of-runs">') == max(1, len(labels))
    assert text.count('<th scope="col" class="drawing">') == len(labels)


def test_unknown_chance_is_not_drawn(tmp_path) -> None:
    comparison = two_runs()
    unknown = (replace(one, estimates=(replace(HITS, chance=None),)) for one in comparison.summaries)
    known = written(comparison, tmp_path / "known.html").read_text(encoding="utf-8")
    lost = written(replace(comparison, summaries=tuple(unknown)), tmp_path / "lost.html").read_text(encoding="utf-8")
    drawn = '<line class="chance"'
    assert (known.count(drawn), lost.count(drawn)) == (2, 0)
