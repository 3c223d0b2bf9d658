"""Honest names: a built-in model is `scenes:blip2` wherever people read, and what was recorded stays as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chatir.cli import run
from chatir.compare import compare
from chatir.datasets.scenes import names
from chatir.datasets.scenes.folder import write_scenes
from chatir.datasets.scenes.names import DIGESTS, built_in_models, shown_config, shown_name
from chatir.models.builtin import checkpoints
from chatir.models.local.loading import folder_sha256
from chatir.run.file import RunFile
from chatir.run.ranking_labels import ranking_labels
from chatir.run.ranks import Ranking, RunRanks

SHA256 = {name: digest for digest, name in DIGESTS.items()}
"""The hash of the newest model of each name."""
T5 = ("--questioner", "hf", "-q", "model=scenes:t5", "-q", "prompt=scenes")
BLIP2 = ("--answerer", "blip2", "-a", "model=scenes:blip2", "--images", "scenes")
CLIP = ("--retriever", "clip", "-r", "model=scenes:clip", "--corpus", "scenes/corpus.json", "--images", "scenes")
OUT = Path("outputs/scenes-t5-prompt=scenes_scenes-blip2_rounds=1.json")
PLAY = ("--targets", "scenes/targets.json", "--rounds", "1", "--limit", "2")


def model(name: str, id_: str | None = None) -> dict[str, Any]:
    return {"model": {"id": id_ or name, "sha256": SHA256[name], "precision": "fp32"}}


def test_the_models_that_come_with_chatir_are_known_by_their_hashes() -> None:
    """A model that was trained again needs a line in DIGESTS; the older ones stay there."""
    assert {name: DIGESTS.get(folder_sha256(folder)) for name, folder in checkpoints().items()} == {
        name: name for name in checkpoints()
    }


@pytest.mark.parametrize(
    ("name", "config", "shown"),
    [
        ("BLIP2", model("blip2"), "scenes:blip2"),
        ("CLIP", model("clip"), "scenes:clip"),
        ("clip", model("clip"), "scenes:clip"),
        ("t5", model("t5"), "scenes:t5"),
        ("Unanswered_t5", model("t5"), "Unanswered_scenes:t5"),
        ("BLIP2", model("blip2", "a copy"), "scenes:blip2"),
        ("Unanswered_a_copy", model("t5", "a copy"), "Unanswered_scenes:t5"),
        ("MyAsker", model("t5"), "MyAsker"),
        ("myt5", model("t5"), "myt5"),
        ("BLIP2", {"model": {"id": "blip2", "sha256": "0" * 64}}, "BLIP2"),
        ("BLIP2", {"model": {"id": "Salesforce/blip2-flan-t5-xl", "revision": "main"}}, "BLIP2"),
        ("ChatGPT", {"model": "gpt-4o"}, "ChatGPT"),
        ("Human", {}, "Human"),
    ],
)
def test_a_name_tells_a_built_in_model_by_its_hash(name: str, config: dict[str, Any], shown: str) -> None:
    assert shown_name(name, config) == shown


def test_a_configuration_is_shown_with_honest_names_however_deep_they_are() -> None:
    retriever = {"name": "CLIP", "config": model("clip"), "image_config": model("clip")}
    config = {"rounds": 5, "observer": {"name": "StopOnHit", "config": {"retriever": retriever, "more": [retriever]}}}
    before = json.dumps(config)
    told = shown_config(config)["observer"]["config"]
    for one in (told["retriever"], *told["more"]):
        assert (one["name"], one["config"]["model"]["id"]) == ("scenes:clip", "scenes:clip")
    assert json.dumps(config) == before
    assert list(built_in_models(config)) == ["scenes:clip"] * 4


def test_labels_tell_versions_of_a_built_in_model_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    older = "a" * 64
    monkeypatch.setitem(names.DIGESTS, older, "clip")
    configs = [{"model": {"id": "clip", "sha256": digest}} for digest in (SHA256["clip"], older)]
    rankings = [Ranking("CLIP", config, "c" * 64, 1000).shown for config in configs]
    (label,) = ranking_labels(rankings[:1]).values()
    assert label == "scenes:clip"
    first, second = ranking_labels(rankings).values()
    assert first != second
    assert second.startswith('scenes:clip (model.sha256 "aaaa')


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the small models have played two dialogs, and ranked them, under default names."""
    place = tmp_path_factory.mktemp("played")
    write_scenes(place / "scenes", 12, seed=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("CHATIR_DATA", str(place / "data"))
        assert run(["simulate", *T5, *BLIP2, *PLAY]) == 0
        assert run(["score", str(OUT), *CLIP]) == 0
        yield place


def test_the_run_file_keeps_the_names_that_were_declared(folder: Path) -> None:
    with closing(RunFile.open(folder / OUT.with_suffix(".run"))) as kept:
        players = [kept.config[role] for role in ("questioner", "answerer")]
        assert [player["name"] for player in players] == ["t5", "BLIP2"]
        assert [player["config"]["model"]["id"] for player in players] == ["t5", "blip2"]
        (ranking,) = RunRanks(kept).rankings()
        assert (ranking.name, ranking.retriever["model"]["id"]) == ("CLIP", "clip")


def test_the_same_commands_play_and_rank_nothing_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", *T5, *BLIP2, *PLAY]) == 0
    told = capsys.readouterr()
    assert "this run was complete" in told.err
    assert told.out.startswith("scenes:t5 asks, scenes:blip2 answers\n")
    before = (folder / OUT.with_suffix(".run")).read_bytes()
    assert run(["score", str(OUT), *CLIP]) == 0
    told = capsys.readouterr()
    assert told.out.startswith(f"{OUT}: 2 dialogs, scenes:clip in 12 images\n")
    assert "dialogs ranked" not in told.err
    assert (folder / OUT.with_suffix(".run")).read_bytes() == before


@pytest.mark.parametrize("stem", ["t5-prompt=scenes_BLIP2-model=scenes_blip2_rounds=1", "t5_BLIP2"])
def test_a_run_under_the_name_that_an_older_version_gave_it_goes_on(
    folder: Path, stem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = str(len(stem))  # runs of their own
    older = f"outputs/{stem}_seed{seed}.json"
    assert run(["simulate", *T5, *BLIP2, *PLAY, "--seed", seed, "--out", older]) == 0
    capsys.readouterr()
    assert run(["simulate", *T5, *BLIP2, *PLAY, "--seed", seed]) == 0
    told = capsys.readouterr()
    assert "this run was complete" in told.err
    assert told.out.splitlines()[-1] == older


def test_a_comparison_names_players_retrievers_and_settings_honestly(folder: Path) -> None:
    human = ("--questioner", "human", "--answerer", "human", "--targets", "scenes/targets.json")
    assert run(["simulate", *human, "--limit", "2", "--rounds", "1", "--out", "outputs/people.json"]) == 0
    assert run(["score", "outputs/people.json", *CLIP]) == 0
    assert run(["compare", str(OUT), "outputs/people.json", "--report", "report.html"]) == 0
    found = compare([OUT, Path("outputs/people.json")])
    assert list(found.runs[0].retrieval) == ["scenes:clip"]
    assert f"scenes:blip2 answers in {OUT.stem}, Human in people" in found.verdicts[0].differs
    report = Path("report.html").read_text(encoding="utf-8")
    for shown in ("scenes:t5", "scenes:blip2", "scenes:clip"):
        assert shown in report
    for hidden in ("BLIP2", ">blip2<", ">t5<", ">CLIP<", "CLIP in", ">clip<"):
        assert hidden not in report, hidden


def test_progress_names_the_model_that_is_loaded(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", *T5, *BLIP2, *PLAY, "--out", "outputs/again.json"]) == 0
    told = capfd.readouterr().err
    assert "loading scenes:t5 (fp32)" in told
    assert "loading scenes:blip2 (fp32)" in told
