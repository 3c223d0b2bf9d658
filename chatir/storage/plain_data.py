"""What players and retrievers declare of themselves, as JSON holds it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from chatir.errors import InputError


def plain_data(value: Any, what: str) -> dict[str, Any]:
    """A mapping as JSON holds it. Raises InputError, naming `what` it is, for anything that JSON cannot hold."""
    try:
        plain = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{what} must be plain data that JSON can hold: {error}") from None
    if not isinstance(plain, dict):
        raise InputError(f"{what} must be a mapping, not {type(value).__name__}")
    return plain


def unequal(old: Mapping[str, Any], new: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any, Any]]:
    """What differs, as deep as both sides go: a name, and the value on each side, None where there is none."""
    for key in [*old, *(key for key in new if key not in old)]:
        one, other = old.get(key), new.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from unequal(one, other, f"{above}{key}.")
        elif one != other:
            yield f"{above}{key}", one, other


def brief(value: Any) -> str:
    """A value on one line of at most 60 characters; a player is told by its name."""
    if isinstance(value, dict) and "name" in value:
        value = value["name"]
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
