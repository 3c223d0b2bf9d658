"""`chatir completion`: what shells offer when a user presses the tab key."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from chatir.cli import run
from chatir.models.builtin import checkpoints
from chatir.prompts import prompt_names

ENTRY_POINT = Path(sys.executable).with_name("chatir")
PLUGIN = """
import os
import sys
from pathlib import Path
from typing import Literal
from pydantic import BaseModel
print("plain,loading")
os.write(1, b"plain,below\\n")
print("please wait", file=sys.stderr)
class Options(BaseModel):
    mood: Literal["calm", "eager"] | None = None
    loud: bool = False
    notes: Path = Path("x")
class Moody:
    def __init__(self, options: Options):
        pass
"""

pytestmark = pytest.mark.skipif(not ENTRY_POINT.exists(), reason="the chatir command is not installed beside Python")
in_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """An environment that finds `chatir`, the questioner `moody`, and `broken`, which cannot be imported."""
    info = tmp_path / "site" / "moody-1.dist-info"
    info.mkdir(parents=True)
    (info.parent / "moody.py").write_text(PLUGIN)
    (info.parent / "broken.py").write_text("raise SystemExit('no license')")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: moody\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[chatir.questioners]\nmoody = moody:Moody\nbroken = broken:Broken\n")
    path = os.pathsep.join(filter(None, [str(info.parent), os.environ.get("PYTHONPATH")]))
    found = {"PATH": f"{ENTRY_POINT.parent}:{os.environ['PATH']}", "PYTHONPATH": path}
    return {**{name: value for name, value in os.environ.items() if not name.startswith("CHATIR")}, **found}


def offered(shell: dict[str, str], *words: str) -> list[str]:
    """What bash offers for the last word; words as bash makes them: `few` of `prompt=few` is one, as is the `=`."""
    script = """
source <(chatir completion bash)
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
compopt() { IFS=' ' COMPREPLY+=("compopt $1 $2"); }  # real only while a key is pressed
_chatir_completion chatir
(( ${#COMPREPLY[@]} )) && printf '%s\\n' "${COMPREPLY[@]}" || true
"""
    done = subprocess.run(
        ["bash", "-c", script, "bash", "chatir", *words], env=shell, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@in_bash
def test_commands_options_and_choices_are_offered(shell: dict[str, str]) -> None:
    assert offered(shell, "sim") == ["simulate"]
    assert offered(shell, "simulate", "--questi") == ["--questioner"]
    assert offered(shell, "list", "q") == ["questioners"]


@in_bash
@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["simulate", "--questioner", "hum"], "human"),
        (["simulate", "--answerer", "nearest"], "nearest-human"),
        (["simulate", "--retriever", "hf"], "hf-text-image"),
        (["score", "x.json", "--retriever", "sig"], "siglip"),
        (["index", "--retriever", "=", "sig"], "siglip"),
    ],
)
def test_names_of_players_and_retrievers_are_offered(shell: dict[str, str], words: list[str], name: str) -> None:
    assert offered(shell, *words) == [name]


@in_bash
def test_plugins_of_others_are_offered_as_chatir_s_own(shell: dict[str, str]) -> None:
    assert offered(shell, "simulate", "--questioner", "mo") == ["moody"]
    assert offered(shell, "simulate", "--questioner", "moody", "-q", "") == ["mood=", "loud=", "notes="]


@in_bash
def test_options_are_those_of_the_player_typed_before_and_each_is_offered_once(shell: dict[str, str]) -> None:
    hf = ("simulate", "--answerer", "blip2", "--questioner", "hf")
    assert {"prompt=", "model=", "decode="} <= set(offered(shell, *hf, "-q", ""))
    assert offered(shell, *hf, "-q", "pr") == ["prompt=", "precision="]
    assert "prompt=" not in offered(shell, *hf, "-q", "prompt", "=", "scenes", "-q", "")
    assert "kept_images=" in offered(shell, *hf, "-a", "")
    assert "separator=" in offered(shell, "score", "--retriever", "clip", "-r", "")
    assert offered(shell, "simulate", "-q", "") == []


@in_bash
def test_a_player_that_leads_another_takes_its_options_too(shell: dict[str, str]) -> None:
    led = ("simulate", "--questioner", "unanswered", "-q")
    assert "hf" in offered(shell, *led, "backend", "=")
    assert offered(shell, *led, "base") == ["base_url=", "base_url=none"]
    assert offered(shell, *led, "backend", "=", "hf", "-q", "base") == []
    assert offered(shell, *led, "backend", "=", "hf", "-q", "bea") == ["beams=", "beams=8"]


@in_bash
def test_values_are_offered_where_they_are_known(shell: dict[str, str]) -> None:
    moody = ("simulate", "--questioner", "moody", "-q")
    assert offered(shell, *moody, "mood", "=") == ["calm", "eager", "none"]
    assert offered(shell, *moody, "loud", "=", "t") == ["true"]
    assert offered(shell, *moody, "mood", "=", "ang") == []
    assert offered(shell, *moody, "mood", "=", "") == [], "a word of its own, after a space"
    hf = ("simulate", "--questioner", "hf", "-q")
    assert offered(shell, *hf, "prompt", "=") == prompt_names()
    assert offered(shell, *hf, "decode", "=", "first") == ["first-unasked"]


@in_bash
def test_a_key_that_is_plain_comes_with_its_values_so_that_no_space_is_put_behind_it(shell: dict[str, str]) -> None:
    assert offered(shell, "simulate", "--questioner", "moody", "-q", "lo") == ["loud=true", "loud=false"]


@in_bash
@pytest.mark.parametrize(
    ("player", "flag", "name"),
    [
        (["simulate", "--questioner", "hf"], "-q", "t5"),
        (["simulate", "--answerer", "blip2"], "-a", "blip2"),
        (["score", "--retriever", "clip"], "-r", "clip"),
    ],
)
def test_the_built_in_model_of_a_player_is_offered_and_is_there(
    shell: dict[str, str], player: list[str], flag: str, name: str
) -> None:
    assert f"scenes:{name}" in offered(shell, *player, flag, "model", "=")
    assert offered(shell, *player, flag, "model", "=", "scenes", ":") == [name]
    assert offered(shell, *player, flag, "model", "=", "scenes", ":", name[0]) == [name]
    assert name in checkpoints()


@in_bash
def test_files_are_offered_where_an_option_takes_one(shell: dict[str, str]) -> None:
    files = ["compopt -o default"]
    assert offered(shell, "lint", "outputs/") == files
    assert offered(shell, "simulate", "--images", "sc") == files
    assert offered(shell, "score", "--corpus", "") == files
    assert offered(shell, "simulate", "--questioner", "hf", "-q", "model", "=", "./mod") == files
    assert offered(shell, "simulate", "--questioner", "hf", "-q", "prompt", "=", "my.to") == files
    assert offered(shell, "simulate", "--questioner", "moody", "-q", "notes", "=", "no") == files


@in_bash
def test_runs_in_outputs_are_offered_by_name_and_others_as_files(
    shell: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert offered(shell, "show", "") == ["compopt -o default"], "there is no folder outputs"
    Path("outputs").mkdir()
    for name in ("a.json", "a.run", "ab-beams=3.run", "b.json", ".hidden.json", "page.html"):
        Path("outputs", name).touch()
    assert offered(shell, "show", "") == ["a", "ab-beams=3", "b"]
    assert offered(shell, "show", "ab-beams", "=") == ["3"]
    assert offered(shell, "show", "outputs/") == ["compopt -o default"]
    assert offered(shell, "compare", "outputs/") == ["compopt -o default"]
    assert offered(shell, "runs", "outp") == ["compopt -o dirnames"]


@in_bash
@pytest.mark.parametrize(
    "words",
    [
        ["simulate", "--questioner", "hff", "-q", ""],
        ["simulate", "--questioner", "broken", "-q", ""],
        ["simulate", "--questioner", "human", "-q", ""],
        ["simulate", "--questioner", "hf", "-q", "no_such", "=", ""],
        ["no-such-command", "--lim"],
        ["simulate", "--limit", "many", "--cost-limit", ""],
        ["simulate", "'unclosed", ""],
    ],
)
def test_what_is_wrong_is_met_with_silence(shell: dict[str, str], words: list[str]) -> None:
    assert offered(shell, *words) == []


@pytest.mark.parametrize("kind", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("lacking", ["COMP_WORDS", "COMP_CWORD"])
def test_a_shell_that_tells_nothing_is_offered_nothing(shell: dict[str, str], kind: str, lacking: str) -> None:
    told = {"COMP_WORDS": "chatir sim", "COMP_CWORD": "1", "_CHATIR_COMPLETE": f"{kind}_complete"}
    del told[lacking]
    done = subprocess.run([ENTRY_POINT], env=shell | told, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")


@pytest.mark.parametrize(
    ("kind", "at", "told"),
    [
        ("zsh", "5", ["plain", "prompt=few-shot", "_"]),
        ("fish", "prompt=few", ["plain,prompt=few-shot"]),
    ],
)
def test_shells_that_keep_words_whole_are_offered_whole_words(
    shell: dict[str, str], kind: str, at: str, told: list[str]
) -> None:
    words = {"COMP_WORDS": "chatir simulate --questioner hf -q prompt=few", "COMP_CWORD": at}
    environment = shell | words | {"_CHATIR_COMPLETE": f"{kind}_complete"}
    done = subprocess.run([ENTRY_POINT], env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines() == told


@pytest.mark.parametrize("kind", ["bash", "zsh", "fish"])
def test_a_script_is_one_that_its_shell_reads(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", kind]) == 0
    script = capsys.readouterr().out
    assert f"_CHATIR_COMPLETE={kind}_complete" in script
    if shutil.which(kind):
        (tmp_path / "script").write_text(script)
        subprocess.run([kind, "-n", tmp_path / "script"], check=True)


def test_names_are_told_without_heavy_imports() -> None:
    code = """
import sys
import click
from chatir.cli import commands
from chatir.commands.completing import names, options_of
def told(offer, **typed):
    context = click.Context(commands)
    context.params = typed
    return [item.value for item in offer(context, click.Option(["-q", "given"]), "")]
def imported():
    return set(sys.modules)
assert "hf" in told(names("questioners")), "names"
assert not {"torch", "transformers", "pydantic", "numpy"} & imported(), "names import nothing"
assert "prompt=" in told(options_of("questioners", "questioner"), questioner="hf")
assert "separator=" in told(options_of("retrievers", "retriever"), retriever="clip")
assert "min_tokens=" in told(options_of("answerers", "answerer"), answerer="blip2")
assert not {"torch", "transformers"} & imported(), "options import no models"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@in_bash
def test_a_key_that_is_pressed_completes_the_line(shell: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 500))
    environment = shell | {"TERM": "dumb", "PS1": "$ ", "INPUTRC": os.devnull, "HISTFILE": ""}
    command = ["bash", "--norc", "--noprofile", "-i"]
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    bash = subprocess.Popen(command, env=environment, cwd=tmp_path, start_new_session=True, **streams)
    os.close(theirs)
    os.set_blocking(ours, False)
    shown = b""

    def press(keys: str, until: str) -> None:
        nonlocal shown
        os.write(ours, keys.encode())
        deadline, shown = time.monotonic() + 30, b""
        while until.encode() not in shown:
            assert time.monotonic() < deadline, shown
            time.sleep(0.02)
            try:
                shown += os.read(ours, 4096).replace(b"\a", b"")
            except BlockingIOError:
                continue

    try:
        press('eval "$(chatir completion bash)"; echo rea""dy\n', "ready\r\n")
        press("chatir simu\t", "chatir simulate ")
        press("--questioner hf -q pro\t", "-q prompt=")
        press("few\t", "few-shot ")
        press("-q model=sc\t", "model=scenes:t5 ")
        press("-q prompt=./mod\t", "prompt=./models/")
        press(" --answerer=nea\t", "--answerer=nearest-human ")
    finally:
        bash.kill()
        bash.wait()
        os.close(ours)
