"""The data folder: the released files, the images, and the room on its disk; and the environment of LAVIS."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from chatir.commands.doctoring.finding import Finding, State, gigabytes, looked_at
from chatir.datasets.data_folder import CORPUS, IMAGES, RELEASED, TARGETS, ReleasedFile, data_folder, read_corpus
from chatir.datasets.dialogue_json import read_dialogs
from chatir.errors import ChatirError
from chatir.models.lavis.environment import environment
from chatir.storage.files import file_sha256
from chatir.storage.image_names import image_file, image_key

ELSEWHERE = "export CHATIR_DATA=FOLDER"
FETCH = "chatir fetch"
FETCH_IMAGES = "chatir fetch images"
FETCH_CORPUS = "chatir fetch images --whole-corpus"
LAVIS = "chatir lavis install"
LITTLE = 1e9
"""Bytes of a disk below which a download is likely to fill it."""


def data_findings() -> list[Finding]:
    """The data folder and what is in it."""
    folder = data_folder()
    return [
        *looked_at("data folder", ELSEWHERE, lambda: [_folder(folder)]),
        *looked_at("targets", ELSEWHERE, lambda: [_released("targets", folder, [TARGETS])]),
        *looked_at("corpus list", ELSEWHERE, lambda: [_released("corpus list", folder, [CORPUS])]),
        *looked_at("dialogues", ELSEWHERE, lambda: [_released("dialogues", folder, _others())]),
        *looked_at("images", ELSEWHERE, lambda: _images(folder)),
    ]


def has_images() -> bool:
    """Whether the data folder has any image."""
    try:
        root = data_folder() / IMAGES
        return any(file.is_file() for file in root.rglob("*"))
    except OSError:
        return False


def nearest(folder: Path) -> Path:
    """The folder, or the first above it that is there."""
    return next((each for each in (folder, *folder.absolute().parents) if os.path.lexists(each)), Path("/"))


def unusable(folder: Path) -> str | None:
    """Why nothing can be written below a folder that need not be there yet, None if it can."""
    there = nearest(folder)
    if not there.is_dir():
        return f"{there} is no folder"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"{there} cannot be written to"
    return None


def free_bytes(folder: Path) -> int:
    """Bytes that are free on the disk of a folder that need not be there yet. Raises OSError."""
    return shutil.disk_usage(nearest(folder)).free


def _folder(folder: Path) -> Finding:
    if told := unusable(folder):
        return Finding("data folder", "needs", f"{folder}: {told}", ((ELSEWHERE,),))
    free = free_bytes(folder)
    state = "there" if folder.is_dir() else "not there yet"
    told = f"{folder}: {state}; {gigabytes(free)} of its disk are free"
    little = free < LITTLE
    return Finding("data folder", "needs" if little else "ok", told, ((ELSEWHERE,),) if little else ())


def _others() -> list[ReleasedFile]:
    return [each for each in RELEASED if each not in (TARGETS, CORPUS)]


def _released(what: str, folder: Path, files: list[ReleasedFile]) -> Finding:
    """Whether released files are there, with the content that they were released with."""
    there = [file for file in files if (folder / file.name).is_file()]
    for file in there:
        if file_sha256(folder / file.name) != file.sha256:
            path = folder / file.name
            told = f"{path}: is not the released file (its sha256 differs)"
            return Finding(what, "needs", told, ((f"mv '{path}' '{path}.other' && {FETCH}",),))
    if len(there) < len(files):
        told = f"{len(there)} of the {len(files)} others that were released" if len(files) > 1 else "not there"
        return Finding(what, "needs", told, ((FETCH,),))
    return Finding(what, "ok", files[0].name if len(files) == 1 else f"all {len(files)} others that were released")


def _images(folder: Path) -> list[Finding]:
    """How many of the images that the released lists name are there."""
    if not has_images():
        return [
            Finding(
                "images", "needs", "none; only players and retrievers that look at images need them", ((FETCH_IMAGES,),)
            )
        ]
    findings = []
    root = folder / IMAGES
    try:
        wanted = [dialog.image for dialog in read_dialogs(folder / TARGETS.name)]
        findings.append(_counted("images", root, wanted, "the targets", "needs", FETCH_IMAGES))
        wanted = read_corpus(folder / CORPUS.name)
        findings.append(_counted("corpus images", root, wanted, "the corpus", "optional", FETCH_CORPUS))
    except ChatirError:  # a list that is not there is told above
        return findings or [Finding("images", "ok", "some are there; which ones, the missing list would tell")]
    return findings


def _counted(what: str, root: Path, wanted: Sequence[str], whose: str, state: State, mend: str) -> Finding:
    """How many images of a list are there; `state` and `mend` for when they are not all."""
    there = _there(root, wanted)
    told = f"{there:,} of the {len(wanted):,} of {whose}"
    return Finding(what, "ok", told) if there == len(wanted) else Finding(what, state, told, ((mend,),))


def _there(root: Path, images: Iterable[str]) -> int:
    """How many images are there, by one look into each folder."""
    listed: dict[str, set[str]] = {}
    count = 0
    for image in images:
        folder, name = os.path.split(image_key(image))
        if folder not in listed:
            listed[folder] = _names(image_file(root, folder))
        count += name in listed[folder]
    return count


def _names(folder: Path) -> set[str]:
    return {image_key(each.name) for each in folder.iterdir()} if folder.is_dir() else set()


def lavis_findings() -> list[Finding]:
    """LAVIS's environment, as the stamp tells that its installation left when LAVIS had been imported in it."""
    made = environment()
    if not made.folder.exists():
        return [Finding("environment", "optional", "not installed; the answerer 'blip2-lavis' runs in it", ((LAVIS,),))]
    if made.versions is None:
        return [Finding("environment", "broken", f"{made.folder}: is not whole, or of another chatir", ((LAVIS,),))]
    listed = ", ".join(f"{name} {version}" for name, version in made.versions.items() if name != "cuda")
    return [Finding("environment", "ok", listed)]
