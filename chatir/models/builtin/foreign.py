"""What the built-in models know nothing of: images that are no scenes, and captions in words that no scene has."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from chatir.datasets.scenes.drawing import is_scene
from chatir.datasets.scenes.names import BUILT_IN, built_in_models
from chatir.dialog import Dialog
from chatir.models.builtin import checkpoints
from chatir.storage.image_folder import ImageError, ImageFolder
from chatir.storage.plain_data import brief

READER = f"{BUILT_IN}t5"
"""The model that knows an image by its caption only."""


class ForeignTargets:
    """Looks, as targets come, for one that built-in models know nothing of, and says so once.

    It looks at the first, the second, the fourth and so on: at few of many. An image that cannot be read is passed
    over.
    """

    def __init__(self, configs: Iterable[Mapping[str, Any]], images: Path | None, note: Callable[[str], None]) -> None:
        """configs: of the players. images: the folder they look in, if any. note: called with the line."""
        models = [model for config in configs for model in built_in_models(config)]
        self._reading = [model for model in models if model == READER]
        self._looking = [model for model in models if model != READER]
        self._folder = ImageFolder(images)
        self._note = note
        self._count = 0
        self._told = not models

    def check(self, target: Dialog, rounds: int) -> None:
        """Look at the next target; `rounds` does not matter."""
        self._count += 1
        if self._told or not _is_looked_at(self._count):
            return
        foreign_image = bool(self._looking) and _is_foreign(self._folder, target.image)
        foreign_caption = bool(self._reading) and not _words(target.caption) <= _known_words()
        if foreign_image or foreign_caption:
            self._told = True
            models = self._reading * foreign_caption + self._looking * foreign_image
            about = target.image if foreign_image else f"one captioned {brief(target.caption)}"
            self._note(foreign_line(models, about))


def foreign_image(images: Sequence[str], root: Path) -> str | None:
    """An image below `root` that is no scene, None if there is none among those that are looked at, as in targets."""
    folder = ImageFolder(root)
    some = (image for place, image in enumerate(images, start=1) if _is_looked_at(place))
    return next((image for image in some if _is_foreign(folder, image)), None)


def foreign_line(models: Sequence[str], about: str) -> str:
    """The warning that built-in models are used for images that they know nothing of. about: one of these images."""
    named = " and ".join(dict.fromkeys(models))
    are, know = ("are small models", "they know") if " and " in named else ("is a small model", "it knows")
    return (
        f"{named} {are} trained on the pictures that 'chatir scenes' draws: {know} nothing of photographs or other "
        f"images, such as {about}, and figures from them mean nothing"
    )


def _is_looked_at(number: int) -> bool:
    return number & (number - 1) == 0


def _is_foreign(folder: ImageFolder, image: str) -> bool:
    try:
        return not is_scene(folder.open(image))
    except ImageError:
        return False


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", unicodedata.normalize("NFKC", text).lower()))


@cache
def _known_words() -> frozenset[str]:
    """The words that the questioner was trained on."""
    tokenizer = json.loads((checkpoints()[READER.removeprefix(BUILT_IN)] / "tokenizer.json").read_text("utf-8"))
    return frozenset(tokenizer["model"]["vocab"])
