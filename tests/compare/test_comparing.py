"""What a comparison holds: the same images in every row, and what the run files tell."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from compare.made_runs import CLIP, made_run, named, new_question, same_question

from chatir import Dialog
from chatir.compare import compare
from chatir.compare.comparison_json import as_json
from chatir.errors import InputError
from chatir.measures.ranks import DialogRanks
from chatir.measures.retrieval import average_target_rank, best_log_rank_integral, hits_at_k, mean_reciprocal_rank
from chatir.run.file import RunFile
from chatir.run.ranks import Ranking, RunRanks
from chatir.simulate import read_dialogs, write_dialogs


def rank_of(dialog: Dialog) -> list[int]:
    """Ranks that get better by a place a round, from a place that the image's number tells."""
    start = 12 + int(dialog.image.split("/")[1].removesuffix(".jpg"))
    return [start - number for number in range(len(dialog.rounds) + 1)]


def test_json_has_what_the_contract_names(tmp_path: Path) -> None:
    files = [
        made_run(tmp_path, "A", ranks=[(CLIP, rank_of)]),
        made_run(tmp_path, "B", ask=same_question, ranks=[(CLIP, rank_of)]),
    ]
    told = as_json(compare(files))
    assert (told["schema"], told["baseline"], told["images"]) == ("chatir.compare/1", "A", 4)
    first, second = told["runs"]
    assert (first["name"], first["file"], first["dialogs"], first["rounds"]) == ("A", str(files[0]), 4, 3)
    assert second["repetition"] == {
        "repeats_per_dialog": 2.0,
        "exact_repeats_per_dialog": 2.0,
        "dialogs_with_repeats": 1.0,
        "unique_questions_per_dialog": 1.0,
        "onset_round": 2.0,
    }
    assert first["repetition"]["onset_round"] is None
    assert set(first["language"]) == {
        "unique_question_tokens_per_dialog",
        "unique_answer_tokens_per_dialog",
        "words_per_question",
        "words_per_answer",
    }
    assert set(first["defects"]) == {
        "missing_question_mark",
        "leaked_label",
        "multiple_question_marks",
        "empty_question",
        "empty_answer",
        "soft_refusal",
    }
    ranked = first["retrieval"]["CLIP"]
    assert ranked["corpus"] == CLIP.corpus
    assert {name: len(ranked[name]) for name in ("hits@1", "hits@5", "hits@10", "recall@10", "atr", "mrr")} == (
        dict.fromkeys(("hits@1", "hits@5", "hits@10", "recall@10", "atr", "mrr"), 4)
    )
    contract = ("a", "b", "metric", "retriever", "corpus", "round", "n", "delta", "effect", "ci_low", "ci_high")
    assert {*contract, "test", "p", "p_holm"} <= set(told["differences"][0])
    json.dumps(told, allow_nan=False)


def test_curves_are_the_measures_of_the_kept_ranks(tmp_path: Path) -> None:
    (run,) = compare([made_run(tmp_path, "A", ranks=[(CLIP, rank_of)])], ks=(2,)).runs
    ranks = np.array([[12 + image - number for image in range(4)] for number in range(4)])
    found = run.retrieval["CLIP"]
    assert found.ranks.tolist() == ranks.tolist()
    assert found.curves["hits@10"].values.tolist() == hits_at_k(ranks, 10).tolist()
    assert found.curves["hits@2"].values.tolist() == [0, 0, 0, 0]
    assert found.curves["atr"].values == pytest.approx(average_target_rank(ranks))
    assert found.curves["mrr"].values == pytest.approx(mean_reciprocal_rank(ranks))
    assert found.bri == pytest.approx(best_log_rank_integral(ranks))


def test_a_band_holds_its_curve_and_has_no_width_where_all_dialogs_are_alike(tmp_path: Path) -> None:
    def ranks(dialog: Dialog) -> list[int]:
        start, *_ = rank_of(dialog)
        return [7, start, 3 * start, 2]

    (run,) = compare([made_run(tmp_path, "A", targets=8, ranks=[(CLIP, ranks)])]).runs
    atr = run.retrieval["CLIP"].curves["atr"]
    assert atr.low[0] == atr.values[0] == atr.high[0] == 7
    assert (atr.low[1:3] < atr.values[1:3]).all()
    assert (atr.values[1:3] < atr.high[1:3]).all()
    assert atr.low[3] == atr.high[3] == 2


def test_a_band_holds_nothing_that_cannot_be(tmp_path: Path) -> None:
    def ranks(dialog: Dialog) -> list[int]:
        return [1, 1000, 1, 1] if dialog.image == "images/0.jpg" else [1000, 1, 1, 2]

    (run,) = compare([made_run(tmp_path, "A", targets=3, ranks=[(CLIP, ranks)])]).runs
    atr, mrr = (run.retrieval["CLIP"].curves[name] for name in ("atr", "mrr"))
    assert atr.low.min() >= 1
    assert atr.high.max() == 1000
    assert mrr.high.max() == 1


def test_every_row_is_over_the_images_that_all_runs_have(tmp_path: Path) -> None:
    few, many = made_run(tmp_path, "few", targets=3), made_run(tmp_path, "many", targets=6, ask=same_question)
    found = compare([many, few])
    assert found.images == 3
    assert [len(run.dialogs) for run in found.runs] == [3, 3]
    assert [len(run.run.dialogs) for run in found.runs] == [6, 3]
    assert [one.n for one in found.differences if one.primary] == [3]
    assert "many: 3 of its 6 dialogs are not in all runs and are left out" in found.notes


def test_dialogs_are_paired_by_image_whatever_their_order(tmp_path: Path) -> None:
    def ask(dialog: Dialog) -> str:
        return same_question(dialog) if dialog.image == "images/1.jpg" else new_question(dialog)

    forward = made_run(tmp_path, "forward", targets=named(5), ask=ask)
    backward = made_run(tmp_path, "backward", targets=named(5)[::-1], ask=ask)
    found = compare([forward, backward])
    assert [dialog.image for dialog in found.runs[1].dialogs] == [dialog.image for dialog in found.runs[0].dialogs]
    (tested,) = (one for one in found.differences if one.primary)
    assert (tested.delta, tested.ci_low, tested.ci_high, tested.p) == (0, 0, 0, 1)


def test_runs_of_unequal_rounds_are_compared_over_those_that_all_have(tmp_path: Path) -> None:
    short = made_run(tmp_path, "short", rounds=2, ask=same_question, ranks=[(CLIP, rank_of)])
    long = made_run(tmp_path, "long", rounds=5, ask=same_question, ranks=[(CLIP, rank_of)])
    found = compare([long, short])
    assert found.rounds == 2
    assert [run.repetition["repeats_per_dialog"] for run in found.runs] == [1, 1]
    assert [len(run.retrieval["CLIP"].ranks) for run in found.runs] == [3, 3]
    assert any("only the first 2 rounds are compared" in note and "long (5)" in note for note in found.notes)
    (verdict,) = found.verdicts
    assert verdict.about == "runs"
    assert any("rounds" in phrase for phrase in verdict.differs)


def test_nothing_in_common_is_an_error_that_names_a_file(tmp_path: Path) -> None:
    here = made_run(tmp_path, "here")
    there = made_run(tmp_path, "there", targets=[Dialog("other/1.jpg", "a caption")])
    with pytest.raises(InputError, match=r"there\.json: has no image in common with .*here\.json"):
        compare([here, there])


def test_three_files_that_share_only_by_twos_have_nothing_in_common(tmp_path: Path) -> None:
    some = named(3)
    files = [made_run(tmp_path, f"without{n}", targets=some[:n] + some[n + 1 :]) for n in range(3)]
    with pytest.raises(InputError, match="no image is common to all 3 files"):
        compare(files)


def test_the_same_image_under_another_id_is_another_dialog(tmp_path: Path) -> None:
    ids = [Dialog("a.jpg", "a caption", id="first"), Dialog("a.jpg", "another caption", id="second")]
    found = compare([made_run(tmp_path, "A", targets=ids), made_run(tmp_path, "B", targets=ids[1:])])
    assert [dialog.caption for dialog in found.runs[0].dialogs] == ["another caption"]


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        made_run(tmp_path / folder, "same")
    found = compare([tmp_path / "one/same.json", tmp_path / "two/same.json"])
    assert [run.name for run in found.runs] == ["one/same", "two/same"]
    assert found.differences[0].b == "two/same"


def test_a_file_is_not_compared_with_itself(tmp_path: Path) -> None:
    file = made_run(tmp_path, "A")
    with pytest.raises(InputError, match="named twice"):
        compare([file, tmp_path / "." / "A.json"])


def test_the_baseline_is_the_first_file_unless_another_is_named(tmp_path: Path) -> None:
    files = [made_run(tmp_path, name) for name in "ABC"]
    assert {(one.a, one.b) for one in compare(files).differences} == {("A", "B"), ("A", "C")}
    assert {(one.a, one.b) for one in compare(files, baseline="B").differences} == {("B", "A"), ("B", "C")}
    assert compare(files, baseline="C.json").baseline == compare(files, baseline=str(files[2])).baseline == "C"
    with pytest.raises(InputError, match="'D': is none of the runs; they are 'A', 'B', 'C'"):
        compare(files, baseline="D")


def test_all_pairs_are_tested_on_request_in_one_family(tmp_path: Path) -> None:
    asking = {"A": same_question, "B": same_question, "C": new_question}
    files = [made_run(tmp_path, name, targets=8, ask=ask) for name, ask in asking.items()]
    found = compare(files, all_pairs=True)
    primary = {(one.a, one.b): one for one in found.differences if one.primary}
    assert list(primary) == [("A", "B"), ("A", "C"), ("B", "C")]
    assert [one.p_holm / one.p for one in primary.values()] == pytest.approx([1, 3, 3])
    assert len(found.verdicts) == 3


def test_the_same_files_and_seed_give_the_same_figures(tmp_path: Path) -> None:
    files = [
        made_run(tmp_path, name, targets=9, ask=ask, ranks=[(CLIP, rank_of)])
        for name, ask in (("A", same_question), ("B", new_question))
    ]
    first, second, other = compare(files), compare(files), compare(files, seed=1)
    assert first.differences == second.differences
    assert [one.delta for one in first.differences] == [one.delta for one in other.differences]


def test_runs_without_ranks_tell_everything_else_and_the_line_to_type(tmp_path: Path) -> None:
    found = compare([made_run(tmp_path, "A"), made_run(tmp_path, "B")])
    assert all(not run.retrieval for run in found.runs)
    assert any(f"chatir score {tmp_path}/A.json {tmp_path}/B.json --retriever" in note for note in found.notes)


def test_a_retriever_that_ranked_one_run_only_is_shown_but_not_compared(tmp_path: Path) -> None:
    found = compare([made_run(tmp_path, "A", ranks=[(CLIP, rank_of)]), made_run(tmp_path, "B")])
    assert [list(run.retrieval) for run in found.runs] == [["CLIP"], []]
    assert all(one.retriever is None for one in found.differences)
    line = f"chatir score {tmp_path}/B.json --retriever clip -r model=here --corpus 'my list.json'"
    assert f"CLIP: no ranks, or not of all dialogs, in B: {line}" in found.notes


def test_rankings_of_one_retriever_in_two_corpora_are_told_apart(tmp_path: Path) -> None:
    larger = Ranking(CLIP.name, CLIP.retriever, "d" * 64, 5000)
    sharper = Ranking(CLIP.name, {**CLIP.retriever, "precision": "bf16"}, CLIP.corpus, CLIP.images)
    found = compare([made_run(tmp_path, "A", ranks=[(one, rank_of) for one in (CLIP, larger, sharper)])])
    assert list(found.runs[0].retrieval) == [
        'CLIP (precision "fp32", 1,000 images)',
        'CLIP (precision "fp32", 5,000 images)',
        'CLIP (precision "bf16", 1,000 images)',
    ]


def test_a_run_that_is_ranked_in_part_has_no_curve(tmp_path: Path) -> None:
    file = made_run(tmp_path, "A")
    with closing(RunFile.open(tmp_path / "A.run")) as run:
        RunRanks(run).keep(CLIP, [(dialog, DialogRanks((1, 1, 1, 1))) for dialog in read_dialogs(file)[:3]], {})
    found = compare([file])
    assert not found.runs[0].retrieval
    assert any(note.startswith("CLIP: no ranks, or not of all dialogs, in A") for note in found.notes)


def test_what_ranks_were_kept_with_is_cut_to_the_rounds_compared(tmp_path: Path) -> None:
    short, long = made_run(tmp_path, "short", rounds=1), made_run(tmp_path, "long", rounds=3)
    with closing(RunFile.open(tmp_path / "long.run")) as run:
        best = tuple((f"{number}.jpg",) for number in range(4))
        kept = [
            (dialog, DialogRanks((9, 9, 9, 9), truncated, best))
            for dialog, truncated in zip(read_dialogs(long), (0, 1, 2, 4), strict=True)
        ]
        RunRanks(run).keep(CLIP, kept, {})
    found = compare([long, short]).runs[0].retrieval["CLIP"]
    assert found.truncated.tolist() == [25, 50]
    assert found.top == ((("0.jpg",), ("1.jpg",)),) * 4


def test_captions_that_differ_may_be_ranked_differently(tmp_path: Path) -> None:
    others = [Dialog(one.image, "another caption") for one in named(4)]
    files = [made_run(tmp_path, "A", ranks=[(CLIP, rank_of)])]
    files.append(made_run(tmp_path, "B", targets=others, ranks=[(CLIP, lambda dialog: [500, 1, 1, 1])]))
    assert not any("otherwise" in note for note in compare(files).notes)


def test_the_frames_hold_the_same(tmp_path: Path) -> None:
    files = [made_run(tmp_path, name, ranks=[(CLIP, rank_of)]) for name in "AB"]
    found = compare(files)
    frames = found.frames
    assert set(frames) == {"summary", "runs", "curves", "differences", "answers", "dialogs", "ranks"}
    assert frames["runs"]["run"].tolist() == ["A", "B"]
    assert len(frames["differences"]) == len(found.differences)
    assert len(frames["dialogs"]) == 8
    assert frames["ranks"].query("run == 'A' and id == 'images/0.jpg'")["rank"].tolist() == [12, 11, 10, 9]


def test_captions_that_a_retriever_ranks_differently_are_told(tmp_path: Path) -> None:
    def worse_at_first(dialog: Dialog) -> list[int]:
        first, *others = rank_of(dialog)
        return [first + 1, *others]

    files = [made_run(tmp_path, "A", ranks=[(CLIP, rank_of)]), made_run(tmp_path, "B", ranks=[(CLIP, worse_at_first)])]
    assert any("ranks 4 captions of B otherwise than the same ones of A" in note for note in compare(files).notes)
    assert not any("otherwise" in note for note in compare(files[:1]).notes)


def test_a_run_file_of_another_dialogue_file_is_left_out_with_a_line(tmp_path: Path) -> None:
    file = made_run(tmp_path, "A", ranks=[(CLIP, rank_of)])
    text = json.loads(file.read_text())
    text[0]["dialog"][1] = "is it edited? yes"
    file.write_text(json.dumps(text))
    found = compare([file])
    assert found.runs[0].run.record is None
    assert not found.runs[0].retrieval
    assert any("A.run: does not belong to A.json as it is now" in note for note in found.notes)


def test_a_comparison_changes_no_file(tmp_path: Path) -> None:
    made_run(tmp_path, "A", ranks=[(CLIP, rank_of)])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    compare([tmp_path / "A.json"])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_worst_dialogs_are_those_that_repeat_most(tmp_path: Path) -> None:
    def ask(dialog: Dialog) -> str:
        return same_question(dialog) if dialog.image in ("images/2.jpg", "images/3.jpg") else new_question(dialog)

    found = compare([made_run(tmp_path, "A", targets=5, ask=ask)], worst=3)
    assert found.worst == {"A": (2, 3)}
    assert [one["id"] for one in as_json(found)["worst"]["A"]] == ["images/2.jpg", "images/3.jpg"]


def test_imported_files_without_a_run_file_are_compared(tmp_path: Path) -> None:
    for name in "AB":
        shutil.copy(made_run(tmp_path, f"run{name}"), tmp_path / f"{name}.json")
    found = compare([tmp_path / "A.json", tmp_path / "B.json"])
    assert found.verdicts[0].differs == ("who answered in A and B is not recorded",)


def test_one_dialog_is_enough_to_compare_and_too_little_to_conclude(tmp_path: Path) -> None:
    files = [
        made_run(tmp_path, "A", targets=1, ranks=[(CLIP, rank_of)]),
        made_run(tmp_path, "B", targets=1, ask=same_question, ranks=[(CLIP, lambda dialog: [500] * 4)]),
    ]
    found = compare(files)
    assert all(one.p == 1 and not one.decided for one in found.differences if one.primary)
    json.dumps(as_json(found), allow_nan=False)


def test_dialogs_without_a_round_can_be_compared(tmp_path: Path) -> None:
    for name in "AB":
        write_dialogs(tmp_path / f"{name}.json", named(3))
    found = compare([tmp_path / "A.json", tmp_path / "B.json"])
    assert found.rounds == 0
    json.dumps(as_json(found), allow_nan=False)


def test_an_empty_file_list_or_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "none.json").write_text("[]")
    with pytest.raises(InputError, match="holds no dialogs"):
        compare([tmp_path / "none.json"])
    with pytest.raises(InputError, match="no dialogue file is named"):
        compare([])
