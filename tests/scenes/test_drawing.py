"""Pictures of scenes: the right pixels in the right places."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from PIL import Image

from chatir.datasets.scenes.drawing import RGB_OF_BACKGROUND, RGB_OF_COLOR, SIZE, draw
from chatir.datasets.scenes.world import PLACES, SHAPES, SHIFT, Scene, Thing, scenes

CELL = SIZE // 3


def pixels(scene: Scene) -> np.ndarray:
    return np.asarray(draw(scene), dtype=int)


def part(picture: np.ndarray, place: str) -> np.ndarray:
    row, column = divmod(PLACES.index(place), 3)
    return picture[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]


def share(picture: np.ndarray, color: tuple[int, int, int]) -> float:
    return float((np.abs(picture - color).sum(axis=-1) < 12).mean())


def test_a_picture_is_a_small_rgb_square_and_the_same_each_time() -> None:
    scene = next(scenes(3))
    picture = draw(scene)
    assert (picture.mode, picture.size) == ("RGB", (SIZE, SIZE))
    assert picture.tobytes() == draw(scene).tobytes()


def test_things_stand_where_the_scene_says_in_their_color_and_nowhere_else() -> None:
    for scene in islice(scenes(4), 200):
        picture = pixels(scene)
        for place in PLACES:
            thing, cell = scene.at(place), part(picture, place)
            if thing is None:
                assert share(cell, RGB_OF_BACKGROUND[scene.background]) > 0.97
            else:
                assert share(cell, RGB_OF_COLOR[thing.color]) > 0.03, (scene.content, place)
                assert share(cell, RGB_OF_BACKGROUND[scene.background]) < 0.97


@pytest.mark.parametrize("shape", SHAPES)
def test_a_big_thing_covers_several_times_what_a_small_one_does(shape: str) -> None:
    big, small = (
        share(pixels(Scene("white", (Thing(shape, "red", size, "center"),))), RGB_OF_COLOR["red"])
        for size in ("big", "small")
    )
    assert big > 3 * small


def test_no_two_shapes_look_alike() -> None:
    drawn = [pixels(Scene("white", (Thing(shape, "red", "small", "center"),))) for shape in SHAPES]
    for number, one in enumerate(drawn):
        for other in drawn[number + 1 :]:
            assert (one != other).any(axis=-1).sum() > 100


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shift", [(-SHIFT, -SHIFT), (SHIFT, SHIFT)])
def test_a_shifted_thing_stays_in_its_cell(shape: str, shift: tuple[int, int]) -> None:
    picture = pixels(Scene("white", (Thing(shape, "red", "big", "center", shift),)))
    part(picture, "center")[:] = RGB_OF_BACKGROUND["white"]
    assert (picture == RGB_OF_BACKGROUND["white"]).all()


def test_colors_and_backgrounds_are_told_apart_at_a_glance() -> None:
    named = [np.array(color) for color in (*RGB_OF_COLOR.values(), *RGB_OF_BACKGROUND.values())]
    apart = [np.abs(one - other).sum() for number, one in enumerate(named) for other in named[:number]]
    assert min(apart) > 60


def test_pillow_can_save_and_read_it_back(tmp_path) -> None:
    picture = draw(next(scenes(5)))
    picture.save(tmp_path / "x.png")
    assert Image.open(tmp_path / "x.png").tobytes() == picture.tobytes()
