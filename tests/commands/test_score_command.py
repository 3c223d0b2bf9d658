"""`chatir score`, and `chatir simulate --retriever`, as a user types them: the built-in CLIP on built-in scenes."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from players import query

from chatir.cli import run
from chatir.datasets.scenes.drawing import draw
from chatir.datasets.scenes.folder import write_scenes
from chatir.datasets.scenes.people import people_dialog
from chatir.measures.retrieval import recall_at_k
from chatir.models.builtin import checkpoints
from chatir.retriever import load_retriever
from chatir.simulate import read_dialogs, write_dialogs
from tools.scene_models.measures import held_out_scenes

Typed = Callable[..., tuple[int, str, str]]

COUNT = 40
CLIP = ("--retriever", "clip", "-r", f"model={checkpoints()['clip']}")
SCENES = ("--corpus", "scenes/corpus.json", "--images", "scenes")
PLAY = ("--questioner", "human", "--answerer", "human", "--targets", "scenes/targets.json", "--out", "talk.json")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scenes, and a data folder in which their index is made once."""
    folder = tmp_path_factory.mktemp("scored")
    write_scenes(folder / "scenes", COUNT, seed=5)
    return folder


@pytest.fixture
def typed(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Type a command there."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("CHATIR_DATA", str(place / "data"))
    for left in ("talk.json", "talk.run"):
        (place / left).unlink(missing_ok=True)

    def type_(*words: str) -> tuple[int, str, str]:
        code = run(words)
        return code, *capsys.readouterr()

    return type_


def test_a_run_with_a_retriever_ends_with_the_curve_and_scoring_again_reuses_it(typed: Typed, place: Path) -> None:
    code, out, err = typed("simulate", *PLAY, *CLIP, *SCENES)
    assert code == 0, err
    lines = out.splitlines()
    head = next(place for place, line in enumerate(lines) if line.split()[:1] == ["round"])
    assert lines[head].split() == ["round", "Hits@10", "chance", "Recall@10", "ATR", "MRR", "improved", "truncated"]
    rows = [line.split() for line in lines[head + 1 : head + 12]]
    assert [row[0] for row in rows] == [str(number) for number in range(11)]
    assert float(rows[10][4]) < 1.2 < 3 < float(rows[0][4])  # ten rounds find the scenes; captions alone do not
    (count,) = query(place / "talk.run", "SELECT count(*) FROM ranks")[0]
    assert count == COUNT
    (made_on,) = query(place / "talk.run", "SELECT provenance FROM rankings")[0]
    assert json.loads(made_on)["typed"] == [*CLIP, *SCENES]
    again = typed("score", "talk.json", *CLIP, *SCENES)
    assert again[0] == 0
    assert again[1].splitlines() == lines[head - 1 :]


def test_ranks_are_printed_as_json_with_several_cutoffs(typed: Typed) -> None:
    shutil.copy("scenes/targets.json", "talk.json")
    code, out, err = typed("score", "talk.json", *CLIP, *SCENES, "--k", "1,5", "--format", "json")
    assert code == 0, err
    (told,) = json.loads(out)
    assert told["corpus"]["images"] == COUNT
    assert len(told["hits@1"]) == len(told["recall@5"]) == 11
    assert told["truncated"] == [0.0] * 11
    assert told["retriever"]["config"]["separator"] == ", "


def test_options_may_come_from_the_environment(typed: Typed, monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    (place / "elsewhere").mkdir(exist_ok=True)
    settings = {"K": "2", "FORMAT": "json", "RUN": "elsewhere", "RETRIEVER": "clip", "CORPUS": "scenes/corpus.json"}
    for name, value in settings.items():
        monkeypatch.setenv(f"CHATIR_SCORE_{name}", value)
    code, out, err = typed("score", "scenes/targets.json", "-r", f"model={checkpoints()['clip']}", "--images", "scenes")
    assert code == 0, err
    assert "hits@2" in json.loads(out)[0]
    assert (place / "elsewhere/targets.run").exists()


def test_stopping_at_hits_saves_questions_and_tells_how_many(typed: Typed) -> None:
    code, out, err = typed("simulate", *PLAY, *CLIP, *SCENES, "--stop-on-hit", "3")
    assert code == 0, err
    asked = sum(len(dialog.rounds) for dialog in read_dialogs("talk.json"))
    assert 0 < asked < 10 * COUNT
    saved = 10 * COUNT - asked
    assert f"stopping at Hits@3 saved {saved} of {10 * COUNT} questions ({100 * saved / COUNT / 10:.0f}%)" in out
    assert "Hits@3" in out


def test_only_a_run_that_was_complete_is_told_to_be_so(typed: Typed) -> None:
    stop = ("--stop-on-hit", str(COUNT))  # at its caption, each of them
    told = "this run was complete"
    assert [told in typed("simulate", *PLAY, *CLIP, *SCENES, *stop, "--limit", n)[2] for n in "557"] == [
        False,
        True,
        False,
    ]


def test_a_retriever_that_cannot_read_a_caption_ends_a_run_before_anybody_is_asked(typed: Typed, place: Path) -> None:
    blind = ("--retriever", "hf-text-image", "-r", f"model={checkpoints()['blip2']}")
    code, out, err = typed("simulate", *PLAY, *blind, *SCENES)
    assert (code, out) == (2, "")
    assert "gives no single vector a text or image" in err
    assert not (place / "talk.run").exists()


def test_a_corpus_without_the_targets_is_refused_before_anybody_is_asked(typed: Typed, place: Path) -> None:
    (place / "less.json").write_text(json.dumps(json.loads((place / "scenes/corpus.json").read_text())[:30]))
    less = ("--corpus", "less.json", "--images", "scenes")
    for words in (("simulate", *PLAY, *CLIP, *less), ("score", "scenes/targets.json", *CLIP, *less)):
        code, out, err = typed(*words)
        assert (code, out) == (2, "")
        assert "10 of 40 targets are not in the corpus of 30 images: images/5-000030.png" in err
    assert not (place / "talk.run").exists()


@pytest.mark.parametrize("stop", [(), ("--stop-on-hit", "3")])
def test_a_target_whose_image_is_broken_is_told_before_anybody_is_asked(
    typed: Typed, place: Path, stop: tuple[str, ...]
) -> None:
    shutil.copytree("scenes", "broken", dirs_exist_ok=True)
    (place / "broken/images/5-000003.png").write_bytes(b"no picture")
    broken = ("--corpus", "scenes/corpus.json", "--images", "broken")
    code, out, err = typed("simulate", *PLAY, *CLIP, *broken, *stop)
    assert (code, out) == (2, "")
    assert "1 of 40 images cannot be indexed: images/5-000003.png" in err
    code, out, err = typed("simulate", *PLAY, *CLIP, *broken, *stop, "--on-broken", "skip")
    assert (code, out) == (2, "")
    assert "1 of 40 targets have broken images, which are left out of the corpus: images/5-000003.png" in err
    assert not (place / "talk.run").exists()


def test_ranks_of_files_that_must_not_change_go_elsewhere(typed: Typed, place: Path) -> None:
    (place / "ranks").mkdir(exist_ok=True)
    shutil.copy("scenes/targets.json", "talk.json")
    code, _, err = typed("score", "talk.json", "scenes/targets.json", *CLIP, *SCENES, "--run", "ranks")
    assert code == 0, err
    assert {path.name for path in (place / "ranks").iterdir()} == {"talk.run", "targets.run"}
    assert not (place / "scenes/targets.run").exists()
    code, _, err = typed("score", "talk.json", "scenes/targets.json", *CLIP, *SCENES, "--run", "ranks/one.run")
    assert code == 2
    assert "is one file for the ranks of 2 files; name a folder" in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("score", "talk.json", *SCENES), "Missing option '--retriever'"),
        (("score", *CLIP, *SCENES), "Missing argument 'FILE...'"),
        (("score", "none.json", *CLIP, *SCENES), "none.json: no such file"),
        (("score", "talk.json", "--retriever", "clap", *SCENES), "no retriever 'clap'; did you mean 'clip'?"),
        (("score", "talk.json", *CLIP, "-r", "seperator=x", *SCENES), "did you mean 'separator'?"),
        (("score", "talk.json", *CLIP, *SCENES, "--k", "0"), "'0' must be ranks of at least 1"),
        (("score", "talk.json", *CLIP, *SCENES, "--k", "1,x"), "'1,x' must be ranks of at least 1"),
        (("score", "talk.json", *CLIP, "--corpus", "scenes/corpus.json", "--images", "nowhere"), "is no folder"),
        (("score", "talk.json", *CLIP, "--images", "scenes"), "'chatir fetch' brings it"),
        (("simulate", *PLAY, "-r", "model=x"), "go with --retriever NAME"),
        (("simulate", *PLAY, "--stop-on-hit", "3"), "go with --retriever NAME"),
        (("simulate", *PLAY, *CLIP, *SCENES, "--stop-on-hit", "0"), "0 is not in the range x>=1"),
        (("simulate", *PLAY, *CLIP, *SCENES, "--stop-on-hit", "3", "--dry-run"), "a dry run foresees no hits"),
    ],
)
def test_wrong_use_is_told_in_one_line(typed: Typed, words: tuple[str, ...], told: str) -> None:
    if words[1] == "talk.json":
        shutil.copy("scenes/targets.json", "talk.json")
    code, out, err = typed(*words)
    assert (code, out) == (2, "")
    assert told in err
    assert len(err.splitlines()) == 1
    assert not Path("talk.run").exists()


def test_the_released_kind_of_checkpoint_ranks_a_folder_of_images_exactly(
    typed: Typed, place: Path, shared: Path
) -> None:
    original = shared / "fixtures" / "blip_original"
    options = {"checkpoint": str(original / "checkpoint.pth"), "tokenizer": str(original)}
    shutil.copy("scenes/targets.json", "talk.json")
    words = [word for name, value in options.items() for word in ("-r", f"{name}={value}")]
    code, out, err = typed("score", "talk.json", "--retriever", "chatir", *words, *SCENES)
    assert code == 0, err
    assert f"{COUNT} dialogs, ChatIR in {COUNT} images" in out

    retriever, dialogs = load_retriever("chatir", **options), read_dialogs("talk.json")
    images = [dialog.image for dialog in dialogs]  # in the corpus' order
    vectors = retriever.encode_images([place / "scenes" / image for image in images]).double().numpy()
    queries = retriever.encode_dialogs(dialogs).double().numpy()
    kept = {image: json.loads(ranks)[-1] for image, ranks in query(place / "talk.run", "SELECT id, ranks FROM ranks")}
    for number, image in enumerate(images):
        order = np.argsort(-(vectors @ queries[number]), kind="stable")
        assert kept[image] == int(np.flatnonzero(order == number)[0]) + 1


@pytest.mark.slow
def test_the_built_in_clip_gives_the_curve_of_its_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the card's three draws of scenes, through the command: files, index, texts of every round, exact ranks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHATIR_DATA", str(tmp_path / "data"))
    names, dialogs = [], []
    for number, scene in enumerate(held_out_scenes(1, 1000)):
        names.append(f"{number}.png")
        draw(scene).save(names[-1], compress_level=1)
        dialogs.append(people_dialog(scene, names[-1], random.Random(f"1 {number}")))
    Path("corpus.json").write_text(json.dumps(names))
    write_dialogs("talk.json", dialogs)
    assert run(["score", "talk.json", *CLIP, "--corpus", "corpus.json", "--images", "."]) == 0
    card = (checkpoints()["clip"] / "README.md").read_text()
    spans = [tuple(map(float, span)) for span in re.findall(r"^\| \d+ \| \S+ \((\S+) to (\S+)\) \|", card, re.M)]
    ranks = [json.loads(row[0]) for row in query(tmp_path / "talk.run", "SELECT ranks FROM ranks")]
    recall = recall_at_k([list(column) for column in zip(*ranks, strict=True)], 10)
    assert len(spans) == len(recall) == 11
    for figure, (lowest, highest) in zip(recall, spans, strict=True):
        assert lowest - 0.3 <= figure <= highest + 0.3
