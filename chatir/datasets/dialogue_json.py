"""Dialogue JSON: the released format, `[{"img": ..., "dialog": [caption, "question? answer", ...]}, ...]`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from chatir.dialog import Dialog, Round, text_problem
from chatir.errors import InputError
from chatir.storage.files import atomic_writer, os_error, read_json
from chatir.storage.image_names import dialog_key, image_problem


@dataclass(frozen=True, slots=True)
class Entry:
    """One dialog as the file holds it: `texts[0]` is the caption, the others are rounds.

    where: file and number of the entry, for error messages. img: the image's path. extra: further keys of the entry.
    """

    where: str
    img: str
    texts: list[str]
    extra: dict[str, Any]


def read_entries(path: Path | str) -> Iterator[Entry]:
    """Read a dialogue file as it stands, checking types but not sense.

    Raises InputError that names the file and the entry (counted from 0).
    """
    path = Path(path)
    yield from _entries(read_json(path), path)


def _entries(data: Any, path: Path) -> Iterator[Entry]:
    if not isinstance(data, list):
        raise InputError(f"{path}: is {_kind(data)}, but a dialogue file is a list of {{img, dialog}} objects")
    for number, item in enumerate(data):
        yield _entry(item, f"{path}: entry {number}")


def _entry(item: Any, where: str) -> Entry:
    if not isinstance(item, dict):
        raise InputError(f"{where}: is {_kind(item)}, but must be an object with 'img' and 'dialog'")
    extra = dict(item)
    img, texts = extra.pop("img", None), extra.pop("dialog", None)
    if not isinstance(img, str):
        raise InputError(f"{where}: 'img' is {_kind(img)}, but must be the image's path")
    if not isinstance(texts, list) or not texts:
        raise InputError(f"{where} ({img!r}): 'dialog' is {_kind(texts)}, but must be a list: caption, then rounds")
    for place, text in enumerate([img, *texts], start=-1):
        name = "'img'" if place < 0 else "the caption" if place == 0 else f"round {place}"
        if not isinstance(text, str):
            raise InputError(f"{where} ({img!r}): {name} is {_kind(text)}, but must be text")
        if problem := text_problem(text):
            raise InputError(f"{where} ({img!r}): {name} {problem}")
    identity = extra.get("id", img)
    if not isinstance(identity, str):
        raise InputError(f"{where} ({img!r}): 'id' is {_kind(identity)}, but must be text")
    if problem := text_problem(identity):
        raise InputError(f"{where} ({img!r}): 'id' {problem}")
    return Entry(where, img, texts, extra)


def _kind(value: Any) -> str:
    if value is None:
        return "missing or null"
    if isinstance(value, list | str) and not value:
        return "empty"
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return names[type(value)]


def read_dialogs(path: Path | str) -> list[Dialog]:
    """Read a dialogue file, whoever made it.

    Nothing is lost: each round keeps its exact text, so that `write_dialogs` gives the same JSON back.
    Raises InputError for what is no dialogue file, for an image path that is absolute or leads out of
    its root, and for an image named twice without an `id`.
    """
    path = Path(path)
    check_there(path)
    return dialogs_of(read_json(path), path)


def check_there(path: Path) -> None:
    """Raise InputError for a dialogue file that is not there, or not yet."""
    try:
        path.stat()
    except FileNotFoundError as error:
        if path.with_suffix(".run").is_file():
            told = f"is written when its run has ended; 'chatir simulate' continues {path.stem}.run"
            raise InputError(f"{path}: {told}") from None
        raise os_error(path, error) from None
    except OSError as error:
        raise os_error(path, error) from None


def dialogs_of(data: Any, path: Path) -> list[Dialog]:
    """What `read_dialogs` gives, for a file that has been read; raises InputError as it does."""
    dialogs: list[Dialog] = []
    seen: dict[str, str] = {}
    for entry in _entries(data, path):
        if problem := image_problem(entry.img):
            raise InputError(f"{entry.where}: image path {entry.img!r} {problem}")
        dialog = entry_dialog(entry)
        key = dialog_key(dialog.id, dialog.image)
        if key in seen:
            raise InputError(
                f"{entry.where}: {dialog.id!r} is named twice (first at {seen[key]}); "
                "give each entry an 'id' of its own"
            )
        seen[key] = entry.where.rpartition(": ")[2]
        dialogs.append(dialog)
    return dialogs


def entry_dialog(entry: Entry) -> Dialog:
    """The dialog that a file's entry tells of."""
    rounds = tuple(map(Round.parse, entry.texts[1:]))
    # An id that only repeats the image is kept as an extra key, or else it would not be written back.
    extra = {key: value for key, value in entry.extra.items() if key != "id" or value == entry.img}
    return Dialog(entry.img, entry.texts[0], rounds, id=entry.extra.get("id"), extra=extra)  # type: ignore[arg-type]


def write_dialogs(path: Path | str, dialogs: Iterable[Dialog]) -> None:
    """Write a dialogue file, atomically; the dialogs may come from a generator.

    Raises InputError when the file cannot be written; what was there before is then untouched.
    """
    with atomic_writer(Path(path)) as file:
        dump_dialogs(file, dialogs)


def dump_dialogs(file: IO[bytes], dialogs: Iterable[Dialog]) -> None:
    """Write dialogs as JSON, byte for byte as `json.dump` writes the whole list."""
    file.write(b"[")
    for number, dialog in enumerate(dialogs):
        file.write(b", " * (number > 0))
        file.write(json.dumps(_item(dialog)).encode("ascii"))
    file.write(b"]")


def _item(dialog: Dialog) -> dict[str, Any]:
    item: dict[str, Any] = {"img": dialog.image, "dialog": [dialog.caption, *map(str, dialog.rounds)]}
    if dialog.id != dialog.image:
        item["id"] = dialog.id
    return item | dict(dialog.extra)
