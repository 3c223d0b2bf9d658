"""GPUs that fail or have too little memory, through the command line with the built-in small models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from players import query

from chatir.cli import run
from chatir.datasets.scenes.folder import write_scenes
from chatir.models.builtin import checkpoints
from chatir.models.local.blip2 import Blip2Model
from chatir.models.local.generation import Generator
from chatir.retriever.encoders.hf_text_image import HFTextImage
from chatir.retriever.ranking import ranked_dialogs

Typed = Callable[..., tuple[int, str]]

COUNT = 6
T5 = ("--questioner", "hf", "-q", f"model={checkpoints()['t5']}", "-q", "prompt=scenes", "-q", "batch_size=2")
BLIP2 = ("--answerer", "blip2", "-a", f"model={checkpoints()['blip2']}", "--images", "scenes")
PLAY = ("--targets", "scenes/targets.json", "--out", "talk.json", "--rounds", "3")
HUMAN = ("--questioner", "human", "--answerer", "human")
CLIP = ("--retriever", "clip", "-r", f"model={checkpoints()['clip']}")
SCENES = ("--corpus", "scenes/corpus.json", "--images", "scenes")
ILLEGAL = "CUDA error: an illegal memory access was encountered"


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Type a command in a folder with scenes; gives its exit code and what it says to the user."""
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHATIR_DATA", str(tmp_path / "data"))
    write_scenes(Path("scenes"), COUNT, seed=5)

    def type_in(*words: str) -> tuple[int, str]:
        code = run(words)
        return code, capsys.readouterr().err

    return type_in


def fail_from(call: int, patched: pytest.MonkeyPatch, room: object, name: str, error: Exception) -> list[int]:
    """Let a function raise an error from a call on; gives the numbers of the calls."""
    works, calls = getattr(room, name), list[int]()

    def fails(*given: Any, **named: Any) -> Any:
        calls.append(len(calls) + 1)
        if len(calls) >= call:
            raise error
        return works(*given, **named)

    patched.setattr(room, name, fails)
    return calls


def replies() -> list[tuple[Any, ...]]:
    return query(Path("talk.run"), "SELECT position, round, role, text FROM replies ORDER BY 1, 2, 3")


def test_a_questioner_whose_gpu_fails_stops_the_run_and_no_dialog_is_tried_alone(
    typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        calls = fail_from(4, patched, Generator, "generate", torch.AcceleratorError(f"{ILLEGAL}\nmore"))
        code, err = typed("simulate", *T5, *BLIP2, *PLAY)
    assert code == 3
    assert f"the GPU failed ({ILLEGAL}): 0 of {COUNT} dialogs are done, all replies that came are saved in " in err
    assert err.endswith("; the same command goes on\n")
    assert "Traceback" not in err
    assert calls == [1, 2, 3, 4]
    saved = replies()
    assert saved
    assert query(Path("talk.run"), "SELECT count(*) FROM replies WHERE kind IS NOT NULL") == [(0,)]
    code, err = typed("simulate", *T5, *BLIP2, *PLAY)
    assert code == 0, err
    assert len(replies()) == 2 * 3 * COUNT
    assert set(saved) < set(replies())


def test_an_answerer_without_memory_for_a_single_answer_stops_the_run_with_the_questions_saved(
    typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        fail_from(1, patched, Blip2Model, "_completed", torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB."))
        code, err = typed("simulate", *T5, *BLIP2, *PLAY)
    assert code == 3
    assert "blip2: out of memory even with one at once (CUDA out of memory. Tried 2 GiB.); end other programs" in err
    assert "the same command goes on" in err
    saved = replies()
    assert [role for _, _, role, _ in saved] == ["question"] * COUNT
    code, err = typed("simulate", *T5, *BLIP2, *PLAY)
    assert code == 0, err
    assert len(replies()) == 2 * 3 * COUNT
    assert set(saved) < set(replies())


@pytest.mark.parametrize(
    ("room", "name", "call"), [(HFTextImage, "_text_features", 3), (ranked_dialogs, "target_ranks", 2)]
)
def test_a_retriever_whose_gpu_fails_stops_a_run_and_a_score_that_go_on(
    typed: Typed, monkeypatch: pytest.MonkeyPatch, room: object, name: str, call: int
) -> None:
    words = ("simulate", *HUMAN, *PLAY, *CLIP, *SCENES, "--stop-on-hit", "1")
    assert typed("index", *CLIP, *SCENES)[0] == 0
    error = torch.AcceleratorError(ILLEGAL)
    with monkeypatch.context() as patched:
        calls = fail_from(call, patched, room, name, error)
        code, err = typed(*words)
    assert (code, len(calls)) == (3, call)
    assert f"the GPU failed ({ILLEGAL}): " in err
    assert err.endswith("; the same command goes on\n")
    saved = replies()
    assert saved
    code, err = typed(*words)
    assert code == 0, err
    assert set(saved) <= set(replies())

    monkeypatch.setattr(ranked_dialogs, "TOP", 1)  # so that some target is beyond the best
    score = ("score", "scenes/targets.json", *CLIP, *SCENES)
    with monkeypatch.context() as patched:
        fail_from(1, patched, room, name, error)
        code, err = typed(*score)
    assert code == 3
    assert err.splitlines()[-1].endswith(f": the GPU failed ({ILLEGAL}); the same command goes on")
    assert typed(*score)[0] == 0
