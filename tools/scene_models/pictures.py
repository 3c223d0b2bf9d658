"""Pictures as the models see them: what their image processors make of a scene's picture, many at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from PIL import Image
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from chatir.datasets.scenes.drawing import draw
from chatir.datasets.scenes.world import Scene, scenes

SIDE = 96
PATCH = 16


def pixels(some: Sequence[Scene]) -> torch.Tensor:
    """Pixel values [scenes, 3, SIDE, SIDE] of drawn scenes."""
    small = [np.asarray(draw(scene).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for scene in some]
    values = torch.from_numpy(np.stack(small)).float().div_(255)
    return ((values - torch.tensor(OPENAI_CLIP_MEAN)) / torch.tensor(OPENAI_CLIP_STD)).permute(0, 3, 1, 2).contiguous()


def batches(seed: int, size: int) -> Iterator[list[Scene]]:
    """Training scenes without end, `size` at a time."""
    stream = scenes(f"training {seed}", held_out=False, distinct=False)
    while True:
        yield list(islice(stream, size))
