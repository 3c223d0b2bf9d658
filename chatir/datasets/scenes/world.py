"""A small world of pictures whose content is known: a background and one to four shapes on it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

SHAPES = ("circle", "cross", "heart", "square", "star", "triangle")
COLORS = ("blue", "gray", "green", "orange", "pink", "purple", "red", "yellow")
SIZES = ("big", "small")
PLACES = (
    "top left",
    "top middle",
    "top right",
    "middle left",
    "center",
    "middle right",
    "bottom left",
    "bottom middle",
    "bottom right",
)
LIGHT_BACKGROUNDS = ("beige", "cyan", "white")
DARK_BACKGROUNDS = ("black", "brown", "navy")
BACKGROUNDS = LIGHT_BACKGROUNDS + DARK_BACKGROUNDS

NUMBERS_OF_THINGS = (1, 2, 3, 4)
WEIGHTS_OF_NUMBERS = (1, 3, 4, 4)
SHIFT = 4
"""A thing stands up to so many pixels off the middle of its cell, in each direction."""

HELD_OUT_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Thing:
    """One shape in a picture: one of `SHAPES`, with its color, size and place as in `COLORS`, `SIZES` and `PLACES`.

    `shift` (pixels right, pixels down) is no content: nobody could tell it in words.
    """

    shape: str
    color: str
    size: str
    place: str
    shift: tuple[int, int] = field(default=(0, 0), compare=False)


@dataclass(frozen=True)
class Scene:
    """What a picture shows: a background, and things of distinct shapes in distinct places, in the order of `PLACES`.

    Scenes of the same content are equal, wherever in their cells the things stand.
    """

    background: str
    things: tuple[Thing, ...]

    def thing(self, shape: str) -> Thing | None:
        """The thing of this shape, if there is one."""
        return next((thing for thing in self.things if thing.shape == shape), None)

    def at(self, place: str) -> Thing | None:
        """The thing at this place, if there is one."""
        return next((thing for thing in self.things if thing.place == place), None)

    @cached_property
    def content(self) -> str:
        """All that the scene shows, in one line; equal for equal scenes."""
        things = (f"{thing.size} {thing.color} {thing.shape} {thing.place}" for thing in self.things)
        return "; ".join((self.background, *things))

    @cached_property
    def held_out(self) -> bool:
        """Whether no training may see this content: a fixed quarter of all contents, by their hash."""
        digest = hashlib.sha256(self.content.encode()).digest()
        return digest[0] < 256 * HELD_OUT_SHARE


def scenes(seed: int | str, *, held_out: bool = True, distinct: bool = True) -> Iterator[Scene]:
    """An endless stream of scenes, the same for the same seed.

    held_out: scenes that the built-in models never saw; False gives those that they may be trained on.
    distinct: no content comes twice. As there are only some 1,300 held-out contents of a single thing, and
    hundreds of times as many of two, single things become rare after some ten thousand scenes.
    """
    rng = random.Random(f"scenes {seed}")  # noqa: S311 - pictures, not secrets
    seen: set[Scene] = set()
    while True:
        scene = _random_scene(rng)
        if scene.held_out != held_out or scene in seen:
            continue
        if distinct:
            seen.add(scene)
        yield scene


def _random_scene(rng: random.Random) -> Scene:
    (number,) = rng.choices(NUMBERS_OF_THINGS, WEIGHTS_OF_NUMBERS)
    places = sorted(rng.sample(range(len(PLACES)), number))
    shapes = rng.sample(SHAPES, number)
    things = tuple(
        Thing(
            shape,
            rng.choice(COLORS),
            rng.choice(SIZES),
            PLACES[place],
            (rng.randint(-SHIFT, SHIFT), rng.randint(-SHIFT, SHIFT)),
        )
        for place, shape in zip(places, shapes, strict=True)
    )
    return Scene(rng.choice(BACKGROUNDS), things)
