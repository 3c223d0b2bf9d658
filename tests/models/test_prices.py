"""Prices by model and endpoint: known, or None; never 0 for want of knowledge."""

from __future__ import annotations

import pytest

from chatir.models.chat.prices import listed_price

OPENAI = "https://api.openai.com/v1"


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("gpt-4o-mini-2024-07-18", (0.15, 0.6)),
        ("gpt-4o-mini", (0.15, 0.6)),
        ("gpt-4o", (2.5, 10.0)),
        ("gpt-3.5-turbo", (0.5, 1.5)),
    ],
)
def test_models_of_openai_have_their_price_per_million_tokens(model: str, price: tuple[float, float]) -> None:
    assert listed_price(model, OPENAI) == pytest.approx(price)


@pytest.mark.parametrize(
    "base_url",
    [
        "http://127.0.0.1:8000/v1",
        "http://localhost:11434/v1",
        "http://[::1]/v1",
        "https://example.org/v1",
        "http://127.0.0.1/https://api.openai.com/v1",
        "",
    ],
)
@pytest.mark.parametrize("model", ["gpt-4o", "meta-llama/Llama-3.1-8B-Instruct"])
def test_the_same_model_elsewhere_has_none(model: str, base_url: str) -> None:
    assert listed_price(model, base_url) is None


@pytest.mark.parametrize("model", ["", "my-own-model", "smollm2"])
def test_a_model_that_the_list_lacks_has_none(model: str) -> None:
    assert listed_price(model, OPENAI) is None


@pytest.mark.parametrize("model", ["whisper-1", "tts-1"])
def test_what_is_not_sold_by_the_token_is_not_free(model: str) -> None:
    assert listed_price(model, OPENAI) is None


def test_a_price_by_length_is_that_of_short_texts() -> None:
    assert listed_price("gemini-2.5-pro", "https://generativelanguage.googleapis.com/v1beta/openai") == (1.25, 10.0)
