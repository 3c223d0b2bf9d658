"""Weights in a real cache of the hub, made by hand, and the room that they take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import constants

from chatir.commands.doctoring.weights import SIZES, cache_findings, cached, download

MODEL = "someone/some-model"
COMMIT = "0" * 40


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a model's files in an otherwise empty cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--someone--some-model"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "snapshots" / COMMIT).mkdir(parents=True)
    return repository / "snapshots" / COMMIT


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_one_file_of_weights_is_the_whole(snapshot: Path, name: str) -> None:
    assert cached(MODEL) == "absent"
    (snapshot / "config.json").write_text("{}")
    assert cached(MODEL) == "partly"
    (snapshot / name).touch()
    assert cached(MODEL) == "whole"


def test_parts_are_the_whole_when_all_are_there(snapshot: Path) -> None:
    parts = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = {"weight_map": {"a": parts[0], "b": parts[1]}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    (snapshot / parts[0]).touch()
    assert cached(MODEL) == "partly"
    (snapshot / parts[1]).touch()
    assert cached(MODEL) == "whole"


@pytest.mark.parametrize("index", ["{", "[]", "{}", '{"weight_map": {}}', '{"weight_map": 3}'])
def test_an_index_that_cannot_be_read_is_not_the_whole(snapshot: Path, index: str) -> None:
    (snapshot / "model.safetensors.index.json").write_text(index)
    assert cached(MODEL) == "partly"


def test_a_name_that_the_hub_could_not_have_is_absent() -> None:
    assert cached("no such/name/at all") == "absent"


def test_the_cache_is_told_with_each_model_in_it_or_the_line_that_brings_it(snapshot: Path) -> None:
    (snapshot / "model.safetensors").touch()
    folder, there, known, unknown = cache_findings([MODEL, "google/flan-t5-xl", "someone/other"], [], offline=False)
    assert str(snapshot.parents[3]) in folder.detail
    assert (there.state, there.mends) == ("ok", ())
    assert known.detail == "not in the cache: a download of 5.7 to 11 GB or more"
    assert known.mends[0][0].startswith("hf download google/flan-t5-xl ")
    assert unknown.detail == "not in the cache"


def test_a_cache_that_can_bring_nothing_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "hub"))
    (folder,) = cache_findings([], [], offline=True)
    assert folder.mends == (("unset HF_HUB_OFFLINE",),)
    (tmp_path / "file").touch()
    (folder,) = cache_findings([], [], offline=False)
    assert folder.state == "needs"
    assert f"{tmp_path / 'file'} is no folder" in folder.detail


def test_sizes_are_those_of_the_documented_tables() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "answerers.md").read_text()
    for model, size in SIZES.items():
        if "blip2" in model:
            billions = f"{size.parameters / 1e9:.1f} billion"
            row = next(line for line in page.splitlines() if line.startswith(f"| `{model}`"))
            cells = [cell.strip() for cell in row.split("|")]
            assert cells[2] == billions
            assert cells[3:6] == [f"{size.weights(each) / 1e9:.1f} GB" for each in ("bf16", "8bit", "4bit")]
    assert download("someone/other") == "a download of unknown size"
