"""What the page's script is given of each dialog."""

from __future__ import annotations

from dataclasses import replace

import pytest
from compare.comparisons import compared, side_by_side
from compare.report.reports import two_runs

from chatir import Dialog, Round
from chatir.compare.report.browser_data import browser_data, repeated_rounds
from chatir.compare.report.thumbnails import Thumbnails
from chatir.measures.questions import repeats


def test_a_repeat_names_the_round_that_first_asked():
    questions = ("Is it red?", "is there a dog?", "is it RED", "Is it red? Answer: no", "is there a cat?")
    dialog = Dialog("a.jpg", "a dog", tuple(Round(question, "yes") for question in questions))
    assert repeated_rounds(dialog) == [0, 0, 1, 1, 0]
    assert repeated_rounds(replace(dialog, rounds=dialog.rounds[:2])) == []


def test_repeats_are_those_that_are_counted():
    comparison = two_runs()
    for run, told in zip(comparison.runs, browser_data(comparison)["runs"], strict=True):
        counted = [sum(first > 0 for first in rounds) for rounds in told["repeats"]]
        assert counted == run.counts.repeats.tolist()
        assert counted == [repeats(one.question for one in dialog.rounds) for dialog in run.dialogs]


def test_texts_are_told_once_and_found_by_their_places():
    comparison = two_runs()
    data = browser_data(comparison)
    assert len(set(data["texts"])) == len(data["texts"])
    for run, told in zip(comparison.runs, data["runs"], strict=True):
        for place, dialog in enumerate(run.dialogs):
            said = [data["texts"][text] for text in told["rounds"][place]]
            assert said == [text for one in dialog.rounds for text in (one.question, one.answer)]
            assert data["texts"][told["captions"][place]] == dialog.caption


def test_ranks_and_the_five_best_images_are_told_for_each_dialog():
    comparison = two_runs()
    data = browser_data(comparison)
    for run, told in zip(comparison.runs, data["runs"], strict=True):
        found = run.retrieval["CLIP"]
        assert [list(row) for row in zip(*told["ranks"][0], strict=True)] == found.ranks.tolist()
        named = tuple(tuple(tuple(data["images"][n] for n in best) for best in dialog) for dialog in told["tops"][0])
        assert named == tuple(tuple(best[:5] for best in dialog) for dialog in found.top)


def test_images_with_pictures_come_first_in_the_order_of_the_pictures():
    comparison = two_runs()
    shown = Thumbnails((3, 1), {"3.jpg": "data:a", "other1.png": None, "1.jpg": "data:b"})
    data = browser_data(comparison, shown)
    assert data["images"][:3] == ["3.jpg", "other1.png", "1.jpg"]
    assert data["pictured"] == [3, 1]


def test_defects_are_bits_in_the_order_of_their_names():
    rounds = (Round.parse("is it red? Answer: no"), Round.parse("no mark"), Round.parse("is it? yes"))
    data = browser_data(side_by_side(compared("one", dialogs=[Dialog("a.jpg", "a", rounds)], labels=())))
    (bits,) = data["runs"][0]["defects"]
    names = [{name for bit, name in enumerate(data["defects"]) if mask & 1 << bit} for mask in bits]
    assert names == [{"leaked label"}, {"no question mark"}, set()]


def test_a_run_without_ranks_has_none():
    with_ranks = two_runs().runs[0]
    without = replace(with_ranks, retrieval={})
    data = browser_data(side_by_side(with_ranks, without))
    assert data["labels"] == ["CLIP"]
    assert data["runs"][1]["ranks"] == data["runs"][1]["tops"] == [None]


def test_found_is_among_the_best_ten_unless_the_cutoffs_are_others():
    comparison = two_runs()
    assert browser_data(comparison)["found"] == 10
    assert browser_data(replace(comparison, ks=(1, 3)))["found"] == 3


def test_dialogs_in_another_order_are_refused():
    comparison = two_runs()
    first, second = comparison.runs
    with pytest.raises(ValueError, match="one order"):
        browser_data(replace(comparison, runs=(first, replace(second, dialogs=second.dialogs[::-1]))))
