"""What is installed: a wheel that holds everything, typed, importing nothing that it does not need."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.metadata import metadata
from pathlib import Path

import pytest

from chatir.models.builtin import checkpoints

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", folder, PROJECT], check=True)
    (wheel,) = folder.glob("chatir-*.whl")
    return wheel


def test_the_wheel_holds_code_types_and_prompts_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {"chatir/py.typed", "chatir/prompts/texts/few-shot.toml", "chatir/cli.py"} <= set(names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"chatir"}
    tracked = {str(path.relative_to(PROJECT)) for path in (PROJECT / "chatir").rglob("*.py")}
    assert tracked <= set(names)


def test_the_wheel_holds_the_built_in_models_and_stays_small(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    shipped = {path for folder in checkpoints().values() for path in folder.rglob("*") if path.is_file()}
    assert len(shipped) > 12
    assert {str(path.relative_to(PROJECT)) for path in shipped} <= held
    assert wheel.stat().st_size < 15e6


def test_the_installed_wheel_plays(wheel: Path, tmp_path: Path) -> None:
    options = ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", "--target", tmp_path / "site"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, wheel], check=True)
    code = f"""
import sys; sys.path.insert(0, {str(tmp_path / "site")!r})
import chatir.cli; assert chatir.__file__.startswith({str(tmp_path)!r})
sys.exit(chatir.cli.run(["simulate", "--questioner", "human", "--answerer", "human",
    "--targets", {str(PROJECT / "examples" / "everyday_scenes.json")!r}, "--out", {str(tmp_path / "x.json")!r}]))
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "12 with 120 rounds" in done.stdout


def test_extras_and_python_are_as_documented() -> None:
    about = metadata("chatir")
    assert about["Requires-Python"] == ">=3.11"
    extras = set(about.get_all("Provides-Extra") or ())
    assert {"offline", "faiss", "datasets", "dev", "all"} <= extras


def test_the_nouns_come_without_heavy_imports() -> None:
    code = "import sys, chatir; assert not {'torch', 'pydantic', 'sqlite3', 'click'} & set(sys.modules), sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_tested_version_satisfies_what_the_package_asks_for() -> None:
    from packaging.requirements import Requirement

    tested = dict(line.split("==") for line in (PROJECT / "constraints.txt").read_text().splitlines() if "==" in line)
    tested = {name.lower().replace("_", "-"): version for name, version in tested.items()}
    asked = [Requirement(text) for text in metadata("chatir").get_all("Requires-Dist") or ()]
    assert asked
    for requirement in asked:
        name = requirement.name.lower().replace("_", "-")
        if name in tested:
            assert requirement.specifier.contains(tested[name]), requirement
        else:
            assert requirement.marker, f"{name} is a core dependency without a tested version"
