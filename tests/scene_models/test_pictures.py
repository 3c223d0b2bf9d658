"""What models are trained on is what their image processors make of the pictures that `chatir scenes` writes."""

from __future__ import annotations

from itertools import islice

import pytest
import torch

from chatir.datasets.scenes.drawing import draw
from chatir.datasets.scenes.world import scenes
from tools.scene_models import answerer, retriever
from tools.scene_models.evaluate import SEEDS
from tools.scene_models.measures import held_out_scenes
from tools.scene_models.pictures import batches, pixels


@pytest.mark.parametrize("lesson", [answerer, retriever], ids=["blip2", "clip"])
def test_pixels_are_those_of_the_processor(lesson) -> None:
    some = list(islice(scenes(0), 8))
    _, processor = lesson.new_model()
    seen = processor.image_processor([draw(scene) for scene in some], return_tensors="pt").pixel_values
    assert torch.allclose(pixels(some), seen, atol=1e-5)


@pytest.mark.parametrize("seed", range(1, 7))
def test_no_lesson_shows_a_scene_that_is_measured_or_that_users_draw(seed: int) -> None:
    lesson = {scene.content for part in islice(batches(seed, 64), 50) for scene in part}
    measured = {scene.content for measure in SEEDS for scene in held_out_scenes(measure, 1000)}
    drawn = {scene.content for scene in islice(scenes(0), 6000)}
    assert not lesson & (measured | drawn)
