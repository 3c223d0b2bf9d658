"""Scoring a dialogue file: exact ranks of every round, kept in its run file, computed once, refused when stale."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from players import Answering, Asking
from retriever.searching import Hashing, corpus, dialogs, expected_ranks

from chatir import Dialog, Round
from chatir.errors import InputError
from chatir.measures.retrieval import best_log_rank_integral, hits_at_k
from chatir.retriever.ranking.stop_on_hit import StopOnHit
from chatir.retriever.score import ScoredFile, score
from chatir.retriever.score_table import curve_json, curve_text
from chatir.run.file import RunFile
from chatir.run.ranks import RunRanks
from chatir.simulate import read_dialogs, simulate, write_dialogs


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_dialogs(tmp_path / "talk.json", dialogs())
    return tmp_path / "talk.json"


def columns(scores: ScoredFile) -> list[list[int]]:
    """The ranks of each dialog, without what is beyond its end."""
    return [[rank for rank in column if rank] for column in scores.ranks.T.tolist()]


def test_every_round_of_every_dialog_is_ranked_exactly(file: Path) -> None:
    scores = score(file, Hashing(), corpus())
    assert scores.ranks.shape == (4, 7)
    assert columns(scores) == expected_ranks(dialogs(), corpus())
    assert scores.new == 7


def test_dialogs_may_end_early(tmp_path: Path) -> None:
    some = [replace(dialog, rounds=dialog.rounds[:count]) for count, dialog in enumerate(dialogs(4))]
    write_dialogs(tmp_path / "talk.json", some)
    scores = score(tmp_path / "talk.json", Hashing(), corpus())
    assert columns(scores) == expected_ranks(some, corpus())
    assert (scores.ranks > 0).sum(axis=0).tolist() == [1, 2, 3, 4]


def test_a_second_call_reuses_the_ranks(file: Path) -> None:
    first, again = score(file, Hashing(), corpus()), Hashing()
    scores = score(file, again, corpus())
    assert again.encoded == []
    assert scores.new == 0
    with RunFile.reading(scores.run_file) as run:
        assert RunRanks(run).provenance(scores.ranking)["device"] == "cpu"
    assert np.array_equal(scores.ranks, first.ranks)
    assert np.array_equal(scores.truncated, first.truncated)


def test_another_retriever_or_corpus_has_ranks_of_its_own_beside_the_others(file: Path) -> None:
    other = corpus(45)
    found = [
        score(file, Hashing(), corpus()),
        score(file, Hashing(flavor="other "), corpus()),
        score(file, Hashing(), other),
    ]
    assert [one.new for one in found] == [7, 7, 7]
    assert columns(found[1]) == expected_ranks(dialogs(), corpus(), "other ")
    assert columns(found[2]) == expected_ranks(dialogs(), other)
    with closing(RunFile.open(file.with_suffix(".run"))) as run:
        assert [(r.images, r.retriever["flavor"]) for r in RunRanks(run).rankings()] == [
            (40, ""),
            (40, "other "),
            (45, ""),
        ]
    assert score(file, Hashing(), corpus()).new == 0


def test_ranks_of_a_run_stay_beside_its_replies_and_grow_with_it(tmp_path: Path) -> None:
    out = tmp_path / "run.json"
    targets = [replace(dialog, rounds=()) for dialog in dialogs(6)]
    simulate(targets[:4], Asking(), Answering(), out=out, rounds=2)
    before = score(out, Hashing(), corpus())
    assert (before.new, before.run_file) == (4, tmp_path / "run.run")
    simulate(targets, Asking(), Answering(), out=out, rounds=2)
    after = score(out, Hashing(), corpus())
    assert after.new == 2
    assert columns(after) == expected_ranks(read_dialogs(out), corpus())
    assert np.array_equal(after.ranks[:, :4], before.ranks)


def test_ranks_of_dialogs_that_read_otherwise_now_are_not_taken(tmp_path: Path, file: Path) -> None:
    score(file, Hashing(), corpus())
    changed = dialogs()
    changed[2] = replace(changed[2], rounds=(Round("another?", "no"), *changed[2].rounds[1:]))
    changed[4] = replace(changed[4], image="image 39.jpg", id=changed[4].id)
    with closing(RunFile.open(file.with_suffix(".run"))) as run:
        (ranking,) = RunRanks(run).rankings()
        known = RunRanks(run).ranks(ranking, changed)
    assert known.keys() == {dialog.id for dialog in dialogs()} - {changed[2].id, changed[4].id}


def test_what_was_ranked_before_a_crash_is_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[score.__module__], "AT_ONCE", 3)

    class Dying(Hashing):
        def encode_dialogs(self, some: Sequence[Dialog | str]) -> torch.Tensor:
            if len(self.encoded) >= 2 * 3 * 4:
                raise KeyboardInterrupt
            return super().encode_dialogs(some)

    with pytest.raises(KeyboardInterrupt):
        score(file, Dying(), corpus())
    going_on = Hashing()
    scores = score(file, going_on, corpus())
    assert (scores.new, len(going_on.encoded)) == (1, 4)
    assert columns(scores) == expected_ranks(dialogs(), corpus())


def test_truncation_is_told_as_a_share_of_the_dialogs_still_played(tmp_path: Path) -> None:
    some = dialogs(4)
    some[0] = replace(some[0], rounds=())
    some[1] = replace(some[1], caption="long " * 20)
    write_dialogs(tmp_path / "talk.json", some)
    scores = score(tmp_path / "talk.json", Hashing(longest=28), corpus())
    # "caption 2, is it 2 0? yes, ..." has 9 characters and 15 more a round
    assert scores.truncated is not None
    assert scores.truncated.tolist() == pytest.approx([25, 100 / 3, 100, 100])
    assert score(tmp_path / "talk.json", Hashing(longest=28), corpus()).truncated.tolist() == scores.truncated.tolist()


def test_a_retriever_that_cannot_tell_truncation_leaves_it_open(file: Path) -> None:
    class Silent(Hashing):
        truncated = None

    assert score(file, Silent(), corpus()).truncated is None
    assert "truncated" not in curve_text(score(file, Silent(), corpus()), [10])


def test_targets_that_the_corpus_lacks_are_named(file: Path) -> None:
    with pytest.raises(InputError, match=r"talk.json: 4 of 7 targets are not in the corpus of 12 images: image 15.jpg"):
        score(file, Hashing(), corpus(12))
    assert not file.with_suffix(".run").exists()


def test_a_file_without_dialogs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "none.json").write_text("[]")
    with pytest.raises(InputError, match="holds no dialogs"):
        score(tmp_path / "none.json", Hashing(), corpus())


def test_another_dimension_is_another_model_s(file: Path) -> None:
    with pytest.raises(InputError, match=r"Hashing: encodes dialogs in 8 dimensions, but .* have 16"):
        score(file, Hashing(dimension=8), corpus())


def test_the_run_file_of_another_dialogue_file_is_refused(file: Path) -> None:
    score(file, Hashing(), corpus())
    write_dialogs(file, dialogs(5))
    before = file.with_suffix(".run").read_bytes()
    with pytest.raises(InputError, match=r"is the run file of another talk\.json than .* is now"):
        score(file, Hashing(), corpus())
    assert file.with_suffix(".run").read_bytes() == before


def test_a_run_file_in_use_is_refused(file: Path) -> None:
    score(file, Hashing(), corpus())
    with closing(RunFile.open(file.with_suffix(".run"))), pytest.raises(InputError, match="writing this run"):
        score(file, Hashing(), corpus())


def test_ranks_may_be_kept_elsewhere(file: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "ranks"
    elsewhere.mkdir()
    assert score(file, Hashing(), corpus(), run_file=elsewhere).run_file == elsewhere / "talk.run"
    assert score(file, Hashing(), corpus(), run_file=tmp_path / "other.run").run_file == tmp_path / "other.run"
    assert not file.with_suffix(".run").exists()
    assert score(file, Hashing(), corpus(), run_file=elsewhere).new == 0


def test_where_no_run_file_can_be_made_the_way_out_is_told(file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--run names another place"):
        score(file, Hashing(), corpus(), run_file=tmp_path / "no such folder" / "x.run")


@pytest.mark.parametrize(
    "damage",
    ["nonsense", "5", "[1]", "[1, 2, 3, 0]", "[1, 2, 3, 41]", '["a", 1, 1, 1]', "[1, 2, 3, 4, 5]", "[" * 100_000],
)
def test_a_damaged_rank_is_told(file: Path, damage: str) -> None:
    score(file, Hashing(), corpus())
    with closing(sqlite3.connect(file.with_suffix(".run"))) as db, db:
        db.execute("UPDATE ranks SET ranks = ? WHERE id = 'image 0.jpg'", (damage,))
        db.execute("DELETE FROM top_images")  # which tell of some damage too
    with pytest.raises(InputError, match="damaged: some of its ranks cannot be read"):
        score(file, Hashing(), corpus())


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lambda found: found[1:], "are 27, but the dialogs are 28"),
        (lambda found: found * 2, "are no unit vectors: row .* has the length 2"),
        (lambda found: found[0], r"have the shape \[16\]"),
        (lambda found: found * torch.nan, "are not finite in row 0"),
        (lambda found: 1 / 0, "cannot encode 28 dialogs at once: ZeroDivisionError"),
    ],
)
def test_what_a_retriever_gives_of_dialogs_is_checked(
    file: Path, given: Callable[[torch.Tensor], torch.Tensor], told: str
) -> None:
    class Wrong(Hashing):
        def encode_dialogs(self, some: Sequence[Dialog | str]) -> torch.Tensor:
            return given(super().encode_dialogs(some))

    with pytest.raises(InputError, match=f"Hashing.* {told}"):
        score(file, Wrong(), corpus())


def test_numpy_vectors_do_as_well(file: Path) -> None:
    class Numpy(Hashing):
        def encode_dialogs(self, some: Sequence[Dialog | str]) -> np.ndarray:
            return super().encode_dialogs(some).double().numpy()

    assert columns(score(file, Numpy(), corpus())) == expected_ranks(dialogs(), corpus())


@pytest.mark.parametrize("k", [1, 4])
def test_a_dialog_stops_at_its_first_hit(tmp_path: Path, k: int) -> None:
    out, rounds = tmp_path / "run.json", 5
    targets = [replace(dialog, rounds=()) for dialog in dialogs(8)]
    among = corpus()
    summary = simulate(targets, Asking(), Answering(), out=out, rounds=rounds, observer=StopOnHit(Hashing(), among, k))
    whole = tmp_path / "whole.json"
    simulate(targets, Asking(), Answering(), out=whole, rounds=rounds)
    scores, played = score(out, Hashing(), among), expected_ranks(read_dialogs(whole), among)
    for stopped, all_rounds in zip(columns(scores), played, strict=True):
        hit = next((r for r, rank in enumerate(all_rounds) if rank <= k), rounds)
        assert stopped == all_rounds[: hit + 1]
    assert summary.stopped == sum(min(ranks) <= k for ranks in played)


def test_a_run_that_stopped_early_as_a_whole_has_as_many_rounds_as_any(tmp_path: Path) -> None:
    """Its measures are those of the whole run in every round that both played, and BRI is divided by all rounds."""
    targets = [replace(dialog, rounds=()) for dialog in dialogs(8)]
    simulate(targets, Asking(), Answering(), out=tmp_path / "whole.json", rounds=6)
    whole = score(tmp_path / "whole.json", Hashing(), corpus())
    for k in (1, 20, 40):
        out = tmp_path / f"stopped{k}.json"
        simulate(targets, Asking(), Answering(), out=out, rounds=6, observer=StopOnHit(Hashing(), corpus(), k))
        stopped = score(out, Hashing(), corpus())
        assert stopped.ranks.shape == (7, 8)
        elsewhere = score(out, Hashing(), corpus(), run_file=tmp_path / f"elsewhere{k}.run")
        assert np.array_equal(elsewhere.ranks, stopped.ranks)
        assert hits_at_k(stopped.ranks, k).tolist() == hits_at_k(whole.ranks, k).tolist()
    assert (stopped.ranks[1:] == 0).all()
    assert best_log_rank_integral(stopped.ranks) == pytest.approx(np.log(whole.ranks[0]).mean())
    assert curve_json(stopped, [10])["truncated"] == [0.0, *[None] * 6]


@pytest.mark.parametrize(
    ("tell", "told"),
    [
        (lambda some: [True], "tells of 1 texts, but was given 28"),
        (lambda some: 1 / 0, "fails: ZeroDivisionError"),
        (lambda some: 5, "fails: TypeError"),
    ],
)
def test_a_retriever_that_tells_nonsense_about_truncation_is_named(
    file: Path, tell: Callable[[object], object], told: str
) -> None:
    retriever = Hashing()
    retriever.truncated = tell
    with pytest.raises(InputError, match=rf"Hashing: its truncated\(\) {told}"):
        score(file, retriever, corpus())


@pytest.mark.parametrize("device", ["nowhere", "cuda:99", "meta", 5.5])
def test_a_device_that_is_not_there_is_named(file: Path, device: object) -> None:
    retriever = Hashing()
    retriever.device = device
    with pytest.raises(InputError, match=f"Hashing: nothing can be ranked on its device {device!r}"):
        score(file, retriever, corpus())


def test_a_target_that_no_hit_can_stop_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    asking = Asking()
    targets = [replace(dialog, rounds=()) for dialog in dialogs(8)]
    with pytest.raises(InputError, match=r"target 'image 15\.jpg': 1 of 1 targets are not in the corpus of 12 images"):
        simulate(targets, asking, Answering(), out=tmp_path / "run.json", observer=StopOnHit(Hashing(), corpus(12), 3))
    assert asking.calls.batches == []


def test_a_run_with_another_way_to_stop_is_another_run(tmp_path: Path) -> None:
    targets = [replace(dialog, rounds=()) for dialog in dialogs(2)]
    out = tmp_path / "run.json"
    simulate(targets, Asking(), Answering(), out=out, rounds=1, observer=StopOnHit(Hashing(), corpus(), 3))
    others = {
        r"\(observer.config.k: 3 there, 4 now\)": StopOnHit(Hashing(), corpus(), 4),
        r"\(observer.config.corpus: .* there, .* now\)": StopOnHit(Hashing(), corpus(41), 3),
        r"\(observer.config.retriever.config.longest: 60 there, 50 now; .*image_config.longest: 60": StopOnHit(
            Hashing(longest=50), corpus(), 3
        ),
        r'\(observer: "StopOnHit" there, null now\)': None,
    }
    for told, observer in others.items():
        with pytest.raises(InputError, match=f"another configuration {told}"):
            simulate(targets, Asking(), Answering(), out=out, rounds=1, observer=observer)


def test_the_curve_reads_as_a_table_and_as_json(file: Path) -> None:
    names = [str(number) for number in range(15)]
    scores = replace(
        score(file, Hashing(), corpus()),
        ranks=np.array([[20, 3], [11, 0], [4, 0]]),
        truncated=np.array([0, 0, 50.0]),
        best=((names[:10], names[5:], names[5:]), (names[:10],)),
    )
    title, head, *rows, bri, chance = curve_text(scores, [10]).splitlines()
    assert title.endswith("talk.json: 2 dialogs, Hashing in 40 images")
    assert head.split() == ["round", "Hits@10", "chance", "Recall@10", "ATR", "MRR", "improved", "truncated"]
    assert [row.split() for row in rows] == [
        ["0", "50.00", "25.00", "50.00", "11.50", "0.1917", "-", "0.0"],
        ["1", "50.00", "31.25", "-", "-", "-", "-", "0.0"],
        ["2", "100.00", "31.25", "-", "-", "-", "-", "50.0"],
    ]
    assert bri.startswith("  BRI 1.69")
    assert bri.endswith("the best rank so far is typically 5.5 (lower is better)")
    assert chance == "  chance: Hits@K if targets were drawn at random from the corpus"
    data = json.loads(json.dumps(curve_json(scores, [10]), allow_nan=False))
    assert data["hits@10"] == [50, 50, 100]
    assert data["atr"] == [11.5, None, None]
    assert data["retriever"]["name"] == "Hashing"
    assert (data["dialogs"], data["rounds"], data["corpus"]["images"]) == (2, 2, 40)
