"""Tokens that an image takes, by OpenAI's rule of tiles: https://platform.openai.com/docs/guides/images-vision.

An image is scaled down to fit 2048 x 2048 pixels, then to 768 of its shorter side; it takes some tokens, and some
more for each tile of 512 x 512 that it touches, or none for those at low detail.
"""

from __future__ import annotations

import re
from math import ceil

from chatir.models.chat.images import Detail

_FULL_SIZE = (85, 170)
_DEAREST = (2833, 5667)
_TOKENS = {
    "gpt-4o-mini": _DEAREST,
    "gpt-4o": _FULL_SIZE,
    "gpt-4.1": _FULL_SIZE,
    "gpt-5": (70, 140),
    "o1": (75, 150),
    "o3": (75, 150),
}
"""Of an image and of each of its tiles, by model."""
_PHOTO = (640, 480)
"""Pixels of most images of COCO."""


def most_tokens(model: str, max_side: int, detail: Detail) -> int:
    """Tokens that an image whose sides are no longer than `max_side` pixels can take, at most.

    For a model that is not listed, what the dearest would take: 8,500 tokens for the smallest image and 25,501 for
    768 x 768 pixels, where OpenAI's models that count patches stay below 3,800, Claude and Gemini below 2,500, and
    open models that tile or enlarge (LLaVA-OneVision, Llama 3.2 Vision, InternVL) below 8,500.
    """
    known = _TOKENS.get(_family(model))
    return _tokens(known or _DEAREST, max_side, max_side, low=detail == "low" and known is not None)


def typical_tokens(model: str, max_side: int, detail: Detail) -> int:
    """Tokens that a photo takes, its sides scaled down to `max_side` pixels; for an unlisted model, as for gpt-4o."""
    longer, shorter = _PHOTO
    scale = min(1.0, max_side / longer)
    return _tokens(_TOKENS.get(_family(model), _FULL_SIZE), longer * scale, shorter * scale, low=detail == "low")


def _tokens(model: tuple[int, int], longer: float, shorter: float, *, low: bool) -> int:
    """Never less than the rule says: it scales both sides, which are cut here each by itself."""
    tiles = ceil(min(longer, 2048) / 512) * ceil(min(shorter, 768) / 512)
    return model[0] + (0 if low else tiles * model[1])


def _family(model: str) -> str:
    """A model's name without its maker and its date."""
    return re.sub(r"-\d{4}-\d{2}-\d{2}$", "", model.rpartition("/")[2])
