"""The best images after every round, which scoring keeps beside the ranks for whoever shows them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from players import Answering, Asking, query
from retriever.searching import DIMENSION, Hashing, corpus, dialogs, vector

from chatir import Dialog
from chatir.errors import InputError
from chatir.measures.ranks import DialogRanks
from chatir.retriever.index.corpus import Corpus
from chatir.retriever.ranking.ranked_dialogs import TOP, prefixes, ranked, ranks_now
from chatir.retriever.ranking.stop_on_hit import StopOnHit
from chatir.retriever.score import score
from chatir.run.file import RunFile
from chatir.run.ranks import RunRanks
from chatir.simulate import read_dialogs, simulate, write_dialogs


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_dialogs(tmp_path / "talk.json", dialogs())
    return tmp_path / "talk.json"


def kept(file: Path, number: int = 0) -> dict[str, DialogRanks]:
    """What the run file keeps of each dialog, in the dialogue file's order, by its ranking of that number."""
    some = read_dialogs(file)
    with RunFile.reading(file.with_suffix(".run")) as run:
        found = RunRanks(run).ranks(RunRanks(run).rankings()[number], some)
    return {dialog.id: found[dialog.id] for dialog in some}


def changed(file: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(file.with_suffix(".run"))) as db, db:
        db.execute(statement, values)


def by_sorting(some: Sequence[Dialog], among: Corpus, flavor: str = "") -> list[tuple[tuple[str, ...], ...]]:
    """All images after each round of each dialog, best first, by a stable sort of float64 scores."""
    vectors = np.concatenate(among.shards).astype(np.float64)
    return [
        tuple(
            tuple(
                among.images[place]
                for place in np.argsort(-(vectors @ vector(flavor + Hashing().text(seen))), kind="stable")
            )
            for seen in prefixes(dialog)
        )
        for dialog in some
    ]


def test_the_ten_best_images_of_every_round_are_kept_in_order(file: Path) -> None:
    score(file, Hashing(), corpus())
    expected = [tuple(names[:TOP] for names in rounds) for rounds in by_sorting(dialogs(), corpus())]
    assert [ranks.top for ranks in kept(file).values()] == expected


class Coarse(Hashing):
    """Has few different vectors, so that many images have equal scores."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = np.random.default_rng(seed)

    def encode_dialogs(self, dialogs: Sequence[Dialog | str]) -> torch.Tensor:
        return torch.tensor(unit(self._random.integers(-1, 2, (len(dialogs), DIMENSION))))


def unit(numbers: np.ndarray) -> np.ndarray:
    numbers = numbers.astype(np.float32)
    numbers[:, 0] += ~numbers.any(1)
    return numbers / np.linalg.norm(numbers, axis=1, keepdims=True)


@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 6), st.integers(0, 40))
def test_a_target_of_rank_r_is_number_r_of_the_best_images_or_none_of_them(
    seed: int, images: int, different: int, cut: int
) -> None:
    random = np.random.default_rng(seed)
    vectors = unit(random.integers(-1, 2, (different, DIMENSION)))[random.integers(0, different, images)]
    names = tuple(f"{number}.jpg" for number in range(images))
    among = Corpus(names, tuple(part for part in (vectors[:cut], vectors[cut:]) if len(part)), "ab")
    some = [replace(dialog, image=names[random.integers(0, images)]) for dialog in dialogs(4)]
    counted = ranks_now([seen for dialog in some for seen in prefixes(dialog)], Coarse(seed), among)
    for number, (dialog, found) in enumerate(zip(some, ranked(some, Coarse(seed), among), strict=True)):
        assert list(found.ranks) == counted[4 * number : 4 * number + 4]
        assert found.top is not None
        assert len(found.top) == len(found.ranks) == len(dialog.rounds) + 1
        for rank, best in zip(found.ranks, found.top, strict=True):
            assert len(set(best)) == len(best) == min(TOP, images)
            assert [place + 1 for place, name in enumerate(best) if name == dialog.image] == [rank] * (rank <= TOP)


def test_a_corpus_of_fewer_images_has_fewer_best_ones(tmp_path: Path) -> None:
    some = [replace(dialog, image=f"image {number}.jpg") for number, dialog in enumerate(dialogs(3))]
    write_dialogs(tmp_path / "talk.json", some)
    score(tmp_path / "talk.json", Hashing(), corpus(3))
    assert [ranks.top for ranks in kept(tmp_path / "talk.json").values()] == by_sorting(some, corpus(3))


def test_a_dialog_that_was_stopped_has_best_images_up_to_its_end(tmp_path: Path) -> None:
    out, targets = tmp_path / "x.json", [replace(dialog, rounds=()) for dialog in dialogs(8)]
    simulate(targets, Asking(), Answering(), out=out, rounds=5, observer=StopOnHit(Hashing(), corpus(), 4))
    score(out, Hashing(), corpus())
    for dialog in read_dialogs(out):
        found = kept(out)[dialog.id]
        assert found.top is not None
        assert len(found.top) == len(dialog.rounds) + 1
        assert [dialog.image in names[:4] for names in found.top] == [rank <= 4 for rank in found.ranks]


def test_each_retriever_has_best_images_of_its_own(file: Path) -> None:
    score(file, Hashing(), corpus())
    score(file, Hashing(flavor="other "), corpus())
    for number, flavor in enumerate(["", "other "]):
        expected = [tuple(names[:TOP] for names in rounds) for rounds in by_sorting(dialogs(), corpus(), flavor)]
        assert [ranks.top for ranks in kept(file, number).values()] == expected


@pytest.mark.parametrize("name", ['a "b".jpg', "ü/x.jpg", "50% of 'it'.jpg"])
def test_any_name_of_an_image_is_kept(tmp_path: Path, name: str) -> None:
    among = Corpus.of([name, *corpus(9).images], np.stack([vector(name) for name in [name, *corpus(9).images]]))
    some = [replace(dialogs(1)[0], image=name)]
    write_dialogs(tmp_path / "talk.json", some)
    score(tmp_path / "talk.json", Hashing(), among)
    assert name in by_sorting(some, among)[0][0]
    (found,) = kept(tmp_path / "talk.json").values()
    assert found.top == tuple(names[:TOP] for names in by_sorting(some, among)[0])


def test_a_name_is_written_once_a_dialog(file: Path) -> None:
    score(file, Hashing(), corpus())
    rows = dict(query(file.with_suffix(".run"), "SELECT id, images FROM top_images"))
    for id_, found in kept(file).items():
        names = json.loads(rows[id_])["names"]
        assert len(names) == len(set(names)) == len({name for best in found.top or () for name in best})


def test_ranks_that_were_kept_with_five_best_images_are_made_anew_once(file: Path) -> None:
    score(file, Hashing(), corpus())
    for id_, text in query(file.with_suffix(".run"), "SELECT id, images FROM top_images"):
        five = json.loads(text)
        five["rounds"] = [places[:5] for places in five["rounds"]]
        changed(file, "UPDATE top_images SET images = ? WHERE id = ?", json.dumps(five), id_)
    assert {len(best) for ranks in kept(file).values() for best in ranks.top or ()} == {5}
    assert score(file, Hashing(), corpus()).new == len(dialogs())
    assert {len(best) for ranks in kept(file).values() for best in ranks.top or ()} == {TOP}
    assert score(file, Hashing(), corpus()).new == 0


def test_ranks_that_were_kept_without_best_images_are_read_and_completed_by_the_next_score(file: Path) -> None:
    first = score(file, Hashing(), corpus())
    whole = kept(file)
    changed(file, "DROP TABLE top_images")
    assert kept(file) == {id_: replace(ranks, top=None) for id_, ranks in whole.items()}
    again = score(file, Hashing(), corpus())
    assert again.new == 7
    assert np.array_equal(again.ranks, first.ranks)
    assert kept(file) == whole
    assert score(file, Hashing(), corpus()).new == 0


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM top_images WHERE id IN (?, ?)", "UPDATE top_images SET digest = 'old' WHERE id IN (?, ?)"],
)
def test_only_dialogs_without_best_images_of_their_own_are_ranked_again(file: Path, statement: str) -> None:
    """A run that another chatir scored again may have ranks of a dialog as it is, and best images as it was."""
    score(file, Hashing(), corpus())
    whole = kept(file)
    ids = list(whole)[2:4]
    changed(file, statement, *ids)
    assert [id_ for id_, ranks in kept(file).items() if ranks.top is None] == ids
    retriever = Hashing()
    assert score(file, retriever, corpus()).new == 2
    assert len(retriever.encoded) == 2 * 4
    assert kept(file) == whole


def test_ranks_that_are_kept_without_best_images_leave_no_older_ones(file: Path) -> None:
    score(file, Hashing(), corpus())
    one = dialogs()[3]
    with closing(RunFile.open(file.with_suffix(".run"))) as run:
        (ranking,) = RunRanks(run).rankings()
        RunRanks(run).keep(ranking, [(one, DialogRanks((40, 39, 38, 37)))], {})
    assert kept(file)[one.id] == DialogRanks((40, 39, 38, 37))
    assert query(file.with_suffix(".run"), "SELECT count(*) FROM top_images") == [(6,)]


NAMES = [f"image {number}.jpg" for number in range(30, 36)]


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[]",
        "{}",
        json.dumps({"names": NAMES, "rounds": []}),
        json.dumps({"names": NAMES, "rounds": [[]] * 4}),
        json.dumps({"names": NAMES, "rounds": [[0, 1]] * 3}),
        json.dumps({"names": NAMES, "rounds": [[0, 1]] * 5}),
        json.dumps({"names": NAMES, "rounds": [[0, 1], [0, 1], [0, 1], [0]]}),
        json.dumps({"names": NAMES, "rounds": [[0, 0]] * 4}),
        json.dumps({"names": NAMES, "rounds": [[0, 6]] * 4}),
        json.dumps({"names": NAMES, "rounds": [[0, -1]] * 3 + [[0, 1]]}),
        json.dumps({"names": NAMES, "rounds": [["0", "1"]] * 4}),
        json.dumps({"names": NAMES, "rounds": [0, 1, 2, 3]}),
        json.dumps({"names": [*NAMES[:5], 5], "rounds": [[0, 1]] * 4}),
        json.dumps({"names": [*NAMES[:5], "image 0.jpg"], "rounds": [[0, 5]] * 4}),
        json.dumps({"names": ["../../secret.jpg", *NAMES], "rounds": [[0, 1]] * 4}),
        json.dumps({"names": ["/etc/secret.jpg", *NAMES], "rounds": [[0, 1]] * 4}),
    ],
)
def test_damaged_best_images_are_told(file: Path, text: str) -> None:
    ranks = [30, 20, 10, 9]
    score(file, Hashing(), corpus())
    changed(file, "UPDATE ranks SET ranks = ? WHERE id = 'image 0.jpg'", json.dumps(ranks))
    sound = json.dumps({"names": NAMES, "rounds": [[0, 1, 2]] * 4})
    changed(file, "UPDATE top_images SET images = ? WHERE id = 'image 0.jpg'", sound)
    assert kept(file)["image 0.jpg"].top == (tuple(NAMES[:3]),) * 4
    changed(file, "UPDATE top_images SET images = ? WHERE id = 'image 0.jpg'", text)
    for look in (lambda: kept(file), lambda: score(file, Hashing(), corpus())):
        with pytest.raises(InputError, match=r"talk\.run: the run file is damaged: some of its ranks cannot be read"):
            look()


def test_best_images_that_contradict_a_rank_are_told(file: Path) -> None:
    score(file, Hashing(), corpus())
    changed(file, "UPDATE ranks SET ranks = '[1, 1, 1, 1]' WHERE id = 'image 0.jpg'")
    with pytest.raises(InputError, match="damaged"):
        kept(file)


@pytest.mark.parametrize("column", ["retriever = '[]'", "retriever = '{'", "images = 'many'", "name = x'00'"])
def test_a_damaged_ranking_is_told(file: Path, column: str) -> None:
    score(file, Hashing(), corpus())
    changed(file, f"UPDATE rankings SET {column}")
    with pytest.raises(InputError, match="damaged"):
        kept(file)


def test_a_ranking_whose_table_is_gone_is_told(file: Path) -> None:
    score(file, Hashing(), corpus())
    changed(file, "DROP TABLE rankings")
    with pytest.raises(InputError, match=r"the run file is damaged \(no such table: rankings\)"):
        kept(file)
