"""What tokens cost, in US dollars, by the list of genai-prices; None for an endpoint or model that it does not know."""

from __future__ import annotations

from functools import lru_cache

from chatir.models.chat.options import ChatOptions
from chatir.models.completion import Request

_TOKENS_AROUND = 8
"""Tokens around a message, at most."""


class Prices:
    """What requests to an endpoint cost, in US dollars; None where the price, or a count of tokens, is unknown."""

    def __init__(self, options: ChatOptions, base_url: str) -> None:
        self._options = options
        self._base_url = base_url

    def of_tokens(self, tokens_in: int | None, tokens_out: int | None) -> float | None:
        """What so many tokens cost, by the options `price_in` and `price_out`, or else by the list."""
        options = self._options
        if tokens_in is None or tokens_out is None:
            return None
        if options.price_in is not None and options.price_out is not None:
            price: tuple[float, float] | None = (options.price_in, options.price_out)
        else:
            price = listed_price(options.model, self._base_url)
        return None if price is None else (tokens_in * price[0] + tokens_out * price[1]) / 1e6

    def at_most(self, request: Request) -> float | None:
        """What one attempt at a request costs at most.

        Every token is at least one byte long, and `max_tokens` bounds the reply.
        """
        size = sum(len(message.content.encode()) + _TOKENS_AROUND for message in request.messages)
        return self.of_tokens(size + request.image_tokens, request.max_tokens or self._options.max_tokens)


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
