"""What is concluded, and of whom: of questioners only where nothing else differs; groups of seeds; failed dialogs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from compare.made_runs import CLIP, made_run, named, new_question, same_question
from scipy.stats import binomtest

from chatir import Dialog
from chatir.compare import Comparison, compare
from chatir.compare.comparison import Difference
from chatir.compare.tables import tables
from chatir.dialog import Round
from chatir.measures.ranks import DialogRanks
from chatir.measures.retrieval import best_log_rank_integral, hits_at_k, mean_reciprocal_rank
from chatir.run.file import RunFile
from chatir.run.ranks import RunRanks
from chatir.simulate import write_dialogs
from chatir.storage.files import file_sha256

SEES = {"name": "Sees", "config": {"precision": "fp32", "prompt": {"text": "x" * 90, "version": 1}}}


def number(dialog: Dialog) -> int:
    return int(dialog.image.split("/")[1].removesuffix(".jpg"))


def primary(found: Comparison) -> dict[str, Difference]:
    return {one.metric: one for one in found.differences if one.primary}


def test_a_questioner_that_repeats_itself_is_told_so_with_how_sure_one_can_be(tmp_path: Path) -> None:
    found = compare([made_run(tmp_path, "A", targets=30), made_run(tmp_path, "B", targets=30, ask=same_question)])
    (verdict,) = found.verdicts
    assert (verdict.about, verdict.differs) == ("questioners", ())
    figures = "+2.00 a dialog, 95% CI +2.00 to +2.00, p (Holm) = 0.0001"
    assert verdict.sentence == f"B: repeats itself more than A ({figures}); about the questioners"


def test_no_difference_is_told_as_none_shown(tmp_path: Path) -> None:
    found = compare([made_run(tmp_path, "A", targets=8), made_run(tmp_path, "B", targets=8)])
    assert found.verdicts[0].sentence == (
        "B: undecided against A in repeats (smallest p: repeats 0.00 a dialog, 95% CI 0.00 to 0.00, "
        "p (Holm) = 1.000); about the questioners"
    )


@pytest.mark.parametrize(("images", "decided"), [(5, False), (6, True)])
def test_where_no_p_can_be_small_enough_the_images_are_said_to_be_too_few(
    tmp_path: Path, images: int, decided: bool
) -> None:
    files = [made_run(tmp_path, "A", targets=images), made_run(tmp_path, "B", targets=images, ask=same_question)]
    found = compare(files)
    (repeats,) = (one for one in found.differences if one.primary)
    assert repeats.least_p == 2 / 2**images
    assert (repeats.decided, repeats.ci_low, repeats.ci_high) == (decided, 2, 2), "the interval is that of the data"
    few = f"5 images are too few to tell it from A: the smallest p possible is {2 / 2**5:.3g} (2/2^5)"
    assert (few in found.verdicts[0].sentence) != decided


@pytest.mark.parametrize(
    ("other", "phrase"),
    [
        ({"answerer": {"name": "Other"}}, "Sees answers in A, Other in B"),
        ({"answerer": {**SEES, "config": {"precision": "bf16"}}}, 'Sees\'s precision is "fp32" and "bf16"'),
        ({"targets": [Dialog(one.image, "other") for one in named(4)]}, "captions differ in 4 of 4 dialogs"),
    ],
)
def test_what_differs_beside_the_questioner_makes_a_verdict_one_of_runs(
    tmp_path: Path, other: dict[str, object], phrase: str
) -> None:
    settings = {"answerer": SEES, **other}
    first = made_run(tmp_path, "A", answerer=SEES)
    (verdict,) = compare([first, made_run(tmp_path, "B", ask=same_question, **settings)]).verdicts  # type: ignore[arg-type]
    assert verdict.about == "runs"
    assert phrase in verdict.differs
    assert phrase in verdict.sentence


def test_a_long_prompt_is_told_by_its_version(tmp_path: Path) -> None:
    newer = {**SEES, "config": {**SEES["config"], "prompt": {"text": "y" * 90, "version": 2}}}  # type: ignore[dict-item]
    files = [made_run(tmp_path, "A", answerer=SEES), made_run(tmp_path, "B", answerer=newer)]
    assert compare(files).verdicts[0].differs == ("Sees's prompt.version is 1 and 2",)


def test_the_released_files_share_their_answerer_but_not_with_people(shared: Path) -> None:
    names = ("ChatGPT_BLIP2", "FLAN_ALPACA_XXL_BLIP2", "VisDial_v1.0_queries_val")
    found = compare([shared / "data" / "chatir" / "dialogues" / f"{name}.json" for name in names])
    flan, people = found.verdicts
    assert flan.about == "questioners"
    assert flan.sentence.startswith("FLAN_ALPACA_XXL_BLIP2: repeats itself more than ChatGPT_BLIP2 (+6.74 a dialog")
    assert people.about == "runs"
    assert people.differs == ("BLIP2 answers in ChatGPT_BLIP2, Human in VisDial_v1.0_queries_val",)


def test_hits_are_tested_by_mcnemar_and_decided_where_test_and_interval_agree(tmp_path: Path) -> None:
    def ranks(better: int) -> list[int]:
        return [50, better, better, better]

    files = [
        made_run(tmp_path, "A", targets=40, ranks=[(CLIP, lambda dialog: ranks(5 if number(dialog) < 8 else 90))]),
        made_run(tmp_path, "B", targets=40, ranks=[(CLIP, lambda dialog: ranks(5 if number(dialog) >= 6 else 90))]),
    ]
    found = primary(compare(files))
    hits = found["hits@10"]
    assert (hits.test, hits.round, hits.n) == ("mcnemar", 3, 40)
    assert hits.p == pytest.approx(binomtest(6, 38).pvalue)
    assert hits.delta == pytest.approx(100 * (34 - 8) / 40)
    assert hits.effect == pytest.approx(32 / 38 - 0.5)
    assert hits.decided
    assert hits.gate == pytest.approx((34 - 8) / 40)
    assert (hits.level, hits.adjusted_level) == (0.95, pytest.approx(1 - 0.05 / 3))
    assert found["bri"].test == "sign-flip"
    assert not found["repeats_per_dialog"].decided


def test_primary_intervals_are_plain_and_those_at_the_level_of_holm_s_step_stand_beside_them(tmp_path: Path) -> None:
    def ask(dialog: Dialog) -> str:
        return same_question(dialog) if number(dialog) % 2 else new_question(dialog)

    ranks = [(CLIP, lambda dialog: [50, 40, 30, 20])]
    files = [
        made_run(tmp_path, name, targets=40, ask=asked, ranks=ranks)
        for name, asked in (("A", new_question), ("B", ask))
    ]
    found = compare(files).differences
    tested = next(one for one in found if one.metric == "repeats_per_dialog")
    described = next(one for one in found if one.metric == "exact_repeats_per_dialog")
    assert (tested.delta, described.delta) == (1, 1)
    assert (tested.level, tested.adjusted_level) == (0.95, pytest.approx(1 - 0.05 / 3))
    assert (described.level, described.p, described.adjusted_level) == (0.95, None, None)
    assert tested.adjusted_low < tested.ci_low < tested.ci_high < tested.adjusted_high  # type: ignore[operator]
    more = compare([*files, made_run(tmp_path, "C", targets=40)])
    beside = next(one for one in more.differences if one.b == "B" and one.metric == "repeats_per_dialog")
    assert (beside.ci_low, beside.ci_high) == (tested.ci_low, tested.ci_high)
    assert more.summaries[:2] == compare(files).summaries


def test_hits_of_a_group_are_means_and_tested_as_such(tmp_path: Path) -> None:
    asks = {"name": "Asks"}
    ranks = [
        [(CLIP, lambda dialog, seed=seed: [90, 90, 90, 5 if number(dialog) % (seed + 1) else 90])] for seed in (1, 2)
    ]
    files = [made_run(tmp_path, "base", targets=12, ranks=[(CLIP, lambda dialog: [90] * 4)])]
    files += [
        made_run(tmp_path, f"X_seed{seed}", targets=12, questioner=asks, seed=seed, ranks=ranks[seed])
        for seed in (0, 1)
    ]
    comparison = compare(files)
    hits = primary(comparison)["hits@10"]
    assert (hits.test, hits.corpus) == ("sign-flip", CLIP.corpus)
    assert hits.delta == pytest.approx((50 + 100 * 8 / 12) / 2)
    assert "Hits@10 at the last round, BRI, repeats (paired sign-flip" in comparison.method


def test_recall_has_the_effect_of_hits(tmp_path: Path) -> None:
    files = [
        made_run(tmp_path, "A", targets=10, ranks=[(CLIP, lambda dialog: [90] * 4)]),
        made_run(tmp_path, "B", targets=10, ranks=[(CLIP, lambda dialog: [90, 90, 90, 5 if number(dialog) else 90])]),
    ]
    (recall,) = (one for one in compare(files).differences if one.metric == "recall@10")
    assert recall.effect == 0.5


def test_whoever_finds_more_and_earlier_is_said_to(tmp_path: Path) -> None:
    files = [
        made_run(tmp_path, "A", targets=20, ranks=[(CLIP, lambda dialog: [60, 50, 40, 30])]),
        made_run(tmp_path, "B", targets=20, ranks=[(CLIP, lambda dialog: [60, 20, 8, 5])]),
    ]
    (verdict,) = compare(files).verdicts
    assert verdict.sentence == (
        "B: finds more targets than A (+100 points, 95% CI +100 to +100, p (Holm) = 0.0003) and finds targets earlier; "
        "about the questioners"
    )


class AtItsHit:
    """Stops a dialog whose target is ranked well by then, as `--stop-on-hit` does."""

    name, config, batch_size = "AtItsHit", {"k": 10}, 4

    def __init__(self, ranks: Sequence[int]) -> None:
        self._ranks = ranks

    def observe(self, dialogs: Sequence[Dialog]) -> list[bool]:
        return [self._ranks[len(dialog.rounds)] <= 10 for dialog in dialogs]


@pytest.mark.parametrize("both", [True, False])
def test_runs_that_were_stopped_at_their_hits_get_no_verdict_about_retrieval(tmp_path: Path, both: bool) -> None:
    early, late = [60, 20, 8, 5], [60, 50, 40, 9]
    files = [
        made_run(
            tmp_path,
            name,
            targets=20,
            ranks=[(CLIP, lambda dialog, own=own: own[: len(dialog.rounds) + 1])],
            observer=AtItsHit(own) if both or name == "early" else None,
        )
        for name, own in (("late", late), ("early", early))
    ]
    found = compare(files)
    assert not any(one.primary and one.retriever for one in found.differences)
    assert found.verdicts[0].sentence.startswith(
        "early: nothing is tested against late: their dialogs have other lengths"
    )
    assert "was stopped at its hits" in found.verdicts[0].sentence
    assert any(
        "without --stop-on-hit and with --out" in note and "early-all-rounds.json" in note for note in found.notes
    )


def test_the_mean_rank_is_described_with_its_logarithm_and_carries_no_verdict(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    far = {
        f"images/{n}.jpg": int(rank) for n, rank in enumerate(np.exp(rng.normal(3, 1.5, 60)).clip(1, 500).astype(int))
    }
    files = [
        made_run(tmp_path, "A", targets=60, ranks=[(CLIP, lambda dialog: [9, 9, 9, 2 * far[dialog.image]])]),
        made_run(tmp_path, "B", targets=60, ranks=[(CLIP, lambda dialog: [9, 9, 9, far[dialog.image]])]),
    ]
    told = {one.metric: one for one in compare(files).differences if not one.primary and one.round == 3}
    assert told["log_rank"].delta == pytest.approx(-math.log(2))
    assert told["atr"].p is not None
    assert told["atr"].p_holm is None
    assert not any(one.decided for one in told.values())
    below, above = told["atr"].delta - told["atr"].ci_low, told["atr"].ci_high - told["atr"].delta
    assert below > 1.2 * above  # BCa: the mean's distribution is skewed towards the far targets


def test_curves_are_compared_in_one_band_over_their_rounds(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    tables = rng.integers(1, 40, size=(2, 50, 4))
    files = [
        made_run(tmp_path, name, targets=50, ranks=[(CLIP, lambda dialog, own=own: own[number(dialog)].tolist())])
        for name, own in zip("AB", tables, strict=True)
    ]
    found = compare(files).differences
    band = {one.round: one for one in found if one.metric == "hits@10" and not one.primary}
    assert set(band) == {1, 2}
    best = (np.minimum.accumulate(tables, axis=2) <= 10) * 100.0
    assert band[1].delta == pytest.approx((best[1] - best[0]).mean(axis=0)[1])
    spread = (best[1] - best[0])[:, 1].std() / math.sqrt(50)
    assert band[1].ci_high - band[1].delta > 2.0 * spread  # wider than an interval of one round alone


@pytest.mark.parametrize(
    ("first", "phrase"),
    [
        ("steady", "lucky: finds more targets than steady (+100 points, 95% CI +100 to +100)"),
        ("lucky", "steady: finds fewer targets than lucky (-100 points, 95% CI -100 to -100)"),
    ],
)
def test_a_verdict_that_is_withheld_says_who_ranks_better_round_by_round(
    tmp_path: Path, first: str, phrase: str
) -> None:
    own = {"lucky": [300, 2, *[300] * 8], "steady": [300, 290, *[60] * 8]}
    names = [first, *(name for name in own if name != first)]
    ranks = {name: [(CLIP, lambda dialog, name=name: own[name])] for name in own}
    files = [made_run(tmp_path, name, targets=40, rounds=9, ranks=ranks[name]) for name in names]
    (verdict,) = compare(files).verdicts
    assert verdict.sentence.startswith(phrase)
    if first == "steady":
        assert "over all rounds, but ranks them worse at a given round (round by round p = 0.0001)" in verdict.sentence
    else:
        assert "over all rounds, but ranks them better at a given round (round by round p = 0.0001)" in verdict.sentence


def test_the_estimates_of_seeds_are_means_with_their_spread(tmp_path: Path) -> None:
    (base, group) = compare(seeds_of(tmp_path, 3)).summaries
    repeats = group["repeats_per_dialog", None]
    assert repeats is not None
    assert (group.runs, repeats.value) == (("X_seed0", "X_seed1", "X_seed2"), pytest.approx(1.0))
    assert repeats.between_seeds == pytest.approx(0.5)
    assert base["repeats_per_dialog", None].between_seeds is None  # type: ignore[union-attr]


def seeds_of(folder: Path, count: int) -> list[Path]:
    """Runs of one questioner that repeats the more, the higher its seed; and one of another."""

    def asking(seed: int):  # type: ignore[no-untyped-def]
        def ask(dialog: Dialog) -> str:
            repeats = number(dialog) % 4 < 1 + seed
            return same_question(dialog) if repeats else new_question(dialog)

        return ask

    same = {"name": "Asks", "config": {"model": "m"}}
    files = [made_run(folder, f"X_seed{n}", targets=12, ask=asking(n), questioner=same, seed=n) for n in range(count)]
    return [made_run(folder, "base", targets=12), *files]


def test_runs_that_differ_in_their_seed_only_are_one_side_together(tmp_path: Path) -> None:
    found = compare(seeds_of(tmp_path, 3))
    (group,) = found.groups
    assert (group.name, group.runs, group.seeds) == ("X (3 seeds)", ("X_seed0", "X_seed1", "X_seed2"), (0, 1, 2))
    (tested,) = (one for one in found.differences if one.primary)
    assert (tested.a, tested.b) == ("base", "X (3 seeds)")
    assert tested.delta == pytest.approx(1.0)  # the mean of 0.5, 1.0 and 1.5
    (spread,) = group.spread
    assert spread.mean == pytest.approx(1.0)
    assert spread.between_seeds == pytest.approx(0.5)
    of_images = np.array([2, 4 / 3, 2 / 3, 0] * 3)
    assert spread.over_images == pytest.approx(of_images.std(ddof=1) / math.sqrt(12))


def test_groups_of_one_name_are_told_apart(tmp_path: Path) -> None:
    cold, warm = ({"name": "Asks", "config": {"temperature": one}} for one in (0, 1))
    files = [made_run(tmp_path, f"x_seed{seed}", questioner=cold if seed < 2 else warm, seed=seed) for seed in range(4)]
    found = compare(files)
    assert [group.name for group in found.groups] == ["x (2 seeds)", "x_seed2 (2 seeds)"]
    assert {(one.a, one.b) for one in found.differences} == {("x (2 seeds)", "x_seed2 (2 seeds)")}


def test_failed_dialogs_of_a_group_are_compared_and_bounded(tmp_path: Path) -> None:
    asks = {"name": "Asks"}
    files = [made_run(tmp_path, f"a_seed{seed}", targets=10, questioner={"name": "A"}, seed=seed) for seed in (0, 1)]
    gone = {0: ("images/0.jpg", "images/1.jpg"), 1: ("images/1.jpg",)}
    files += [
        made_run(
            tmp_path, f"b_seed{seed}", targets=10, questioner=asks, seed=seed, failing=gone[seed], ask=same_question
        )
        for seed in (0, 1)
    ]
    found = compare(files)
    (failed,) = (one for one in found.differences if one.metric == "failed_dialogs")
    assert (failed.delta, failed.n, failed.test) == (pytest.approx(15.0), 10, "sign-flip")
    (bound,) = found.bounds
    assert (bound.failed_a, bound.failed_b) == (0, 2)
    assert (bound.low, bound.high) == pytest.approx((2 * 0.85, 2.0))
    assert any("b_seed0: 2 of its 10 dialogs failed" in note for note in found.notes)


def test_dialogs_that_an_older_file_lacks_count_as_failed(tmp_path: Path) -> None:
    whole, older = made_run(tmp_path, "A", targets=10), tmp_path / "B.json"
    made_run(tmp_path, "B", targets=10, failing=("images/3.jpg", "images/4.jpg"), questioner={"name": "B"})
    before = older.read_bytes()
    made_run(tmp_path, "B", targets=10, questioner={"name": "B"})
    assert older.read_bytes() != before
    older.write_bytes(before)
    found = compare([whole, older])
    assert any("B.json: is older than its run, which has 2 dialogs more" in note for note in found.notes)
    (failed,) = (one for one in found.differences if one.metric == "failed_dialogs")
    assert (failed.delta, failed.n) == (20.0, 10)
    assert found.bounds


def test_what_people_said_about_the_targets_is_part_of_what_differs(tmp_path: Path) -> None:
    said = [Dialog(one.image, one.caption, said=(Round("a?", "yes"),)) for one in named(4)]
    (verdict,) = compare([made_run(tmp_path, "A", targets=said), made_run(tmp_path, "B", targets=4)]).verdicts
    assert verdict.differs == ("what people said, or another key of the targets, differs in 4 of 4 targets",)


def test_runs_over_other_targets_are_no_seeds_of_one_another(tmp_path: Path) -> None:
    said = [Dialog(one.image, one.caption, said=(Round("a?", "yes"),)) for one in named(4)]
    files = [
        made_run(tmp_path, "A", targets=said, questioner={"name": "Q"}),
        made_run(tmp_path, "B", targets=4, questioner={"name": "Q"}, seed=1),
    ]
    assert not compare(files).groups


def test_questions_of_dialogs_of_other_lengths_are_counted_but_not_compared(tmp_path: Path) -> None:
    again = Round("what?", "that")
    for name, lengths in (("A", (3, 3, 3)), ("B", (1, 2, 3))):
        dialogs = [Dialog(one.image, one.caption, (again,) * n) for one, n in zip(named(3), lengths, strict=True)]
        write_dialogs(tmp_path / f"{name}.json", dialogs)
    found = compare([tmp_path / "A.json", tmp_path / "B.json"])
    assert [run.repetition["repeats_per_dialog"] for run in found.runs] == [2, 1]
    assert not found.differences
    assert any("A 3.00, B 2.00 rounds on average" in note for note in found.notes)


def test_figures_are_means_over_dialogs_as_score_prints_them_however_many_an_image_has(tmp_path: Path) -> None:
    captions = [Dialog("many.jpg", f"caption {n}", id=f"many{n}") for n in range(5)]
    captions += [Dialog(f"{n}.jpg", "a caption", id=str(n)) for n in range(3)]

    def ask(dialog: Dialog) -> str:
        return same_question(dialog) if dialog.image == "many.jpg" else new_question(dialog)

    files = [
        made_run(tmp_path, "A", targets=captions, ask=ask, ranks=[(CLIP, lambda dialog: [9, 9, 9, 1])]),
        made_run(
            tmp_path, "B", targets=captions, ranks=[(CLIP, lambda dialog: [9, 9, 9, 1 if dialog.id == "0" else 3])]
        ),
    ]
    comparison = compare(files)
    a, b = comparison.runs
    found = primary(comparison)
    assert a.repetition["repeats_per_dialog"] == pytest.approx(10 / 8)
    assert found["repeats_per_dialog"].delta == pytest.approx(-10 / 8)
    tokens = next(one for one in comparison.differences if one.metric == "unique_question_tokens_per_dialog")
    key = "unique_question_tokens_per_dialog"
    assert (b.language[key] or 0) - (a.language[key] or 0) == pytest.approx(tokens.delta)
    assert b.retrieval["CLIP"].bri - a.retrieval["CLIP"].bri == pytest.approx(found["bri"].delta)
    mrr = [run.retrieval["CLIP"].curves["mrr"].values[-1] for run in (a, b)]
    assert mrr[1] == pytest.approx((1 + 7 / 3) / 8)
    for run in (a, b):
        own = run.retrieval["CLIP"]
        assert own.bri == pytest.approx(best_log_rank_integral(own.ranks))
        assert own.curves["mrr"].values == pytest.approx(mean_reciprocal_rank(own.ranks))
        assert own.curves["hits@10"].values == pytest.approx(hits_at_k(own.ranks, 10))
    (summary,) = (one for one in comparison.summaries if one.name == "A")
    assert summary.estimates[0].low <= 10 / 8 <= summary.estimates[0].high


def test_where_all_targets_are_found_the_interval_has_a_width_however_many_dialogs_an_image_has(tmp_path: Path) -> None:
    captions = [
        Dialog(f"{n}.jpg", f"caption {k}", id=f"{n} {k}") for n in range(30) for k in range(1 + n % 3 * (n > 4))
    ]
    found = [(CLIP, lambda dialog: [9, 9, 9, 1])]
    comparison = compare([made_run(tmp_path, name, targets=captions, ranks=found) for name in "AB"])
    for summary in comparison.summaries:
        (hits,) = (one for one in summary.estimates if one.metric == "hits@10")
        assert (hits.value, hits.high) == pytest.approx((100, 100))
        assert hits.low == pytest.approx(88.6, abs=0.1)


def test_failed_dialogs_of_one_image_count_as_one(tmp_path: Path) -> None:
    captions = [Dialog(f"{n // 5}.jpg", f"caption {n}", id=str(n)) for n in range(30)]
    files = [made_run(tmp_path, "A", targets=captions), made_run(tmp_path, "B", targets=captions, failing=("0.jpg",))]
    found = compare(files)
    (failed,) = (one for one in found.differences if one.metric == "failed_dialogs")
    assert (failed.n, failed.test) == (6, "sign-flip")
    assert failed.delta == pytest.approx(100 / 6)
    assert failed.p is not None
    assert failed.p > 0.9


def test_bounds_are_means_over_dialogs_too(tmp_path: Path) -> None:
    captions = [Dialog("many.jpg", f"caption {n}", id=f"many{n}") for n in range(5)]
    captions += [Dialog(f"{n}.jpg", "a caption", id=str(n)) for n in range(3)]
    files = [made_run(tmp_path, "A", targets=captions), made_run(tmp_path, "B", targets=captions, failing=("0.jpg",))]
    (bound,) = compare(files).bounds
    assert (bound.low, bound.high) == pytest.approx((0, 2 / 8))


def test_nobody_is_best_at_repeating_little_where_others_ask_more(tmp_path: Path) -> None:
    again = Round("what?", "that")
    for name, lengths in (("A", (3, 3, 3)), ("B", (1, 2, 3))):
        dialogs = [Dialog(one.image, one.caption, (again,) * n) for one, n in zip(named(3), lengths, strict=True)]
        write_dialogs(tmp_path / f"{name}.json", dialogs)
    found = {table.key: table for table in tables(compare([tmp_path / "A.json", tmp_path / "B.json"]))}
    assert not any(cell.best for row in found["repetition"].rows for cell in row)


def test_where_nothing_can_be_tested_nothing_is_concluded(tmp_path: Path) -> None:
    for name, lengths in (("A", (1, 2)), ("B", (2, 2))):
        some = [
            Dialog(one.image, one.caption, (Round("a?", "b"),) * n) for one, n in zip(named(2), lengths, strict=True)
        ]
        write_dialogs(tmp_path / f"{name}.json", some)
    (verdict,) = compare([tmp_path / "A.json", tmp_path / "B.json"]).verdicts
    assert verdict.about == "runs"
    assert verdict.sentence.startswith("B: nothing is tested against A")


def test_captions_alone_beside_failures_have_bounds_in_order(tmp_path: Path) -> None:
    write_dialogs(tmp_path / "A.json", named(4))
    found = compare([tmp_path / "A.json", made_run(tmp_path, "B", failing=("images/1.jpg",))])
    assert all(one.low <= one.high for one in found.bounds)


def test_the_dialogs_of_one_image_are_taken_together(tmp_path: Path) -> None:
    captions = [Dialog(f"{n // 5}.jpg", f"caption {n}", id=str(n)) for n in range(30)]

    def ask(dialog: Dialog) -> str:
        return same_question(dialog) if int(dialog.image.removesuffix(".jpg")) < 3 else new_question(dialog)

    ranks = [(CLIP, lambda dialog: [50, 50, 50, 5 if int(dialog.id) % 5 else 50])]
    files = [made_run(tmp_path, "A", targets=captions, ranks=[(CLIP, lambda dialog: [50] * 4)])]
    files.append(made_run(tmp_path, "B", targets=captions, ask=ask, ranks=ranks))
    comparison = compare(files)
    found = primary(comparison)
    assert comparison.images == 6
    assert {one.n for one in found.values()} == {6}
    assert found["repeats_per_dialog"].delta == pytest.approx(1.0)
    assert found["repeats_per_dialog"].p > 0.1  # type: ignore[operator]  # three images of six, whatever their dialogs
    assert (found["hits@10"].test, found["hits@10"].delta) == ("sign-flip", pytest.approx(80.0))
    assert "McNemar test" not in comparison.method


@pytest.mark.parametrize(("won", "lost"), [(5, 0), (8, 1), (9, 1), (11, 2), (40, 10)])
def test_a_difference_is_decided_only_where_test_and_adjusted_interval_say_the_same(
    tmp_path: Path, won: int, lost: int
) -> None:
    def rank(name: str, dialog: Dialog) -> int:
        mine = number(dialog) < won if name == "B" else number(dialog) >= 100 - lost
        return 5 if mine else 90

    files = [
        made_run(
            tmp_path, name, targets=100, rounds=1, ranks=[(CLIP, lambda dialog, name=name: [90, rank(name, dialog)])]
        )
        for name in "AB"
    ]
    for one in compare(files).differences:
        if one.primary:
            leaves_0_out = not one.adjusted_low <= 0 <= one.adjusted_high  # type: ignore[operator]
            assert one.decided == (one.p_holm <= 0.05 and leaves_0_out)  # type: ignore[operator]


def test_a_group_may_be_named_as_the_baseline_by_any_of_its_runs(tmp_path: Path) -> None:
    files = seeds_of(tmp_path, 2)
    assert (
        compare(files, baseline="X_seed1").baseline == compare(files, baseline="X (2 seeds)").baseline == "X (2 seeds)"
    )


def test_one_seed_each_is_said_not_to_cover_the_noise_of_generation(tmp_path: Path) -> None:
    one = compare([made_run(tmp_path, "A"), made_run(tmp_path, "B")])
    assert "noise of generation is not covered" in one.method
    (tmp_path / "more").mkdir()
    assert "noise of generation is not covered" not in compare(seeds_of(tmp_path / "more", 2)[1:]).method


def test_the_same_seed_twice_is_no_group(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        made_run(tmp_path / folder, "same", questioner={"name": "Q"})
    found = compare([tmp_path / "one/same.json", tmp_path / "two/same.json"])
    assert not found.groups
    assert len(found.verdicts) == 1


def test_failed_dialogs_are_compared_and_bounded(tmp_path: Path) -> None:
    files = [
        made_run(tmp_path, "A", targets=10, ranks=[(CLIP, lambda dialog: [1, 1, 1, 1])]),
        made_run(
            tmp_path,
            "B",
            targets=10,
            ask=same_question,
            failing=("images/0.jpg", "images/7.jpg"),
            ranks=[(CLIP, lambda dialog: [1000, 1000, 1000, 1000])],
        ),
    ]
    found = compare(files)
    assert found.images == 8
    (failed,) = (one for one in found.differences if one.metric == "failed_dialogs")
    assert (failed.n, failed.delta, failed.test, failed.p, failed.primary) == (10, 20.0, "mcnemar", 0.5, False)
    bounds = {one.metric: one for one in found.bounds}
    assert (bounds["repeats_per_dialog"].failed_a, bounds["repeats_per_dialog"].failed_b) == (0, 2)
    assert (bounds["repeats_per_dialog"].low, bounds["repeats_per_dialog"].high) == pytest.approx((1.6, 2.0))
    assert (bounds["hits@10"].low, bounds["hits@10"].high) == pytest.approx((-100, -80))
    most = math.log(1000)
    assert (bounds["bri"].low, bounds["bri"].high) == pytest.approx((0.8 * most, most))


def test_runs_without_failures_have_no_bounds(tmp_path: Path) -> None:
    found = compare([made_run(tmp_path, "A"), made_run(tmp_path, "B")])
    assert not found.bounds
    assert all(one.metric != "failed_dialogs" for one in found.differences)


def test_answerers_are_held_against_each_other_where_they_were_asked_the_same(tmp_path: Path) -> None:
    files = [
        made_run(tmp_path, "Human_Human", answer=lambda dialog, asked: "yes"),
        made_run(tmp_path, "Human_BLIP2", answer=lambda dialog, asked: "no" if "kind 1" in asked else "Yes."),
    ]
    (found,) = compare(files).agreements
    assert (found.a, found.b, found.questions, found.yes_no_questions) == ("Human_Human", "Human_BLIP2", 12, 12)
    assert (found.exact, found.yes_no) == pytest.approx((200 / 3, 200 / 3))


def test_a_stopped_dialog_carries_its_best_rank_and_has_no_mean_rank(tmp_path: Path) -> None:
    first, second = Round("a?", "b"), Round("c?", "d")
    whole, stopped = (
        Dialog(one.image, one.caption, rounds)
        for one, rounds in zip(named(2), ((first, second), (first,)), strict=True)
    )
    file = tmp_path / "A.json"
    write_dialogs(file, [whole, stopped])
    with closing(RunFile.create(tmp_path / "A.run", {"imported": file_sha256(file)})) as run:
        ranks = [(whole, DialogRanks((30, 20, 40))), (stopped, DialogRanks((30, 4)))]
        RunRanks(run).keep(CLIP, ranks, {})
    curves = compare([file]).runs[0].retrieval["CLIP"].curves
    assert curves["hits@10"].values.tolist() == [0, 50, 50]
    assert curves["atr"].values[:2].tolist() == [30, 12]
    assert math.isnan(curves["atr"].values[2])
    assert math.isnan(curves["atr"].high[2])
