"""The training scripts run from beginning to end and write checkpoints that load; how good they are, the cards tell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tools.scene_models.steps import train

PROJECT = Path(__file__).parents[2]


def test_training_goes_down_its_loss_and_the_rate_to_nothing() -> None:
    torch.manual_seed(0)
    point = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
    train("a test", [point], lambda: (point**2).sum(), 300, 0.1)
    assert point.abs().max() < 0.1


@pytest.mark.slow
def test_a_little_of_every_lesson_ends_in_checkpoints_that_load(tmp_path: Path) -> None:
    from transformers import (
        AutoProcessor,
        AutoTokenizer,
        Blip2ForConditionalGeneration,
        CLIPModel,
        T5ForConditionalGeneration,
    )

    command = [sys.executable, "-m", "tools.scene_models.train", "--folder", tmp_path, "--effort", "0.0005"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lessons = {"retriever sees", "retriever reads", "answerer sees", "answerer looks", "answerer answers"}
    assert {line.partition(":")[0] for line in done.stdout.splitlines()} == {*lessons, "questioner asks"}
    for name, kind in (
        ("blip2", Blip2ForConditionalGeneration),
        ("clip", CLIPModel),
        ("t5", T5ForConditionalGeneration),
    ):
        model = kind.from_pretrained(tmp_path / name)
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
        reader = AutoTokenizer if name == "t5" else AutoProcessor
        assert reader.from_pretrained(tmp_path / name)
