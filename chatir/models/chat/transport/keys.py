"""The keys of endpoints: they come from the environment, go to their server, and are shown to nobody."""

from __future__ import annotations

import logging
import os

from chatir.errors import InputError

HIDDEN = "[key]"
SHORTEST = 8
"""Characters; what is shorter ("none", "EMPTY") stands where a server wants no key, and may be a word of a reply."""
_LOGGERS = ("httpx2", "httpcore2", "h11", "asyncio")
_known: set[str] = set()


def key_of(variable: str) -> str | None:
    """The key that an environment variable holds, None if it holds none; from now on `hidden` knows it.

    Raises InputError, which does not show it, for one with a character that no key has.
    """
    key = os.environ.get(variable, "").strip()
    if not key:
        return None
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(f"{variable}: the key in the environment holds a character that no key has")
    if len(key) >= SHORTEST:
        _known.add(key)
    return key


def hidden(text: str) -> str:
    """The text with `[key]` in the place of each known key, should a server have sent one back."""
    for key in _known:
        text = text.replace(key, HIDDEN)
    return text


class _Hiding(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        told = record.getMessage()
        if (shown := hidden(told)) != told:
            record.msg, record.args = shown, ()
        return True


_hiding = _Hiding()


def hide_in_logs() -> None:
    """Keep keys out of what the HTTP libraries log, at any level. Loggers made later need another call."""
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(_LOGGERS):
            logging.getLogger(name).addFilter(_hiding)
