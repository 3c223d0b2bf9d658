"""`chatir lavis install` and what is told where the environment is not as it should be. Needs no LAVIS."""

from __future__ import annotations

import fcntl
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chatir import Dialog, Round
from chatir.cli import run
from chatir.models.lavis import environment as environments
from chatir.models.lavis import worker_process
from chatir.simulate import write_dialogs

FAKE = Path(__file__).with_name("fake_worker.py")
Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Type a command beside a file of targets, with a data folder of one's own."""
    monkeypatch.setenv("CHATIR_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    write_dialogs("targets.json", [Dialog("a.jpg", "a cat", (Round("is it black?", "no"),))])

    def type_in(*arguments: str) -> tuple[int, str, str]:
        code = run(arguments)
        return code, *capsys.readouterr()

    return type_in


@pytest.fixture
def light(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requirements without a package, and a worker that finds LAVIS there."""
    for name in ("REQUIREMENTS", "ALONE"):
        (tmp_path / name).write_text("# none\n")
        monkeypatch.setattr(environments, name, tmp_path / name)
    worker = tmp_path / "worker.py"
    worker.write_text(FAKE.read_text())
    monkeypatch.setattr(worker_process, "SCRIPT", worker)


def told(stderr: str) -> str:
    """The last line, which is all there is but for the note of what begins."""
    lines = [line for line in stderr.splitlines() if not line.startswith("chatir: installing LAVIS in")]
    assert len(lines) == 1, stderr
    assert "Traceback" not in stderr
    return lines[0]


@pytest.mark.slow
@pytest.mark.usefixtures("light")
def test_install_makes_it_once_and_anew_when_asked_to(typed: Typed, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "lavis"
    code, out, err = typed("lavis", "install")
    assert (code, out.splitlines()[-1]) == (0, str(folder))
    assert "lavis 1.0.2" in out
    assert "2 GB" in err
    assert environments.lavis_python() == folder / "bin" / "python"
    (folder / "mark").touch()

    code, out, err = typed("lavis", "install")
    assert (code, out.splitlines()[-1]) == (0, str(folder))
    assert "installed already" in told(err)
    assert (folder / "mark").exists()

    assert typed("lavis", "install", "--fresh")[0] == 0
    assert not (folder / "mark").exists()

    environments.ALONE.write_text("# others\n")
    with pytest.raises(environments.InputError, match="of another chatir: 'chatir lavis install' makes it anew"):
        environments.lavis_python()


def test_a_pip_that_fails_is_one_line_and_what_it_leaves_is_no_environment(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data" / "lavis"
    for name, value in (("NO_INDEX", "1"), ("FIND_LINKS", str(tmp_path / "none")), ("CONFIG_FILE", "/dev/null")):
        monkeypatch.setenv(f"PIP_{name}", value)
    code, out, err = typed("lavis", "install")
    line = told(err)
    assert (code, out) == (2, "")
    assert "LAVIS cannot be installed: No matching distribution found for annotated-doc==" in line
    log = folder / "chatir-install.log"
    assert str(log) in line
    assert "No matching distribution" in log.read_text()
    assert (folder / "pyvenv.cfg").is_file()

    code, _, err = typed(*PLAYED)
    assert code == 2
    assert f"LAVIS's environment in {folder} is not whole" in told(err)
    assert "'chatir lavis install' makes it anew" in err


def test_somebody_elses_environment_in_that_place_is_left_alone(typed: Typed, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "lavis"
    folder.mkdir(parents=True)
    for name in ("pyvenv.cfg", "mine.txt"):
        (folder / name).touch()
    code, _, err = typed("lavis", "install")
    assert code == 2
    assert told(err) == f"chatir: {folder}: is there and is no environment that chatir made; move it away"
    assert (folder / "mine.txt").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("light")
def test_a_removal_that_is_interrupted_leaves_no_ruin_that_counts_as_whole(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert typed("lavis", "install")[0] == 0

    def interrupted(folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(environments.shutil, "rmtree", interrupted)
        assert typed("lavis", "install", "--fresh")[0] == 130
    assert environments.environment().versions is None
    assert typed("lavis", "install")[0] == 0
    assert [path.name for path in (tmp_path / "data").iterdir() if path.is_dir()] == ["lavis"]


PLAYED = ("simulate", "--questioner", "human", "--answerer", "blip2-lavis", "--targets", "targets.json")
PLAYED += ("--images", ".", "--rounds", "1")


def test_without_an_environment_the_player_names_the_command(typed: Typed, tmp_path: Path) -> None:
    code, _, err = typed(*PLAYED)
    assert code == 2
    assert told(err) == (
        f"chatir: LAVIS has no environment in {tmp_path / 'data' / 'lavis'}: 'chatir lavis install' makes it"
    )


@pytest.mark.slow
@pytest.mark.usefixtures("light")
def test_an_environment_that_cannot_import_lavis_is_made_anew(typed: Typed, tmp_path: Path) -> None:
    worker_process.SCRIPT.write_text("import sys\nsys.exit('lavis is broken')\n")
    code, _, err = typed("lavis", "install")
    assert code == 2
    assert told(err) == "chatir: the LAVIS worker ended with exit code 1: lavis is broken"
    with pytest.raises(environments.InputError, match="is not whole"):
        environments.lavis_python()
    worker_process.SCRIPT.write_text(FAKE.read_text())
    assert typed("lavis", "install")[0] == 0
    assert environments.lavis_python() == tmp_path / "data" / "lavis" / "bin" / "python"


@pytest.mark.parametrize(
    ("python", "problem"),
    [
        ("echo 3 12", "is Python 3.12, but LAVIS needs 3.10 or 3.11"),
        ("echo 2 7", "is Python 2.7, but LAVIS needs 3.10 or 3.11"),
        ("echo hello", "is no Python"),
        ("exit 1", "is no Python"),
        (None, "is no Python"),
    ],
)
def test_an_unfit_python_is_refused_before_anything_is_made(
    typed: Typed, tmp_path: Path, python: str | None, problem: str
) -> None:
    path = program(tmp_path, python) if python else tmp_path / "none"
    code, _, err = typed("lavis", "install", "--python", str(path))
    assert code == 2
    assert told(err) == f"chatir: --python {path}: {problem}"
    assert not (tmp_path / "data" / "lavis").exists()


def test_a_newer_python_takes_an_older_one_from_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "PYTHONS", ((3, 5), (3, 4)))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(environments.InputError, match=r"LAVIS needs Python 3.4 or 3.5.*: give --python PATH"):
        environments._base_python(None)
    program(tmp_path, "exit 127", "python3.5")  # as pyenv's, where that version is not the chosen one
    older = program(tmp_path, "echo 3 4", "python3.4")
    assert environments._base_python(None) == older


def test_a_folder_that_is_no_environment_is_never_removed(typed: Typed, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "lavis"
    folder.mkdir(parents=True)
    (folder / "thesis.tex").touch()
    code, _, err = typed("lavis", "install", "--fresh")
    assert code == 2
    assert told(err) == f"chatir: {folder}: is there and is no environment that chatir made; move it away"
    assert (folder / "thesis.tex").exists()


def test_two_installations_do_not_meet(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with (tmp_path / "data" / ".lavis.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, _, err = typed("lavis", "install")
    assert code == 2
    assert "another 'chatir lavis install' is at work" in told(err)


def test_a_stamp_that_is_damaged_or_whose_python_is_gone_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHATIR_DATA", str(tmp_path))
    made = environments.environment()
    made.python.parent.mkdir(parents=True)
    made.python.symlink_to(sys.executable)
    stamp = made.folder / environments.STAMP
    good = json.dumps({"requirements": environments.requirements_sha256(), "versions": {"lavis": "1.0.2"}})
    for content, versions in ((good, {"lavis": "1.0.2"}), ("{", None), ("[]", None), ("{}", None), (good[:-1], None)):
        stamp.write_text(content)
        assert made.versions == versions
    stamp.write_text(good)
    made.python.unlink()
    made.python.symlink_to(tmp_path / "gone")
    assert made.versions is None


def test_every_requirement_is_pinned_and_none_is_of_one_machine() -> None:
    lines = (environments.REQUIREMENTS.read_text() + environments.ALONE.read_text()).splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(line.count("==") == 1 and not set("+@/;<>") & set(line) for line in pins)
    assert {"torch==2.13.0", "torchvision==0.28.0", "salesforce-lavis==1.0.2", "transformers==4.26.1"} <= set(pins)
    assert not any(line.startswith(("nvidia", "cuda", "triton")) for line in pins)


def program(folder: Path, does: str, name: str = "python") -> Path:
    """A program that does one thing."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{does}\n")
    path.chmod(0o755)
    return path
