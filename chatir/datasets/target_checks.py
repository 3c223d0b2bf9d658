"""Dialogs as targets: checked one by one as they come, or all before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

from chatir.datasets.targets import Targets
from chatir.dialog import Dialog, Round, text_problem
from chatir.errors import InputError
from chatir.storage.image_names import dialog_key, image_file, image_problem
from chatir.storage.plain_data import plain_data

Check = Callable[[Dialog, int], None]


def _as_target(dialog: Dialog, place: int, rounds: int, checks: list[Check]) -> Dialog:
    """A dialog as a target: nothing asked yet, what people said kept apart, checked."""
    if not isinstance(dialog, Dialog):
        raise InputError(f"target {place}: is {type(dialog).__name__}, but must be a Dialog")
    where = f"target {place} ({dialog.id!r})"
    for name in ("image", "caption", "id"):
        if not isinstance(getattr(dialog, name), str):
            raise InputError(f"{where}: its {name} is {getattr(dialog, name)!r}, but must be text")
    for name in ("caption", "id"):
        if not getattr(dialog, name).strip():
            raise InputError(f"{where}: its {name} is empty")
    if problem := image_problem(dialog.image):
        raise InputError(f"{where}: image path {dialog.image!r} {problem}")
    said = dialog.said or dialog.rounds
    if not all(isinstance(turn, Round) for turn in said):
        raise InputError(f"{where}: what people said must be given as Rounds")
    if dialog.extra:
        plain_data(dict(dialog.extra), f"{where}: extra")
    for text in (dialog.id, dialog.caption, *(part for turn in said for part in (turn.question, turn.answer))):
        if problem := text_problem(text):
            raise InputError(f"{where}: {text!r} {problem}")
    target = Dialog(dialog.image, dialog.caption, said=said, id=dialog.id, extra=dialog.extra)
    for check in checks:
        check(target, rounds)
    return target


class ImagesThere:
    """Looks, before anybody is asked, whether the targets' images are where they should be."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._count = 0
        self._missing: dict[int, str] = {}

    def check(self, target: Dialog, rounds: int) -> None:
        """Note whether the image of a target, the next one, is there; `rounds` does not matter."""
        if not _is_file(image_file(self._root, target.image)):
            self._missing[self._count] = target.image
        self._count += 1

    @property
    def any_missing(self) -> bool:
        """Whether some image is not there."""
        return bool(self._missing)

    def told(self, is_done: Callable[[int], bool] | None = None) -> str | None:
        """A line about missing images of dialogs that are not yet played to the end, None if there are none.

        is_done: whether the dialog of the target at a position is; without it, none is.

        Raises InputError if the folder holds no image at all, and one is needed.
        """
        needed = [image for position, image in self._missing.items() if not (is_done and is_done(position))]
        if not needed:
            return None
        first = needed[0]
        if len(self._missing) == self._count:
            meant = (
                f"name --images {self._root.parent}"
                if _is_file(image_file(self._root.parent, first))
                else "name another --images"
            )
            raise InputError(
                f"{self._root}: contains none of the targets' images (for example {first}); {meant}, or 'chatir fetch "
                "images' brings those of VisDial"
            )
        return (
            f"the images of {len(needed)} of {self._count} targets are missing from {self._root} or are not regular "
            f"files (for example {first}); their dialogs will fail"
        )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long, a folder that may not be looked into
        return False


def checked_targets(targets: Iterable[Dialog], rounds: int, checks: list[Check]) -> Iterator[Dialog]:
    """The dialogs as targets, each checked as it comes. Raises InputError."""
    for place, dialog in enumerate(targets):
        yield _as_target(dialog, place, rounds, checks)


def first_of(targets: Iterable[Dialog]) -> tuple[Dialog | None, Iterable[Dialog]]:
    """The first of some targets, None if there is none, and all of them, the first of a generator among them."""
    first = next(iter(targets), None)
    return first, chain([first], targets) if iter(targets) is targets and first is not None else targets


def check_all_targets(targets: Iterable[Dialog], rounds: int, checks: list[Check]) -> int:
    """Check every target before anything is written; how many there are.

    Raises InputError for one that is wrong, for an id that comes twice, and for no target at all.
    """
    places: dict[str, int] = {}
    for place, target in enumerate(checked_targets(targets, rounds, checks)):
        if (first := places.setdefault(dialog_key(target.id, target.image), place)) != place:
            where = f"{targets.path}: " if isinstance(targets, Targets) else ""
            twice = f"{target.id!r} is named twice (first as target {first})"
            raise InputError(f"{where}target {place}: {twice}; give each an 'id' of its own, as '{target.image}#0'")
    if not places:
        raise InputError("there are no targets")
    return len(places)
