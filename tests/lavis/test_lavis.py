"""The real LAVIS in its worker, with the small model that was trained on scenes, against plain transformers."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lavis.test_worker_process import gone

from chatir.cli import run
from chatir.datasets.scenes.folder import scene_dialogs
from chatir.datasets.scenes.language import QUESTIONS, understood, wordings
from chatir.models.builtin import checkpoints
from chatir.models.lavis.model import LavisModel, LavisOptions
from chatir.models.lavis.worker_process import SCRIPT, WorkerError, lavis_worker
from chatir.models.local.blip2 import Blip2Model, Blip2Options
from chatir.models.local.vision_model import Look
from chatir.plugins import Context
from chatir.simulate import read_dialogs

IN_LAVIS = Path(__file__).with_name("in_lavis.py")
PER_SCENE = 12


@dataclass(frozen=True)
class Asked:
    """Looks at scenes that no training saw, and their true answers."""

    looks: list[Look]
    true: list[str]


@pytest.fixture(scope="session")
def asked() -> Asked:
    """Some questions about each of the scenes, in all wordings."""
    rng, looks, true = random.Random(7), [], []
    for scene, dialog in scene_dialogs(32, 5):
        for question in rng.sample(QUESTIONS, PER_SCENE):
            looks.append(Look(dialog.image, f"Question: {rng.choice(wordings(question))} Short answer:"))
            true.append(question.answer(scene))
    return Asked(looks, true)


Made = Callable[..., LavisModel]


@pytest.fixture(scope="session")
def made(lavis: Path, plugin: Path, scenes: Path) -> Iterator[Made]:
    """Makes models of the small LAVIS; each is closed in the end."""
    models: list[LavisModel] = []

    def make(progress: Callable[[str], None] = print, **options: Any) -> LavisModel:
        small = {
            "name": "small_blip2_t5",
            "model_type": "scenes",
            "plugin": plugin,
            "python": lavis,
            "precision": "fp32",
        }
        models.append(LavisModel(LavisOptions(**small | options), Context(scenes, progress=progress)))
        return models[-1]

    yield make
    for model in models:
        model.close()


@pytest.fixture(scope="session")
def said() -> list[str]:
    """What the player told the user."""
    return []


@pytest.fixture(scope="session")
def player(made: Made, said: list[str]) -> LavisModel:
    """The small LAVIS in fp32, by five beams."""
    return made(said.append)


@pytest.fixture(scope="session")
def answers(player: LavisModel, asked: Asked) -> list[str | None]:
    """What it answers."""
    return texts(player, asked.looks)


def texts(model: LavisModel | Blip2Model, looks: list[Look]) -> list[str | None]:
    return [completion.text for completion in model.complete(looks)]


def through_transformers(scenes: Path, **options: Any) -> Blip2Model:
    return Blip2Model(Blip2Options(model=str(checkpoints()["blip2"]), precision="fp32", **options), Context(scenes))


def test_it_answers_as_well_as_the_model_card_says(answers: list[str | None], asked: Asked) -> None:
    right = sum(answer == true for answer, true in zip(answers, asked.true, strict=True))
    assert right / len(asked.true) >= 0.99
    assert len(set(asked.true)) > 30


def test_plain_transformers_gives_the_same_answers(answers: list[str | None], asked: Asked) -> None:
    from tools.scene_models.players import SmallBlip2

    each = [*zip(range(0, len(asked.looks), PER_SCENE), scene_dialogs(32, 5), strict=True)]
    questions = [
        [re.sub(r"^Question: | Short answer:$", "", look.text) for look in asked.looks[start : start + PER_SCENE]]
        for start, _ in each
    ]
    plain = SmallBlip2(checkpoints()["blip2"])([scene for _, (scene, _) in each], questions)
    assert [answer for some in plain for answer in some] == answers


def test_the_player_blip2_gives_the_same_answers_and_counts_the_same_tokens(
    player: LavisModel, scenes: Path, asked: Asked
) -> None:
    assert player.complete(asked.looks) == through_transformers(scenes).complete(asked.looks)


def test_so_it_is_where_greedy(made: Made, scenes: Path, asked: Asked) -> None:
    with closing(made(beams=1)) as greedy:
        some = [*asked.looks[::2], *(Look(look.image, "where?") for look in asked.looks[::PER_SCENE])]
        assert texts(greedy, some) == texts(through_transformers(scenes, beams=1), some)


def test_a_question_is_no_template(player: LavisModel, scenes: Path) -> None:
    image = "images/5-000000.png"
    odd = [
        Look(image, f"Question: {text} Short answer:")
        for text in ("{} {0} {x} star?", "{{how}} many?", '"}', "é\u2028?")
    ]
    assert texts(player, odd) == texts(through_transformers(scenes), odd)


@pytest.mark.slow
def test_its_two_halves_are_predict_answers_and_8bit_spares_wo_and_lm_head_and_answers_right(
    lavis: Path, plugin: Path, scenes: Path, asked: Asked, tmp_path: Path
) -> None:
    (tmp_path / "looks.json").write_text(
        json.dumps([[str(scenes / look.image), look.text] for look in asked.looks[: 8 * PER_SCENE]])
    )
    (plugin.parent / "empty.py").touch()
    done = subprocess.run(
        [lavis, IN_LAVIS, SCRIPT, plugin, tmp_path / "looks.json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["same"] == [8 * PER_SCENE + 8 * 4] * 4
    assert all(one != other for n, one in enumerate(told["own"]) for other in told["own"][:n])
    assert told["cut"] > 0
    assert all(tokens_in > 12 and tokens_out <= 2 for tokens_in, tokens_out in told["tokens"])
    assert told["missing"] == told["dropped"]
    assert told["linear"] == ["lm_head", "wo"]
    assert len(told["8bit"]) == 2 * 6 + 2 * 10
    assert set(told["8bit"].values()) == {"torch.int8"}
    right = sum(answer == true for answer, true in zip(told["8bit answers"], asked.true, strict=False))
    assert right / len(told["8bit answers"]) >= 0.97


def test_what_a_library_prints_never_comes_between_the_replies(
    made: Made, asked: Asked, answers: list[str | None], tmp_path: Path
) -> None:
    some, log = asked.looks[: 4 * PER_SCENE], tmp_path / "worker.log"
    with closing(made(log=log)) as player:
        assert texts(player, some) == answers[: len(some)]
    said = log.read_text()
    assert "a library prints to stdout as it is loaded" in said
    assert "a model prints to stdout as it looks" in said
    assert "and so does what is written in C" in said


@pytest.mark.slow
def test_a_worker_that_is_killed_in_the_middle_is_started_again(
    player: LavisModel, said: list[str], asked: Asked, answers: list[str | None]
) -> None:
    pid = player._worker.pid
    assert pid
    killer = threading.Timer(0.3, os.kill, (pid, signal.SIGKILL))
    killer.start()
    assert texts(player, asked.looks) == answers
    killer.join()
    assert player._worker.pid != pid
    assert "the LAVIS worker was killed by SIGKILL, perhaps for want of memory; it is started again" in said


def test_no_worker_outlives_its_parent(lavis: Path, plugin: Path, scenes: Path, asked: Asked, tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from chatir.models.lavis.model import LavisModel, LavisOptions
from chatir.models.local.vision_model import Look
from chatir.plugins import Context

options = LavisOptions(name="small_blip2_t5", model_type="scenes", plugin={str(plugin)!r}, python={str(lavis)!r},
                       batch_size=512, log={str(tmp_path / "log")!r})
model = LavisModel(options, Context(Path({str(scenes)!r})))
model.complete([Look({asked.looks[0].image!r}, "one")])
print(model._worker.pid, flush=True)
model.complete([Look({asked.looks[0].image!r}, "a long question " * 200)] * 512)
print("done", flush=True)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    with parent.stdout:
        pid = int(parent.stdout.readline())
        time.sleep(0.5)  # it is at work by now
        parent.kill()
        parent.wait()
        assert gone(pid)
        assert parent.stdout.read() == ""


PLAYED = ("simulate", "--questioner", "human", "--answerer", "blip2-lavis")


@pytest.mark.slow
def test_it_plays_by_the_command_line_and_goes_on(
    lavis: Path, plugin: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    options = [f"python={lavis}", "name=small_blip2_t5", "model_type=scenes", f"plugin={plugin}", "precision=8bit"]
    command = [*PLAYED, *(part for option in options for part in ("-a", option))]
    command += ["--targets", str(scenes / "targets.json"), "--images", str(scenes), "--rounds", "5"]
    command += ["--out", "outputs/Human_BLIP2_LAVIS.json"]
    assert run([*command, "--limit", "4"]) == 0
    assert run([*command, "--limit", "6"]) == 0
    assert "6 with 30 rounds" in capsys.readouterr().out
    by_image = {dialog.image: scene for scene, dialog in scene_dialogs(32, 5)}
    right = []
    for dialog in read_dialogs(Path("outputs/Human_BLIP2_LAVIS.json")):
        for turn in dialog.rounds:
            question = understood(turn.question)
            assert question
            right.append(turn.answer == question.answer(by_image[dialog.image]))
    assert len(right) == 30
    assert sum(right) >= 29
    assert run([*command, "--limit", "6", "-a", "beams=1"]) == 2
    assert "beams" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked_for", "problem"),
    [
        ({"name": "blip3"}, r"^LAVIS has no model 'blip3'; of Blip2T5 it has: blip2_t5, .*small_blip2_t5"),
        ({"model_type": "xxxl"}, r"^LAVIS's small_blip2_t5 has no model_type 'xxxl'; it has: scenes$"),
        ({"name": "blip2_opt", "model_type": "pretrain_opt2.7b"}, r"^LAVIS's blip2_opt is not a Blip2T5"),
        ({"name": "albef_vqa", "model_type": "vqav2"}, r"^LAVIS's albef_vqa is not a Blip2T5"),
        ({"name": "small_whole"}, r"^LAVIS's small_whole is not a Blip2T5"),
    ],
)
def test_what_lavis_does_not_have_is_one_line(
    loader: Callable[..., None], asked_for: dict[str, str], problem: str
) -> None:
    with pytest.raises(WorkerError, match=problem) as told:
        loader(**asked_for)
    assert told.value.kind == "load"
    assert "\n" not in str(told.value)


@pytest.fixture(scope="module")
def loader(lavis: Path, plugin: Path) -> Iterator[Callable[..., None]]:
    """Loads models, one after the other, in one worker."""
    with closing(lavis_worker(lavis)) as worker:
        worker.ask("load", name="small_blip2_t5", model_type="scenes", precision="fp32", plugin=str(plugin))

        def load(**options: str) -> None:
            worker.ask(
                "load", **{"name": "small_blip2_t5", "model_type": "scenes", "precision": "fp32"} | options, plugin=None
            )

        yield load


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["python={lavis}", "plugin={broken}"], "plugin {broken}: NameError: name 'registry' is not defined"),
        (["python={lavis}", "plugin={leaving}"], "plugin {leaving}: SystemExit: 3"),
        (["python={lacking}"], "the package timm cannot be imported by Python 3"),
        (["python={chatir}"], "the package salesforce-lavis is not installed for Python 3"),
        (["python=/bin/false"], "python=/bin/false: the LAVIS worker ended with exit code 1"),
    ],
)
def test_a_user_reads_one_line(
    lavis: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], options: list[str], problem: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    code = "import runpy, sys; sys.modules['timm'] = None; runpy.run_path(sys.argv[1], run_name='__main__')"
    lacking, broken = tmp_path / "python", tmp_path / "broken.py"
    lacking.write_text(f'#!/bin/sh\nexec {lavis} -c "{code}" "$@"\n')
    lacking.chmod(0o755)
    broken.write_text("registry.register_model('x')\n")
    leaving = tmp_path / "leaving.py"
    leaving.write_text("exit(3)\n")
    names = {"leaving": leaving, "lavis": lavis, "lacking": lacking, "broken": broken, "chatir": sys.executable}
    command = [*PLAYED, "--targets", str(scenes / "targets.json"), "--images", str(scenes), "--limit", "1"]
    command += [part for option in options for part in ("-a", option.format(**names))]
    assert run(command) == 2
    err = capsys.readouterr().err
    line = [line for line in err.splitlines() if not line.startswith("chatir: loading")]
    assert len(line) == 1, err
    assert line[0].startswith(f"chatir: {problem.format(**names)}")
