"""Draws a sheet of scenes to look at: `python -m tools.scene_models.sheet docs/scenes.png`."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

from PIL import Image

from chatir.datasets.scenes.drawing import SIZE, draw
from chatir.datasets.scenes.world import scenes

COLUMNS, ROWS, GAP = 6, 3, 8


def sheet(seed: int = 0) -> Image.Image:
    """The first scenes of a seed, as `chatir scenes` draws them."""
    step = SIZE + GAP
    page = Image.new("RGB", (COLUMNS * step + GAP, ROWS * step + GAP), "lightgray")
    for number, scene in enumerate(islice(scenes(seed), COLUMNS * ROWS)):
        row, column = divmod(number, COLUMNS)
        page.paste(draw(scene), (GAP + column * step, GAP + row * step))
    return page


if __name__ == "__main__":
    sheet().save(Path(sys.argv[1]), optimize=True)
