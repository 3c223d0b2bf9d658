"""Writes a folder of scenes: pictures, the corpus list of them, and targets with what people said about each."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from chatir.datasets.dialogue_json import dump_dialogs
from chatir.datasets.scenes.drawing import draw
from chatir.datasets.scenes.people import people_dialog
from chatir.datasets.scenes.world import Scene, scenes
from chatir.dialog import Dialog
from chatir.errors import InputError
from chatir.storage.files import atomic_writer, os_error

CORPUS = "corpus.json"
TARGETS = "targets.json"
IMAGES = "images"


def scene_dialogs(count: int, seed: int) -> Iterator[tuple[Scene, Dialog]]:
    """`count` scenes of distinct content, none of which the built-in models were trained on, with their dialogs.

    The same for the same seed; a smaller count gives the first of a larger one.
    """
    for number, scene in enumerate(islice(scenes(seed), count)):
        yield scene, people_dialog(scene, f"{IMAGES}/{seed}-{number:06d}.png", _people(seed, number))


def write_scenes(folder: Path, count: int, seed: int, progress: Callable[[object], None] = lambda done: None) -> None:
    """Write `count` scenes into `folder`: `images/*.png`, `corpus.json` and `targets.json`.

    Byte for byte the same for the same count and seed (Python's `random` and Pillow's PNGs decide, should they ever
    change); written again, they change nothing, and what an interruption left is completed.
    Raises InputError, and overwrites nothing, where the folder holds anything else of these names.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file, but a folder is needed")
    told: dict[str, tuple[Scene, Dialog]] = {}
    for scene, dialog in scene_dialogs(count, seed):
        told[Path(dialog.image).name] = scene, dialog
        progress(f"{len(told)}/{count} scenes")
    dialogs = [dialog for _, dialog in told.values()]
    lists = {folder / TARGETS: _targets(dialogs), folder / CORPUS: _corpus(dialogs)}
    wanted = f"what --count {count} --seed {seed} gives"
    there = {path for path, content in lists.items() if _is_there(path, content, wanted)}
    for path in _visible(folder / IMAGES):
        if path.name not in told or not _is_there(path, _png(told[path.name][0]), wanted):
            raise _other(path, wanted)
        there.add(path)
        progress(f"{len(there)} files are there")
    try:
        (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise os_error(folder / IMAGES, error) from None
    for number, (name, (scene, _)) in enumerate(told.items()):
        progress(f"{number}/{count} pictures")
        if (path := folder / IMAGES / name) not in there:
            _write(path, _png(scene))
    for path, content in lists.items():
        if path not in there:
            _write(path, content)


def _visible(folder: Path) -> list[Path]:
    """The files of a folder, if there is one, but for hidden ones: a run that was killed may have left half of one."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _write(path: Path, content: bytes) -> None:
    with atomic_writer(path) as file:
        file.write(content)


def _is_there(path: Path, content: bytes, wanted: str) -> bool:
    try:
        there = path.read_bytes()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise os_error(path, error) from None
    if there != content:
        raise _other(path, wanted)
    return True


def _other(path: Path, wanted: str) -> InputError:
    return InputError(f"{path}: is there and is not {wanted}; name another folder")


def _targets(dialogs: Sequence[Dialog]) -> bytes:
    file = io.BytesIO()
    dump_dialogs(file, dialogs)
    return file.getvalue()


def _corpus(dialogs: Sequence[Dialog]) -> bytes:
    return json.dumps([dialog.image for dialog in dialogs]).encode("ascii")


def _png(scene: Scene) -> bytes:
    file = io.BytesIO()
    draw(scene).save(file, "PNG")
    return file.getvalue()


def _people(seed: int, number: int) -> random.Random:
    return random.Random(f"people {seed} {number}")  # noqa: S311 - people, not secrets
