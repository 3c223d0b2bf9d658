"""Names of the built-in models, wherever a model is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatir.errors import InputError
from chatir.models.builtin import checkpoints
from chatir.models.local.model_name import built_in_names
from chatir.plugins import build

WHERE = [
    ("questioners", "hf", "t5", "prompt=scenes"),
    ("answerers", "blip2", "blip2", "batch_size=2"),
    ("retrievers", "clip", "clip", "batch_size=2"),
    ("retrievers", "hf-text-image", "clip", "batch_size=2"),
]


@pytest.mark.parametrize(("kind", "name", "model", "more"), WHERE)
def test_a_built_in_name_is_the_folder_it_stands_for(kind: str, name: str, model: str, more: str) -> None:
    key, value = more.split("=")
    named = build(kind, name, {"model": f"scenes:{model}", key: value})  # type: ignore[arg-type]
    folder = build(kind, name, {"model": str(checkpoints()[model]), key: value})  # type: ignore[arg-type]
    assert named.config == folder.config, "a run may be begun with one and go on with the other"


@pytest.mark.parametrize(("kind", "name"), [where[:2] for where in WHERE])
def test_a_built_in_model_that_is_not_there_is_refused_with_those_that_are(kind: str, name: str) -> None:
    with pytest.raises(InputError) as caught:
        build(kind, name, {"model": "scenes:t6"})  # type: ignore[arg-type]
    assert "model='scenes:t6': there is no such built-in model; did you mean 'scenes:t5'?" in str(caught.value)
    assert "there are: scenes:blip2, scenes:clip, scenes:t5" in str(caught.value)


def test_every_built_in_model_has_a_name_and_a_folder_of_that_name_is_still_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert built_in_names() == [f"scenes:{name}" for name in checkpoints()]
    monkeypatch.chdir(tmp_path)
    Path("t5").symlink_to(checkpoints()["t5"])
    assert build("questioners", "hf", {"model": "t5", "prompt": "scenes"}).name == "t5"
