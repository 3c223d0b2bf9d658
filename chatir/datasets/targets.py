"""Targets: the images to talk about, read from the files in which the field keeps them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any

from chatir.datasets.dialogue_json import dialogs_of
from chatir.datasets.formats.recognised import READ, recognised, recognised_line
from chatir.datasets.formats.rows import NEEDED, Dialect, jsonl_targets, listed_targets, table_targets
from chatir.datasets.formats.visdial import is_visdial, visdial_targets
from chatir.dialog import Dialog
from chatir.errors import InputError
from chatir.storage.files import open_text, parse_json, read_json

Rows = Callable[[], Iterator[Dialog]]

LINES, DOCUMENTS = (".jsonl", ".ndjson"), (".json", "")
"""Endings that tell what a file should have been, where its content does not; with any other, a table."""
LONG = 2**16
"""Characters of a line that are enough to tell what a file is, unless it begins as an object."""


@dataclass(frozen=True)
class Targets:
    """The targets of a file, in its order; iterate as often as needed.

    The content tells the format, whatever the ending: JSON lines and tables (comma, tab or semicolon) with `image`,
    `caption` and perhaps `id` are streamed; JSON is ChatIR's query JSON, a list of objects with the same keys, or the
    official VisDial JSON, whose images are known by number only. `image_template` makes a path of it; None stands for
    `unlabeled2017/{image_id:012d}.jpg`, and with version 0.9 for the names of COCO's train2014 and val2014.
    What people said (the rounds of the file) becomes `Dialog.said`.

    limit: only the first so many, None for all. Raises InputError for a limit below 1 and, when it is iterated, for
    what is wrong in the file, naming file, row and field, or for a file of another kind, naming that.
    """

    path: Path
    limit: int | None = None
    image_template: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        if self.limit is not None and not 1 <= self.limit <= sys.maxsize:
            raise InputError(f"limit is {self.limit}, but must be at least 1 and a number of targets")

    def __iter__(self) -> Iterator[Dialog]:
        return islice(self._rows(), self.limit)

    @cached_property
    def _rows(self) -> Rows:
        """What reads the file, whose kind is told by its first line."""
        path, ending = self.path, self.path.suffix.lower()
        first, more = _first_line(path)
        if first.startswith("["):
            return self._document(read_json(path))
        if first.startswith("{") and ending not in LINES:
            line = _object(first) if more else parse_json(first, str(path))
            if line is None:
                return self._document(read_json(path))
            if not more and line.keys().isdisjoint(NEEDED):
                return self._document(line)
        if first.startswith("{"):
            line = _object(first) or {}
            if is_visdial(line):
                return self._document(line)
            if not line.keys() >= NEEDED and (told := recognised(line)):
                raise InputError(f"{path}: {told}")
            return partial(jsonl_targets, path)
        if dialect := Dialect.of(first):
            return partial(table_targets, path, dialect)
        if told := recognised_line(first):
            raise InputError(f"{path}: {told}")
        if ending in LINES:
            return partial(jsonl_targets, path)
        return self._document(read_json(path)) if ending in DOCUMENTS else partial(table_targets, path, Dialect())

    def _document(self, content: Any) -> Rows:
        """What reads a whole JSON document. Raises InputError for one of another kind."""
        match content:
            case [{"img": _}, *_]:
                return partial(iter, _dialogue_targets(content, self.path))
            case [{"image": _, "caption": str()}, *_]:
                return partial(iter, list(listed_targets(content, self.path)))
            case _ if is_visdial(content):
                return partial(iter, list(visdial_targets(content, self.path, self.image_template)))
        if told := recognised(content):
            raise InputError(f"{self.path}: {told}")
        if isinstance(content, dict):
            keys = ", ".join(map(repr, [*content][:5])) or "none"
            raise InputError(f"{self.path}: is a JSON object of unknown kind (its keys: {keys}); {READ}")
        return partial(iter, _dialogue_targets(content, self.path))


def _dialogue_targets(content: Any, path: Path) -> list[Dialog]:
    """The targets of dialogue JSON, with what people said. Raises InputError for an empty caption or id too."""
    dialogs = [replace(dialog, rounds=(), said=dialog.rounds) for dialog in dialogs_of(content, path)]
    for number, dialog in enumerate(dialogs):
        for name, text in (("the caption", dialog.caption), ("'id'", dialog.id)):
            if not text.strip():
                raise InputError(f"{path}: entry {number} ({dialog.image!r}): {name} is empty")
    return dialogs


def _first_line(path: Path) -> tuple[str, bool]:
    """The first line of a file that is not blank, and, if it begins an object, whether another one follows.

    Of a line that begins no object, its beginning is enough.
    """
    with open_text(path) as file:
        line = file.readline(LONG)
        while line and not line.strip():
            line = file.readline(LONG)
        is_object = line.lstrip().startswith("{")
        if is_object and not line.endswith(("\n", "\r")):
            line += file.readline()
        return line.strip(), is_object and any(map(str.strip, file))


def _object(line: str) -> dict[str, Any] | None:
    """The object that a line of JSON lines holds, None if it holds none."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
