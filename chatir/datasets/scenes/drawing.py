"""Draws a scene with Pillow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from PIL import Image, ImageDraw

from chatir.datasets.scenes.world import LIGHT_BACKGROUNDS, PLACES, Scene, Thing

SIZE = 192
"""Pixels along a side of a picture."""

FINE = 2  # drawn so many times larger, then reduced, for smooth edges
CELL = SIZE // 3
RADIUS = {"big": 26, "small": 13}
OUTLINE = 2

RGB_OF_COLOR = {
    "blue": (40, 90, 230),
    "gray": (135, 135, 135),
    "green": (30, 150, 50),
    "orange": (255, 135, 0),
    "pink": (255, 140, 195),
    "purple": (140, 45, 170),
    "red": (220, 25, 30),
    "yellow": (255, 225, 25),
}
RGB_OF_BACKGROUND = {
    "beige": (228, 210, 175),
    "cyan": (125, 225, 235),
    "white": (255, 255, 255),
    "black": (10, 10, 10),
    "brown": (100, 60, 30),
    "navy": (15, 20, 90),
}

OUTLINES = (40, 40, 40), (245, 245, 245)
"""On a light background, and on a dark one."""
PALETTE = (*RGB_OF_COLOR.values(), *RGB_OF_BACKGROUND.values(), *OUTLINES)

NEAR = 16
"""How far from a color, in each channel, a pixel still counts as of it."""
MOST_OF_A_SCENE = 0.88
"""The least share of a scene's pixels that are of its colors; the others are smooth edges, and what JPEG made."""

Point = tuple[float, float]


def draw(scene: Scene) -> Image.Image:
    """The scene as an RGB picture of `SIZE` x `SIZE` pixels; the same pixels for the same scene."""
    picture = Image.new("RGB", (SIZE * FINE, SIZE * FINE), RGB_OF_BACKGROUND[scene.background])
    pen = ImageDraw.Draw(picture)
    outline = OUTLINES[scene.background not in LIGHT_BACKGROUNDS]
    for thing in scene.things:
        _draw_thing(pen, thing, outline)
    return picture.reduce(FINE)


def is_scene(picture: Image.Image) -> bool:
    """Whether an RGB picture can be one that `draw` gave, or a copy in another format: by its size and colors.

    Nothing reaches its edge, which shows the background, and almost all in it has one of the colors that scenes have.
    """
    if picture.size != (SIZE, SIZE):
        return False
    import numpy as np

    pixels = np.asarray(picture, dtype=int)[:: SIZE // 48, :: SIZE // 48]
    edge = np.concatenate([pixels[0], pixels[:, 0]])
    return min(_share_of(edge, RGB_OF_BACKGROUND.values()), _share_of(pixels, PALETTE)) > MOST_OF_A_SCENE


def _share_of(pixels: Any, colors: Iterable[tuple[int, int, int]]) -> float:
    """How many pixels [..., 3] are of one of the colors, give or take what JPEG does to them."""
    import numpy as np

    distance = np.abs(pixels[..., None, :] - np.array(list(colors))).max(axis=-1)
    return float((distance.min(axis=-1) <= NEAR).mean())


def _draw_thing(pen: ImageDraw.ImageDraw, thing: Thing, outline: tuple[int, int, int]) -> None:
    row, column = divmod(PLACES.index(thing.place), 3)
    x = (column * CELL + CELL // 2 + thing.shift[0]) * FINE
    y = (row * CELL + CELL // 2 + thing.shift[1]) * FINE
    radius = RADIUS[thing.size] * FINE
    fill, width = RGB_OF_COLOR[thing.color], OUTLINE * FINE
    if thing.shape == "circle":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill, outline, width)
    else:
        corners = [(round(x + dx * radius), round(y + dy * radius)) for dx, dy in CORNERS[thing.shape]]
        pen.polygon(corners, fill)
        pen.line([*corners, *corners[:2]], outline, width, joint="curve")


def _star() -> list[Point]:
    radii = (1.08, 0.45)
    return [
        (radii[i % 2] * math.sin(i * math.pi / 5), -radii[i % 2] * math.cos(i * math.pi / 5) + 0.06) for i in range(10)
    ]


def _heart() -> list[Point]:
    turns = [(i + 0.5) * 2 * math.pi / 48 for i in range(48)]
    return [
        (math.sin(t) ** 3, -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 17)
        for t in turns
    ]


CORNERS: dict[str, Sequence[Point]] = {
    "cross": [
        (0.33 * a, 0.33 * b)
        for a, b in (
            (-1, -3),
            (1, -3),
            (1, -1),
            (3, -1),
            (3, 1),
            (1, 1),
            (1, 3),
            (-1, 3),
            (-1, 1),
            (-3, 1),
            (-3, -1),
            (-1, -1),
        )
    ],
    "heart": _heart(),
    "square": [(-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)],
    "star": _star(),
    "triangle": [(0, -0.95), (1, 0.85), (-1, 0.85)],
}
