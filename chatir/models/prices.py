"""What tokens cost, in US dollars, by the list of genai-prices; None for an endpoint or model that it does not know."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=1024)
def listed_price(model: str, base_url: str) -> tuple[float, float] | None:
    """US dollars per million tokens, in and out, None where the list has no price.

    The endpoint counts, so that a local server's model has none.
    """
    from genai_prices import Usage, calc_price

    try:  # a thousand tokens, not a million: some models are dearer beyond a length
        tokens_in = calc_price(Usage(input_tokens=1000), model, provider_api_url=base_url)
        tokens_out = calc_price(Usage(output_tokens=1000), model, provider_api_url=base_url)
    except LookupError:
        return None
    if tokens_in.model_price.input_mtok is None or tokens_in.model_price.output_mtok is None:
        return None  # priced by the hour, or not at all: not by the token, at least
    return float(tokens_in.total_price * 1000), float(tokens_out.total_price * 1000)
