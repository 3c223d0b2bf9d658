"""Rows that are targets, with `image`, `caption` and perhaps `id`: JSON lines, tables, and lists of objects."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from chatir.dialog import Dialog, text_problem
from chatir.errors import InputError
from chatir.storage.files import open_text, parse_json
from chatir.storage.image_names import image_problem

Model = TypeVar("Model", bound=BaseModel)

NEEDED = {"image", "caption"}
"""The columns that a table of targets has at least."""


class Strict(BaseModel):
    """What a file holds, nothing converted."""

    model_config = ConfigDict(strict=True)


class Row(Strict):
    """One target of a file."""

    image: str
    caption: str
    id: str | None = None

    def target(self, where: str) -> Dialog:
        """The target of a row. Raises InputError, naming `where` it stands, for texts that no target can have."""
        if problem := image_problem(self.image):
            raise InputError(f"{where}: image path {self.image!r} {problem}")
        for name, text in (("caption", self.caption), ("id", self.id)):
            if text is None:
                continue
            if problem := text_problem(text) or (None if text.strip() else "is empty"):
                raise InputError(f"{where}: {name} {problem}")
        return Dialog(self.image, self.caption, id=self.id)  # type: ignore[arg-type]


def validated(model: type[Model], value: Any, where: str) -> Model:
    """A value as a model. Raises InputError that names `where` it stands and the field."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the row"
        message = "must be an object" if first["type"] == "model_type" else first["msg"]
        raise InputError(f"{where}: {place}: {message[:1].lower()}{message[1:]}") from None


def listed_targets(rows: list[Any], path: Path) -> Iterator[Dialog]:
    """The targets of a JSON list of objects. Raises InputError for one that is none."""
    for number, row in enumerate(rows):
        where = f"{path}: entry {number}"
        yield validated(Row, row, where).target(where)


def jsonl_targets(path: Path) -> Iterator[Dialog]:
    """The targets of JSON lines, read as they are asked for. Raises InputError for a line that is none."""
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                where = f"{path}: line {number}"
                yield validated(Row, parse_json(line.strip(), where), where).target(where)


@dataclass(frozen=True)
class Dialect:
    """How a table is written. delimiter: what stands between its fields. spaced: whether a space follows it."""

    delimiter: str = ","
    spaced: bool = False

    @classmethod
    def of(cls, header: str) -> Dialect | None:
        """The dialect in which a line is the header of a table of targets, None if there is none."""
        for delimiter in (",", "\t", ";"):
            dialect = cls(delimiter, f"{delimiter} " in header)
            with suppress(csv.Error):
                if set(next(dialect.records([header]), [])) >= NEEDED:
                    return dialect
        return None

    def records(self, lines: IO[str] | list[str]) -> Any:
        """A reader of records, which counts its lines."""
        return csv.reader(lines, delimiter=self.delimiter, skipinitialspace=self.spaced, strict=True)


def table_targets(path: Path, dialect: Dialect) -> Iterator[Dialog]:
    """The targets of a table with a header, read as they are asked for. Raises InputError for a row that is none."""
    with open_text(path) as file:
        records = _records(file, path, dialect)
        where, header = next(records, (f"{path}: line 1", []))
        if missing := NEEDED - set(header):
            raise InputError(f"{where}: no column {sorted(missing)}; the columns are {header}")
        if twice := [name for name in Row.model_fields if header.count(name) > 1]:
            raise InputError(f"{where}: column {twice} more than once; the columns are {header}")
        for where, record in records:
            if len(record) != len(header):
                raise InputError(f"{where}: has not as many fields as the header ({len(header)})")
            fields: dict[str, str | None] = dict(zip(header, record, strict=True))
            fields["id"] = fields.get("id") or None  # an empty field is how a table says that there is none
            yield validated(Row, fields, where).target(where)


def _records(file: IO[str], path: Path, dialect: Dialect) -> Iterator[tuple[str, list[str]]]:
    """Each record that is not blank, and the line on which it starts (a quoted field may hold several)."""
    records = dialect.records(file)
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
