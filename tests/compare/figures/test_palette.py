"""Styles of runs: one color for a questioner, told apart by every reader, on every paper."""

from __future__ import annotations

import random
from itertools import combinations, pairwise

import numpy as np
import pytest
from compare.comparisons import compared, side_by_side
from numpy.typing import NDArray

from chatir.compare.figures.palette import DASHES, KNOWN, MARKERS, PALETTE, SECOND, Style, mixed, run_styles

# How a reader without the cones for green, or red, or blue, sees linear RGB (Machado, Oliveira and Fernandes 2009).
SIGHTS = {
    "all cones": np.eye(3),
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
WHITE, BLACK = 1.0, 0.0
JUST_NOTICED = 0.02


def linear(color: str) -> NDArray[np.float64]:
    """Linear RGB of an sRGB color."""
    value = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def luminance(color: str) -> float:
    return float(linear(color) @ [0.2126, 0.7152, 0.0722])


def lightness(color: str) -> float:
    """CIE L*, 0 to 100, in which equal steps look equal: what is left of a color in print without color."""
    return 116 * float(np.cbrt(luminance(color))) - 16


def oklab(color: str, sight: str) -> NDArray[np.float64]:
    """A color as it is seen, in a space where distances are differences to the eye (Ottosson 2020)."""
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    opponents = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    seen = np.clip(np.array(SIGHTS[sight]) @ linear(color), 0, 1)
    return np.asarray(opponents @ np.cbrt(cones @ seen))


def styles_of(*questioners: str | None, config: dict[str, object] | None = None) -> list[Style]:
    runs = [compared(f"run {n}", questioner=name, config=config) for n, name in enumerate(questioners)]
    return list(run_styles(side_by_side(*runs)).values())


def test_any_two_colors_differ_in_grey() -> None:
    for one, other in combinations(PALETTE, 2):
        assert abs(lightness(one) - lightness(other)) > 5, (one, other)


def test_neighbours_in_the_palette_differ_most_in_grey() -> None:
    for one, other in pairwise((*PALETTE, PALETTE[0])):
        assert abs(lightness(one) - lightness(other)) > 12, (one, other)


@pytest.mark.parametrize("sight", SIGHTS)
def test_any_two_colors_differ_to_colour_blind_readers(sight: str) -> None:
    for one, other in combinations((*PALETTE, *SECOND), 2):
        distance = float(np.linalg.norm(oklab(one, sight) - oklab(other, sight)))
        first = {one, other} <= set(PALETTE)
        assert distance > (4 if first else 3) * JUST_NOTICED, (one, other)


def test_every_color_stands_out_from_a_white_and_from_a_black_page() -> None:
    for color in (*PALETTE, *SECOND):
        assert (WHITE + 0.05) / (luminance(color) + 0.05) > 2
        assert (luminance(color) + 0.05) / (BLACK + 0.05) > 2.5


def hue(color: str) -> float:
    """Degrees."""
    _, green_red, blue_yellow = oklab(color, "all cones")
    return float(np.degrees(np.arctan2(blue_yellow, green_red)))


def test_the_two_tones_of_a_color_have_one_hue() -> None:
    for one, other in zip(PALETTE, SECOND, strict=True):
        apart = abs(hue(one) - hue(other)) % 360
        assert min(apart, 360 - apart) < 25, (one, other)


def test_the_same_questioner_has_two_tones_of_one_color_in_turn() -> None:
    first, other, second, third = styles_of("Storm", "Calm", "Storm", "Storm")
    place = PALETTE.index(first.color)
    assert (second.color, third.color) == (SECOND[place], PALETTE[place])
    assert other.color not in (first.color, second.color)


def test_runs_of_the_same_questioner_differ_in_tone_dash_and_marker() -> None:
    first, second = styles_of("Storm", "Storm")
    assert first.color != second.color
    assert first.dash != second.dash
    assert first.marker != second.marker


def test_a_questioner_of_another_configuration_is_another_questioner() -> None:
    runs = [
        compared(f"{prompt}", questioner="ChatGPT", config={"prompt": prompt, "temperature": 0})
        for prompt in ("zero-shot", "few-shot")
    ]
    one, other = run_styles(side_by_side(*runs)).values()
    assert one.color != other.color


def test_runs_of_unknown_questioners_are_each_their_own() -> None:
    assert len({style.color for style in styles_of(None, None, None)}) == 3


def test_known_questioners_have_their_own_colors_whatever_they_are_compared_with() -> None:
    (alone,) = styles_of("ChatGPT")
    among = styles_of("a", "FLAN_ALPACA_XXL", "ChatGPT", "Human", "zebra")[2]
    assert alone.color == among.color == PALETTE[KNOWN.index("chatgpt")]


def test_names_of_known_questioners_may_be_written_in_any_way() -> None:
    spellings = ("Unanswered_ChatGPT", "unanswered-chatgpt", "UnansweredChatGPT")
    assert len({styles_of(name)[0].color for name in spellings}) == 1


def test_a_questioner_takes_no_known_one_s_color_while_others_are_free() -> None:
    stranger, human = styles_of("Aardvark", "Human")
    assert human.color == PALETTE[0] != stranger.color


def test_styles_do_not_depend_on_the_order_of_the_runs() -> None:
    runs = [compared(f"run {n}", questioner=f"q{n % 5}") for n in range(12)]
    styles = run_styles(side_by_side(*runs))
    random.Random(3).shuffle(runs)
    assert run_styles(side_by_side(*runs)) == styles


@pytest.mark.parametrize("questioners", [1, 2, 7, 40])
def test_no_two_of_forty_runs_are_alike(questioners: int) -> None:
    styles = styles_of(*(f"q{n % questioners}" for n in range(40)))
    assert len(set(styles)) == 40


def test_a_color_is_shared_by_all_runs_that_dashes_and_markers_can_tell_apart() -> None:
    most = len(DASHES) * len(MARKERS)
    assert len(set(styles_of(*["Storm"] * most))) == most >= 40


def test_in_grey_the_first_colors_begin_with_different_dashes_and_markers() -> None:
    styles = styles_of("Human", "ChatGPT", "FLAN_ALPACA_XXL", "Unanswered_ChatGPT", "FLAN_T5_XXL")
    assert len({style.dash for style in styles}) == len({style.marker for style in styles}) == 5


def test_a_mixture_lies_between_its_colors() -> None:
    assert mixed("#102030", "#ffffff", 1.0) == "#102030"
    assert mixed("#102030", "#fe8040", 0.0) == "#fe8040"
    assert mixed("#000000", "#ff8040", 0.5) == "#804020"
