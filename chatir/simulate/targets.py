"""Targets: the images to talk about, read from the files in which the field keeps them."""

from __future__ import annotations

import csv
import string
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from chatir.dialog import Dialog, Round, image_problem, text_problem
from chatir.dialogue_json import dialogs_of
from chatir.errors import InputError
from chatir.files import open_text, parse_json, read_json

Model = TypeVar("Model", bound=BaseModel)

VISDIAL_IMAGE = "unlabeled2017/{image_id:012d}.jpg"
"""Where ChatIR's corpus keeps an image of VisDial v1.0."""


@dataclass(frozen=True)
class Targets:
    """The targets of a file, in its order; iterate as often as needed.

    The ending tells the format: `.jsonl` (or `.ndjson`) and `.csv` with `image`, `caption` and perhaps
    `id` are streamed; any other is ChatIR's query JSON or the official VisDial v1.0 JSON, whose images are
    known by number only: `image_template` makes a path of it.
    What people said (the rounds of the file) becomes `Dialog.said`.

    limit: only the first so many, None for all. Raises InputError for a limit below 1 and, when it is iterated, for
    what is wrong in the file, naming file, row and field.
    """

    path: Path
    limit: int | None = None
    image_template: str = VISDIAL_IMAGE

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        if self.limit is not None and not 1 <= self.limit <= sys.maxsize:
            raise InputError(f"limit is {self.limit}, but must be at least 1 and a number of targets")

    def __iter__(self) -> Iterator[Dialog]:
        match self.path.suffix.lower():
            case ".jsonl" | ".ndjson":
                rows = _jsonl_rows(self.path)
            case ".csv":
                rows = _csv_rows(self.path)
            case _:
                rows = iter(self._from_json)
        return islice(rows, self.limit)

    @cached_property
    def _from_json(self) -> list[Dialog]:
        data = read_json(self.path)
        if isinstance(data, dict):
            return list(_visdial_targets(data, self.path, self.image_template))
        return [replace(dialog, rounds=(), said=dialog.rounds) for dialog in dialogs_of(data, self.path)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True)


class _Row(_Strict):
    image: str
    caption: str
    id: str | None = None

    def target(self, where: str) -> Dialog:
        if problem := image_problem(self.image):
            raise InputError(f"{where}: image path {self.image!r} {problem}")
        for name, text in (("caption", self.caption), ("id", self.id or "")):
            if problem := text_problem(text):
                raise InputError(f"{where}: {name} {problem}")
        return Dialog(self.image, self.caption, id=self.id or None)  # type: ignore[arg-type]


def _jsonl_rows(path: Path) -> Iterator[Dialog]:
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                where = f"{path}: line {number}"
                yield _validated(_Row, parse_json(line.strip(), where), where).target(where)


def _csv_rows(path: Path) -> Iterator[Dialog]:
    with open_text(path) as file:
        records = _csv_records(file, path)
        where, header = next(records, (f"{path}: line 1", []))
        if missing := {"image", "caption"} - set(header):
            raise InputError(f"{where}: no column {sorted(missing)}; the columns are {header}")
        if twice := [name for name in _Row.model_fields if header.count(name) > 1]:
            raise InputError(f"{where}: column {twice} more than once; the columns are {header}")
        for where, record in records:
            if len(record) != len(header):
                raise InputError(f"{where}: has not as many fields as the header ({len(header)})")
            yield _validated(_Row, dict(zip(header, record, strict=True)), where).target(where)


def _csv_records(file: IO[str], path: Path) -> Iterator[tuple[str, list[str]]]:
    """Each record that is not blank, and the line on which it starts (a quoted field may hold several)."""
    records = csv.reader(file, strict=True)
    while True:
        where = f"{path}: line {records.line_num + 1}"
        try:
            record = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(f"{where}: is not valid CSV: {error}") from None
        if record:
            yield where, record


class _VisDialRound(_Strict):
    question: int
    answer: int | None = None


class _VisDialDialog(_Strict):
    image_id: int
    caption: str
    dialog: list[_VisDialRound]


class _VisDialData(_Strict):
    questions: list[str]
    answers: list[str]
    dialogs: list[_VisDialDialog]


class _VisDial(_Strict):
    data: _VisDialData


def _visdial_targets(content: Any, path: Path, template: str) -> Iterator[Dialog]:
    data = _validated(_VisDial, content, f"{path}: VisDial JSON").data
    for name, table in (("questions", data.questions), ("answers", data.answers)):
        for number, text in enumerate(table):
            if problem := text_problem(text):
                raise InputError(f"{path}: data.{name}.{number} {problem}")
    questions = [text if text.rstrip().endswith("?") else f"{text.rstrip()}?" for text in data.questions]
    for number, dialog in enumerate(data.dialogs):
        where = f"{path}: data.dialogs.{number}"
        # The last question of a test dialog has no answer yet: nobody said that round.
        said = tuple(
            Round(
                _at(questions, turn.question, f"{where}: question"), _at(data.answers, turn.answer, f"{where}: answer")
            )
            for turn in dialog.dialog
            if turn.answer is not None
        )
        image = image_from_template(template, dialog.image_id)
        yield replace(_Row(image=image, caption=dialog.caption).target(where), said=said)


def _at(table: list[str], index: int, where: str) -> str:
    if not 0 <= index < len(table):
        raise InputError(f"{where} {index} is not in the table of {len(table)}")
    return table[index]


def image_from_template(template: str, image_id: int) -> str:
    """Make an image path of a VisDial image number. Raises InputError unless the template names just `{image_id}`."""
    try:
        parts = list(string.Formatter().parse(template))
        fields = {name for _, name, _, _ in parts if name is not None}
        fields |= {spec for _, _, spec, _ in parts if spec and "{" in spec}
        if fields != {"image_id"}:
            raise ValueError(f"it names {sorted(fields)}")
        return template.format(image_id=image_id)
    except (ValueError, OverflowError, MemoryError) as error:
        raise InputError(
            f"image template {template!r}: {str(error) or 'too long'}; it must name {{image_id}}, as {VISDIAL_IMAGE!r}"
        ) from None


def _validated(model: type[Model], value: Any, where: str) -> Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the row"
        message = "must be an object" if first["type"] == "model_type" else first["msg"]
        raise InputError(f"{where}: {place}: {message[:1].lower()}{message[1:]}") from None
