"""`blip2` as a user types it, on the built-in scenes: right answers, missing images, everything mistyped."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from chatir import Dialog, Round
from chatir.answerers.blip2 import Blip2, TransformersOptions
from chatir.cli import run
from chatir.datasets.scenes.folder import write_scenes
from chatir.datasets.scenes.people import heard
from chatir.errors import InputError
from chatir.models.builtin import checkpoints
from chatir.models.completion import Completion
from chatir.models.local.vision_model import Look
from chatir.plugins import Context, build
from chatir.simulate import read_dialogs

MODEL = str(checkpoints()["blip2"])
Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, 12, seed=3)
    return folder


@pytest.fixture
def scenes(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of scenes in the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHATIR_DATA", raising=False)
    shutil.copytree(drawn, tmp_path / "scenes")
    return Path("scenes")


@pytest.fixture
def typed(scenes: Path, capsys: pytest.CaptureFixture[str]) -> Typed:
    def type_in(*options: str, images: str = "scenes") -> tuple[int, str, str]:
        players = ("--questioner", "human", "--answerer", "blip2", "-a", f"model={MODEL}")
        files = ("--targets", "scenes/targets.json", "--images", images, "--out", "outputs/Human_BLIP2.json")
        code = run(["simulate", *players, *files, *options])
        return code, *capsys.readouterr()

    return type_in


def right(file: str) -> float:
    """Share of answers that say what people said."""
    wanted = {dialog.image: dialog.rounds for dialog in read_dialogs(Path("scenes/targets.json"))}
    pairs = [
        (turn.answer, heard(truth.answer))
        for dialog in read_dialogs(Path(file))
        for turn, truth in zip(dialog.rounds, wanted[dialog.image], strict=True)
    ]
    return sum(answer == truth for answer, truth in pairs) / len(pairs)


@pytest.mark.parametrize("precision", ["fp32", "8bit"])
def test_peoples_questions_are_answered_as_right_as_the_model_card_says(typed: Typed, precision: str) -> None:
    code, out, err = typed("-a", f"precision={precision}")
    assert code == 0, err
    assert "12 with 120 rounds" in out
    assert right("outputs/Human_BLIP2.json") >= 0.99


@pytest.mark.slow
def test_whatever_the_batches_and_the_memory_for_images_the_file_is_the_same(typed: Typed) -> None:
    files = []
    for name, batch, kept in (("a", 16, 1024), ("b", 3, 1), ("c", 1, 1)):
        assert typed("-a", f"batch_size={batch}", "-a", f"kept_images={kept}", "--out", f"{name}.json")[0] == 0
        files.append(Path(f"{name}.json").read_bytes())
    assert files[0] == files[1] == files[2]


def test_a_broken_image_fails_its_dialog_and_is_named(typed: Typed, scenes: Path) -> None:
    broken, linked = scenes / "images/3-000004.png", scenes / "images/3-000005.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:200])
    outside = linked.rename(Path("outside.png"))
    linked.symlink_to(outside.absolute())
    code, _, err = typed()
    assert code == 1
    assert "images/3-000004.png: answer of round 1: broken_image: images/3-000004.png: is damaged" in err
    assert "images/3-000005.png: answer of round 1: refused_image: images/3-000005.png: a link leads out of" in err
    assert "2 dialogs failed" in err
    assert len(read_dialogs(Path("outputs/Human_BLIP2.json"))) == 10
    broken.write_bytes(whole)
    linked.unlink()
    outside.rename(linked)
    code, _, err = typed()
    assert code == 0, err
    assert len(read_dialogs(Path("outputs/Human_BLIP2.json"))) == 12


def test_an_image_that_is_missing_is_told_before_anybody_is_asked(typed: Typed, scenes: Path) -> None:
    (scenes / "images/3-000004.png").unlink()
    code, _, err = typed()
    assert code == 1
    told = (
        "the images of 1 of 12 targets are missing from scenes or are not regular files "
        "(for example images/3-000004.png); their dialogs will fail"
    )
    assert err.index(told) < err.index("loading")
    assert "missing_image" in err


def test_a_folder_without_any_of_the_images_stops_the_run_before_it_begins(typed: Typed) -> None:
    code, _, err = typed(images="scenes/images")
    assert code == 2
    assert err.count("\n") == 1
    assert (
        "scenes/images: contains none of the targets' images (for example images/3-000000.png); name --images scenes"
        in err
    )
    assert not Path("outputs").exists()


def test_without_a_folder_of_images_one_line_tells_how_to_get_them(typed: Typed, tmp_path: Path) -> None:
    code = run(
        ["simulate", "--questioner", "human", "--answerer", "blip2", "-a", f"model={MODEL}",
         "--targets", "scenes/targets.json"]
    )  # fmt: skip
    assert code == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["-a", "precision=8"], "option precision='8': input should be 'auto', 'fp32'"),
        (["-a", "beams=0"], "option beams='0': input should be greater than or equal to 1"),
        (["-a", "length_penalty=nan"], "option length_penalty='nan'"),
        (["-a", "kept_image=3"], "has no option 'kept_image'; did you mean 'kept_images'?"),
        (["-a", "backend=jax"], "option backend='jax': input should be 'transformers' or 'lavis'"),
        (["-a", "min_tokens=11"], "min_tokens=11 is more than max_tokens=10"),
        (["-a", "prompt=few-shot"], "prompt 'few-shot': is not for answers: it never shows the {{ question }}"),
        (["-a", "prompt=unanswered"], "prompt 'unanswered': cannot be rendered: 'count' is undefined"),
        (["-a", "prompt=nothing"], "there is no prompt 'nothing'"),
    ],
)
def test_what_is_mistyped_is_one_line(typed: Typed, options: Sequence[str], told: str) -> None:
    code, out, err = typed(*options)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1


def test_a_model_that_is_none_is_one_line(scenes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for model, told in (("/nothing/here", "there is no such folder"), (str(checkpoints()["t5"]), "no BLIP-2")):
        arguments = ["--answerer", "blip2", "-a", f"model={model}", "--targets", "scenes/targets.json"]
        assert run(["simulate", "--questioner", "human", *arguments, "--images", "scenes"]) == 2
        err = capsys.readouterr().err
        assert told in err
        assert err.count("\n") == 1


def test_the_run_names_model_precision_decoding_and_prompt(typed: Typed) -> None:
    assert typed("--limit", "1")[0] == 0
    code, _, err = typed("--limit", "1", "-a", "beams=3", "-a", "prompt=answer", "-a", "precision=bf16")
    assert code == 2
    for difference in ("beams", "prompt", "precision"):
        assert difference in err
    code, _, err = typed("--limit", "2", "-a", "batch_size=2", "-a", "kept_images=7")  # free
    assert code == 0, err


class Listening(Blip2):
    """Keeps what its model is shown."""

    def __init__(self, **options: object) -> None:
        super().__init__(TransformersOptions.model_validate({"model": MODEL, **options}), Context())
        self.looks: list[Look] = []
        self.model.complete = self.listen  # type: ignore[method-assign]

    def listen(self, looks: Sequence[Look]) -> list[Completion]:
        self.looks += looks
        return [Completion(" Yes?\nno") for _ in looks]


def test_the_prompt_is_laviss_and_shows_earlier_rounds_on_request() -> None:
    rounds = (Round("is it red?", "no"), Round("how  many\nare there?", "two"), Round("is it big?", "yes"))
    dialog = Dialog("a.png", "a caption", rounds)
    for number, shown in (
        (0, ""),
        (1, "Question: is it big? Answer: yes. "),
        (2, "Question: how many are there? Answer: two. Question: is it big? Answer: yes. "),
        (9, "Question: is it red? Answer: no. Question: how many are there? Answer: two. "
            "Question: is it big? Answer: yes. "),
    ):  # fmt: skip
        player = Listening(context_rounds=number)
        (reply,) = player.answer([dialog], ["what {color} is {{ it }}?"])
        assert player.looks == [Look("a.png", f"{shown}Question: what {{color}} is {{{{ it }}}}? Short answer:")]
        assert (reply.text, reply.raw) == ("Yes", " Yes?\nno")


def test_a_prompt_file_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('name = "own"\nversion = 1\nsource = "me"\ntemplate = "Q: {{ question }} A:"\n')
    player = Listening(prompt=str(file))
    player.answer([Dialog("a.png", "")], ["is it?"])
    assert player.looks == [Look("a.png", "Q: is it? A:")]
    assert player.config["prompt"]["name"] == "own"


def test_an_answer_that_says_nothing_is_a_failure_and_no_text() -> None:
    player = Listening()
    player.model.complete = lambda looks: [Completion(" ...\n") for _ in looks]  # type: ignore[method-assign]
    (reply,) = player.answer([Dialog("a.png", "")], ["is it?"])
    assert reply.text is None
    assert reply.failure is not None
    assert (reply.failure.kind, reply.raw) == ("no_answer", " ...\n")


def test_backend_lavis_is_blip2_lavis_with_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATIR_DATA", str(tmp_path))
    with pytest.raises(InputError, match="chatir lavis install"):
        build("answerers", "blip2", {"backend": "lavis", "name": "blip2_t5", "beams": "1"})
    with pytest.raises(InputError, match="answerer 'blip2-lavis' has no option 'model'"):
        build("answerers", "blip2", {"backend": "lavis", "model": "x"})


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(scenes: Path, typed: Typed) -> None:
    assert typed("--out", "whole.json")[0] == 0
    command = [sys.executable, "-m", "chatir", "simulate", "--questioner", "human", "--answerer", "blip2"]
    command += ["-a", f"model={MODEL}", "-a", "batch_size=1", "--targets", "scenes/targets.json"]
    command += ["--images", "scenes", "--out", "killed.json"]
    log = Path("killed.run-wal")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "loading scenes:blip2" in process.stderr.readline()
        questions = log.stat().st_size
        while log.stat().st_size < questions + 30_000:  # some answers are in
            assert process.poll() is None
        process.kill()
    assert not Path("killed.json").exists()
    code, _, err = typed("--out", "killed.json")
    assert code == 0, err
    assert json.loads(Path("killed.json").read_text()) == json.loads(Path("whole.json").read_text())
