"""What is odd about an endpoint's replies: another model than the one asked for, an unknown finish reason."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from chatir.models.chat.transport.keys import hidden

MOST = 20
"""Models and finish reasons that are recorded, at most; a server might name another one in each reply."""


class Oddities:
    """Records which models an endpoint's replies name and how they end, and reports each oddity once.

    asked: the model that is asked for. note: called with a line for the user.
    """

    def __init__(self, asked: str, note: Callable[[str], None]) -> None:
        self._asked = asked
        self._note = note
        self._models: list[str] = []
        self._endings: list[str] = []

    @property
    def seen(self) -> dict[str, Any]:
        """The models that replies named, and their unknown finish reasons, in order of appearance."""
        named = {"models": self._models, "finish_reasons": self._endings}
        return {name: [*values] for name, values in named.items() if values}

    def notes(self, model: str | None, unknown_ending: str | None) -> dict[str, Any] | None:
        """What is odd about a reply, by its model and its unknown finish reason, as its notes; None if nothing is."""
        notes: dict[str, Any] = {}
        if unknown_ending is not None:
            notes["finish_reason"] = ending = hidden(unknown_ending)
            if ending not in self._endings and len(self._endings) < MOST:
                self._endings.append(ending)
                self._note(f"unknown finish reason {ending!r}: its text is used, and not cached")
        if (other := self.note_model(model)) is not None:
            notes["model"] = other
        return notes or None

    def note_model(self, replied: str | None) -> str | None:
        """Record the model that a reply names. Returns it if it is not the one that was asked for."""
        if not replied:
            return None
        model = hidden(replied)
        new = model not in self._models and len(self._models) < MOST
        if new:
            self._models.append(model)
        if same_model(self._asked, replied):
            return None
        if new:
            self._note(f"asked for the model {self._asked!r}, a reply names {model!r}")
        return model


def same_model(asked: str, replied: str) -> bool:
    """Whether a reply's model can be the one that was asked for.

    Makers' prefixes, folders and case do not count; a name without a date or version is an alias of one with it.
    """
    one, other = _model_name(asked), _model_name(replied)
    if one == other:
        return True
    (stem, dated), (other_stem, other_dated) = _undated(one), _undated(other)
    return stem == other_stem and not (dated and other_dated)


def _model_name(name: str) -> str:
    return name.casefold().rstrip("/").rpartition("/")[2].removesuffix(".gguf")


def _undated(name: str) -> tuple[str, bool]:
    """A model's name without `latest`, date or version at its end, and whether it had one of the latter two."""
    alias = re.sub(r"[-:@]latest$", "", name)
    stem = re.sub(r"[-@](?:20\d\d-?\d\d-?\d\d|\d{3,8}|v\d+(?::\d+)?)$", "", alias)
    return stem, stem != alias
