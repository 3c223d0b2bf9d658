"""Players from elsewhere: a distribution of its own, really installed by pip, found by its entry points."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chatir.errors import InputError
from chatir.plugins import build, describe_options, find, parse_options, plugins
from chatir.simulate import read_dialogs

Chatir = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    plugin = Path(__file__).with_name("plugin")
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", folder, plugin], check=True)
    return folder


@pytest.fixture
def chatir(site: Path, tmp_path: Path) -> Chatir:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "chatir", *arguments]
        environment = os.environ | {"PYTHONPATH": str(site)}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run


@pytest.fixture
def targets(tmp_path: Path) -> str:
    (tmp_path / "targets.csv").write_text("image,caption\na.jpg,a cat\nb.jpg,a dog\n")
    return "targets.csv"


def test_an_installed_plugin_plays(chatir: Chatir, targets: str, tmp_path: Path) -> None:
    players = ("--questioner", "echo", "-q", "word=ho", "-q", "times=2", "--answerer", "parrot")
    done = chatir("simulate", *players, "--targets", targets, "--rounds", "2")
    assert done.returncode == 0, done.stderr
    assert "echo says ho ho?" in done.stderr
    dialogs = read_dialogs(tmp_path / "outputs" / "Echo-times=2-word=ho_Parrot_rounds=2.json")
    assert [list(map(str, dialog.rounds)) for dialog in dialogs] == [["ho ho? ho ho indeed"] * 2] * 2


def test_a_factory_may_name_its_parameters_in_any_order(chatir: Chatir, targets: str, tmp_path: Path) -> None:
    done = chatir(
        "simulate", "--questioner", "echo-swapped", "-q", "word=hey", "--answerer", "parrot", "--targets", targets
    )
    assert done.returncode == 0, done.stderr
    assert read_dialogs(tmp_path / "outputs" / "Echo-word=hey_Parrot.json")[0].rounds[0].question == "hey?"


def test_its_options_fix_the_run(chatir: Chatir, targets: str) -> None:
    command = ("simulate", "--questioner", "echo", "--answerer", "parrot", "--targets", targets)
    assert chatir(*command, "--out", "x.json").returncode == 0
    refused = chatir(*command, "--out", "x.json", "-q", "loud=true")
    assert refused.returncode == 2
    assert "questioner.config.loud: false there, true now" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["echo", "-q", "wrod=x"],
            "questioner 'echo' has no option 'wrod'; did you mean 'word'? there are: word, times, loud",
        ),
        (["echo", "-q", "times=many"], "questioner 'echo': option times='many': input should be a valid integer"),
        (["echo", "-q", "times=0"], "option times='0': input should be greater than or equal to 1"),
        (["echo", "-q", "times"], "-q times: must be KEY=VALUE"),
        (["echo", "-q", "word=a", "-q", "word=b"], "-q word=b: word is given twice"),
        (["echo-plain", "-q", "word=a"], "questioner 'echo-plain' has no options, but got word"),
        (["ehco"], "there is no questioner 'ehco'; did you mean 'echo'?"),
        (["echo-heavy"], "needs the package 'a_package_that_nobody_has': pip install 'chatir-echo[heavy]'"),
        (["echo-broken"], "'echo-broken' of chatir-echo cannot be loaded: RuntimeError: written in a hurry"),
        (["echo-failing"], "questioner 'echo-failing' cannot be made: ValueError: no weights there"),
        (["echo-leaving"], "questioner 'echo-leaving' cannot be made: SystemExit: 3"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(chatir: Chatir, targets: str, arguments: list[str], told: str) -> None:
    done = chatir("simulate", "--answerer", "parrot", "--targets", targets, "--questioner", *arguments)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert told in done.stderr


def test_the_list_names_every_plugin_its_source_and_options_and_survives_a_broken_one(chatir: Chatir) -> None:
    done = chatir("list")
    assert done.returncode == 0
    for line in (
        "echo  (from chatir-echo)",
        "asks the same question in every round.",
        "options: word=echo (text), times=1 (int), loud=False (bool)",
        "RuntimeError: written in a hurry",
        "pip install 'chatir-echo[heavy]'",
        "nearest-human",
        "few-shot",
    ):
        assert line in done.stdout
    assert "questioners" not in chatir("list", "answerers").stdout


def test_a_name_registered_twice_is_an_error(site: Path, chatir: Chatir, tmp_path: Path) -> None:
    other = tmp_path / "site" / "chatir_other-1.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: chatir-other\nVersion: 1\n")
    (other / "entry_points.txt").write_text("[chatir.questioners]\necho = somewhere.else:Echo\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (site, other.parent)))}
    command = [sys.executable, "-m", "chatir", "simulate", "--questioner", "echo", "--answerer", "parrot"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "two questioners are named 'echo'" in done.stderr
    assert "chatir-echo" in done.stderr
    assert "chatir-other" in done.stderr


def test_the_list_of_plugins_imports_none_of_them() -> None:
    code = (
        "import sys; from chatir.plugins import plugins; plugins('questioners'); plugins('answerers');"
        "assert not {'torch', 'transformers', 'pydantic', 'chatir.questioners'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_players_are_built_in_python_as_the_command_builds_them() -> None:
    assert {"human", "smollm2", "chatgpt", "unanswered", "hf", "pool"} <= {p.name for p in plugins("questioners")}
    answerer = build("answerers", "nearest-human", {"threshold": "0.7"})
    assert answerer.config["threshold"] == 0.7
    with pytest.raises(InputError, match="no answerer 'chatgpt'"):
        find("answerers", "chatgpt")
    assert describe_options(None) == "none"
    assert parse_options(["a=b=c", "d="], "-q") == {"a": "b=c", "d": ""}
