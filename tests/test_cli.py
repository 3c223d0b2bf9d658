"""The commands, as a user types them."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from players import install, said

from chatir import Dialog
from chatir.cli import ALLOCATORS, commands, run
from chatir.simulate import read_dialogs, write_dialogs

CHATIR = [sys.executable, "-m", "chatir"]
HUMANS = ("--questioner", "human", "--answerer", "human")

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHATIR_DATA", str(tmp_path / "data"))

    def type_in(*arguments: str) -> tuple[int, str, str]:
        code = run(arguments)
        return code, *capsys.readouterr()

    return type_in


@pytest.fixture
def targets(tmp_path: Path) -> str:
    path = tmp_path / "targets.json"
    write_dialogs(path, [Dialog(f"{n}.jpg", f"cat {n}", said("is it? no", "is it? yes", "why? so")) for n in range(5)])
    return str(path)


def test_people_s_dialogs_played_again_give_the_released_file_byte_for_byte(typed: Typed, shared: Path) -> None:
    released = shared / "data" / "chatir" / "dialogues" / "VisDial_v1.0_queries_val.json"
    code, out, error = typed("simulate", *HUMANS, "--targets", str(released))
    assert code == 0, error
    written = Path("outputs", "Human_Human.json")
    assert out.splitlines()[-1] == str(written)
    assert json.loads(written.read_text()) == json.loads(released.read_text())
    assert written.read_bytes() == released.read_bytes()


def test_a_summary_is_results_on_stdout_and_nothing_else(typed: Typed, targets: str) -> None:
    code, out, error = typed("simulate", *HUMANS, "--targets", targets, "--rounds", "3")
    assert (code, error) == (0, "")
    assert out.startswith("Human asks, Human answers\n")
    assert re.search(r"dialogs +5 with 15 rounds", out)
    assert re.search(r"answers +replayed, as people gave them", out)
    assert re.search(r"repeats per dialog +1\.00 \(100% of dialogs repeat a question\)", out)
    assert "cost" not in out, "an unknown cost is never 0"


def test_the_limit_grows_and_fresh_begins_anew(typed: Typed, targets: str) -> None:
    command = ("simulate", *HUMANS, "--targets", targets, "--rounds", "2", "--out", "x.json")
    for limit in ("2", "4"):
        assert typed(*command, "--limit", limit)[0] == 0
        assert len(read_dialogs("x.json")) == int(limit)
    code, out, _ = typed(*command, "--limit", "2")
    assert code == 0
    assert re.search(r"targets +2 of the run's 4; time", out)
    assert len(read_dialogs("x.json")) == 2
    assert "of the run's" not in typed(*command, "--limit", "3", "--fresh")[1]
    assert len(read_dialogs("x.json")) == 3


def test_every_option_can_come_from_the_environment(
    typed: Typed, targets: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"LIMIT": "2", "ROUNDS": "1", "OUT": "env.json", "QUESTIONER": "human"}.items():
        monkeypatch.setenv(f"CHATIR_SIMULATE_{name}", value)
    assert typed("simulate", "--answerer", "human", "--targets", targets)[0] == 0
    assert [len(dialog.rounds) for dialog in read_dialogs("env.json")] == [1, 1]


def test_a_refusal_of_the_human_answerer_names_who_can(typed: Typed, targets: str, tmp_path: Path) -> None:
    write_dialogs(tmp_path / "other.json", [Dialog("0.jpg", "cat 0", said("is it tame? no"))])
    code, _, error = typed("simulate", *HUMANS, "--targets", targets, "--rounds", "4")
    assert code == 2
    assert "use --rounds 3, other targets, or another questioner" in error


def test_lint_prints_a_table_or_the_contract_s_json(typed: Typed) -> None:
    write_dialogs(Path("x.json"), [Dialog("a.jpg", "a cat", said("is it? Answer: no", "no mark"))])
    code, out, _ = typed("lint", "x.json", "--rounds", "2")
    assert code == 0
    assert re.search(r"leaked_label +1\n", out)
    code, out, _ = typed("lint", "x.json", "--format", "json", "--rounds", "2")
    (report,) = json.loads(out)
    assert code == 0
    assert set(report) == {"file", "dialogs", "rounds", "defects", "examples"}
    assert report["file"] == "x.json"
    assert report["defects"]["leaked_label"] == report["defects"]["missing_question_mark"] == 1
    assert report["examples"]["leaked_label"] == [{"img": "a.jpg", "round": 1, "text": "is it? Answer: no"}]


def test_fetch_brings_released_files_where_simulate_looks_for_them(
    typed: Typed, targets: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, error = typed("simulate", *HUMANS)
    assert code == 2
    assert "'chatir fetch' brings it" in error
    released = tmp_path / "data" / "dialogues" / "VisDial_v1.0_queries_val.json"
    released.parent.mkdir(parents=True)
    released.write_bytes(Path(targets).read_bytes())
    assert typed("simulate", *HUMANS, "--rounds", "1")[0] == 0


def test_fetch_that_finds_no_server_says_so_in_a_line(typed: Typed) -> None:
    code, _, error = typed("fetch", "--base-url", "http://127.0.0.1:9/")
    assert code == 1
    assert "dialogues/VisDial_v1.0_queries_val.json" in error.splitlines()[-1]


def walk(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    inner = command.commands.items() if isinstance(command, click.Group) else ()
    return [(path, command), *(found for name, sub in inner for found in walk(sub, (*path, name)))]


@pytest.mark.parametrize(("path", "command"), walk(commands), ids=repr)
def test_every_command_and_option_has_help(
    path: tuple[str, ...], command: click.Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*path, "--help"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 100
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, option.name
            assert option.opts[0] in text
    if isinstance(command, click.Group):
        assert "..." not in text.partition("Commands:")[2], "each command's line is told in full"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from chatir.cli import run; run(['--help']); run(['simulate', '--help']);"
        "heavy = {'torch', 'transformers', 'numpy', 'pydantic', 'rich', 'sqlite3', 'asyncio'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_a_closed_pipe_is_no_error(targets: str, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*CHATIR, "list"], stdout=writer, stderr=subprocess.PIPE, cwd=tmp_path)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("command", [["list"], ["--help"], ["lint", "x.json"]])
def test_a_full_disk_behind_stdout_is_told(command: list[str], tmp_path: Path) -> None:
    write_dialogs(tmp_path / "x.json", [Dialog("a.jpg", "a cat")])
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*CHATIR, *command], stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "chatir: standard output: No space left on device\n"


def test_no_command_shows_the_help_as_wrong_use() -> None:
    done = subprocess.run(CHATIR, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: chatir [OPTIONS] COMMAND [ARGS]...\n")


def test_the_targets_are_not_written_over(typed: Typed, targets: str) -> None:
    before = Path(targets).read_bytes()
    code, _, error = typed("simulate", *HUMANS, "--targets", targets, "--out", targets, "--fresh", "--rounds", "1")
    assert code == 2
    assert "holds the targets; name another --out" in error
    assert Path(targets).read_bytes() == before


def test_a_complete_run_typed_again_says_so(typed: Typed, targets: str) -> None:
    command = ("simulate", *HUMANS, "--targets", targets, "--rounds", "1")
    assert typed(*command)[2] == ""
    assert "this run was complete" in typed(*command)[2]


SLOW = """
import os, time
from chatir import Reply
from chatir.plugins import Context
class Slow:
    replays = True
    def __init__(self, context: Context):
        if os.environ.get("CHATIR_TEST_CHATTY"):
            for _ in range(3):
                context.progress("loading")
    def ask(self, dialogs):
        open("asked", "w").close()
        time.sleep(0.05)
        return [Reply("is it?") for _ in dialogs]
"""


@pytest.fixture
def slow(tmp_path: Path) -> dict[str, str]:
    """An environment with a questioner `slow`, registered as any other."""
    site = tmp_path / "site"
    info = site / "slow-1.dist-info"
    info.mkdir(parents=True)
    (site / "slow_questioner.py").write_text(SLOW)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[chatir.questioners]\nslow = slow_questioner:Slow\n")
    return dict(os.environ) | {"PYTHONPATH": str(site)}


def wait_for_a_run(folder: Path) -> None:
    """Until somebody is asked: before that, an interrupt meets no run."""
    deadline = time.monotonic() + 20
    while not (folder / "asked").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_reader_of_stderr_that_leaves_does_not_end_the_run(
    targets: str, slow: dict[str, str], tmp_path: Path
) -> None:
    command = [
        *CHATIR,
        "simulate",
        "--questioner",
        "slow",
        "--answerer",
        "human",
        "--targets",
        targets,
        "--rounds",
        "3",
    ]
    chatty = slow | {"CHATIR_TEST_CHATTY": "1"}
    reader, writer = os.pipe()
    process = subprocess.Popen(command, env=chatty, cwd=tmp_path, stdout=subprocess.PIPE, stderr=writer, text=True)
    os.close(writer)
    os.close(reader)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "5 with 15 rounds" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_and_says_how_to_go_on(
    number: signal.Signals, targets: str, slow: dict[str, str], tmp_path: Path
) -> None:
    command = [*CHATIR, "simulate", "--questioner", "slow", "--answerer", "human", "--targets", targets]
    process = subprocess.Popen(command, env=slow, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    wait_for_a_run(tmp_path)
    process.send_signal(number)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 130
    assert error.count("\n") == 1
    assert (
        "of 5 dialogs are done, all replies that came are saved in outputs/Slow_Human.run; the same command goes on"
        in error
    )


def test_on_a_terminal_progress_is_one_live_line(targets: str, slow: dict[str, str], tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    rounds = ("--rounds", "3", "--limit", "3")
    command = [*CHATIR, "simulate", "--questioner", "slow", "--answerer", "human", "--targets", targets, *rounds]
    environment = slow | {"TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:
        pass
    assert process.wait() == 0
    assert b"/3 dialogs" in shown
    assert b"rounds/s" in shown
    assert b"repeats" in shown
    assert b"s left" in shown


@pytest.mark.parametrize(("own", "told"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")], ids=repr)
def test_threads_that_wait_sleep_unless_the_user_wants_them_to_spin(own: dict[str, str], told: str) -> None:
    code = (
        "import os, sys; from chatir import cli; assert 'torch' not in sys.modules;"
        "cli.run = lambda arguments: print(os.environ['OMP_WAIT_POLICY']) or 0; cli.main()"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | own
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"{told}\n", "")


SEGMENTS = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True", "PYTORCH_ALLOC_CONF": "expandable_segments:True"}


@pytest.mark.parametrize("own", [{}, *({name: "max_split_size_mb:64"} for name in ALLOCATORS)], ids=repr)
def test_memory_of_a_gpu_grows_in_place_unless_the_user_has_set_its_allocator(own: dict[str, str]) -> None:
    code = (
        "import json, os, sys; from chatir import cli; assert 'torch' not in sys.modules\n"
        "def run(arguments):\n"
        "    import torch\n"
        "    torch.cuda.is_available(), torch.zeros(9).sum()\n"
        "    print(json.dumps({name: os.environ[name] for name in cli.ALLOCATORS if name in os.environ}))\n"
        "    return 0\n"
        "cli.run = run; cli.main()"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ALLOCATORS} | own
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (json.loads(done.stdout), done.stderr) == (own or SEGMENTS, "")


EXITS = """
import atexit, concurrent.futures, os, pathlib, threading, time

atexit.register(lambda: pathlib.Path("left").write_text("yes"))
computing = concurrent.futures.ThreadPoolExecutor(1)

class Asks:
    replays = True

    def ask(self, dialogs):
        if os.environ.get("STUCK"):
            pathlib.Path("stuck").touch()
            computing.submit(time.sleep, 600).result()
        raise SystemExit
"""


@pytest.mark.parametrize("stuck", [False, True])
def test_what_a_plugin_does_at_exit_is_done_even_if_its_call_never_ends(
    targets: str, tmp_path: Path, stuck: bool
) -> None:
    install(tmp_path / "site", "exits", EXITS, questioners="exits = Asks")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), *filter(None, sys.path)])}
    players = ["--questioner", "exits", "--answerer", "human", "--targets", targets]
    command = [*CHATIR, "simulate", *players] if stuck else [*CHATIR, "list", "questioners"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment | ({"STUCK": "1"} if stuck else {}))
    if stuck:
        while process.poll() is None and not (tmp_path / "stuck").exists():
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
    assert process.wait(60) == (130 if stuck else 0)
    assert (tmp_path / "left").read_text() == "yes"
