"""Tokens of an image: OpenAI's rule, of which the bound never falls short."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatir.models.chat.image_tokens import most_tokens, typical_tokens


def by_the_rule(width: float, height: float) -> int:
    """gpt-4o's tokens at high detail, step by step as OpenAI tells them."""
    fit = min(1.0, 2048 / max(width, height))
    width, height = width * fit, height * fit
    short = min(1.0, 768 / min(width, height))
    tiles = ceil(round(width * short / 512, 6)) * ceil(round(height * short / 512, 6))
    return 85 + 170 * tiles


def test_the_rule_of_this_test_gives_the_examples_of_openai() -> None:
    assert by_the_rule(1024, 1024) == 765
    assert by_the_rule(2048, 4096) == 1105


@given(width=st.integers(1, 8192), height=st.integers(1, 8192))
def test_the_bound_holds_for_images_of_any_shape(width: int, height: int) -> None:
    assert most_tokens("gpt-4o", max(width, height), "auto") >= by_the_rule(width, height)


@pytest.mark.parametrize(
    ("model", "side", "detail", "tokens"),
    [
        ("gpt-4o", 1024, "high", 765),
        ("gpt-4o-2024-08-06", 768, "auto", 765),
        ("openai/gpt-4o", 512, "auto", 255),
        ("gpt-4o-mini-2024-07-18", 768, "auto", 2833 + 4 * 5667),
        ("gpt-4o-mini", 768, "low", 2833),
        ("gpt-4o-mini", 8192, "auto", 2833 + 8 * 5667),
        ("gpt-4.1-mini", 768, "auto", 2833 + 4 * 5667),
        ("llava", 768, "low", 2833 + 4 * 5667),
    ],
)
def test_at_most_it_takes_what_the_model_takes_or_else_the_dearest(
    model: str, side: int, detail: str, tokens: int
) -> None:
    assert most_tokens(model, side, detail) == tokens  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "side", "detail", "tokens"),
    [
        ("gpt-4o-mini-2024-07-18", 768, "auto", 2833 + 2 * 5667),
        ("gpt-4o-mini", 512, "auto", 2833 + 5667),
        ("gpt-4o-mini", 768, "low", 2833),
        ("gpt-4o", 4096, "auto", 425),
        ("llava", 768, "auto", 425),
    ],
)
def test_a_photo_of_coco_takes_less(model: str, side: int, detail: str, tokens: int) -> None:
    assert typical_tokens(model, side, detail) == tokens  # type: ignore[arg-type]
    assert typical_tokens(model, side, detail) <= most_tokens(model, side, detail)  # type: ignore[arg-type]
