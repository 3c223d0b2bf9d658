"""Dialogs with a real vision model behind a real server: `transformers serve` with a tiny LLaVA."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from model_server import Server, needs, served
from models.tiny_llava import COLORS, llava
from PIL import Image

from chatir import Dialog, Round
from chatir.simulate import read_dialogs, write_dialogs

pytestmark = needs()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = llava(tmp_path_factory.mktemp("served") / "tiny-llava")
    with served(folder) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    people = tuple(Round(f"what is color number {n}?", "who knows") for n in range(10))
    for name, color in COLORS.items():
        Image.new("RGB", (900, 700), color).save(tmp_path / f"{name}.png")
    write_dialogs(tmp_path / "targets.json", [Dialog(f"{name}.png", "a thing", people) for name in COLORS])
    return tmp_path


def ran(server: Server, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, "-m", "chatir", "simulate", "--questioner", "human", "--answerer", "openai-vision",
        "-a", f"base_url={server.url}", "-a", f"model={server.model}", "-a", "concurrency=2",
        "--targets", "targets.json", "--images", ".", "--out", "outputs/Human_tiny-llava.json", *more,
    ]  # fmt: skip
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def test_a_model_that_really_sees_answers_by_what_it_sees(server: Server, folder: Path) -> None:
    done = ran(server, folder)
    assert done.returncode == 0, done.stderr
    assert "Human asks, tiny-llava answers" in done.stdout
    dialogs = read_dialogs(folder / "outputs" / "Human_tiny-llava.json")
    assert {dialog.image: {turn.answer for turn in dialog.rounds} for dialog in dialogs} == {
        f"{name}.png": {name} for name in COLORS
    }
    assert [len(dialog.rounds) for dialog in dialogs] == [10] * 3


def test_its_chat_may_hold_the_rounds_before(server: Server, folder: Path) -> None:
    done = ran(server, folder, "-a", "context_rounds=2", "--rounds", "4", "--limit", "1", "--out", "x.json")
    assert done.returncode == 0, done.stderr
    (dialog,) = read_dialogs(folder / "x.json")
    assert len(dialog.rounds) == 4
    assert all(turn.answer for turn in dialog.rounds)
