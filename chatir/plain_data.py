"""What players and retrievers declare of themselves, as JSON holds it."""

from __future__ import annotations

import json
from typing import Any

from chatir.errors import InputError


def plain_data(value: Any, what: str) -> dict[str, Any]:
    """A mapping as JSON holds it; raises InputError, naming `what` it is, if JSON cannot."""
    try:
        plain = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{what} must be plain data that JSON can hold: {error}") from None
    if not isinstance(plain, dict):
        raise InputError(f"{what} must be a mapping, not {type(value).__name__}")
    return plain
