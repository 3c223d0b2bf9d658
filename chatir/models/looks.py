"""A model at hand that looks at images: each image read and encoded once, its looks batched by length."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from chatir.dialog import Failure
from chatir.models.batches import AHEAD, Batches
from chatir.models.completion import Completion
from chatir.models.images import ImageError, ImageFolder
from chatir.models.remembered import Remembered
from chatir.plugins import Context

if TYPE_CHECKING:
    from PIL.Image import Image

READERS = 4
"""Threads that read and decode images."""
LOSSES = 3
"""Times that the images of one batch are brought to hand, at most, before it is answered."""


@dataclass(frozen=True, slots=True)
class Look:
    """A text put to a model about an image: the image's path below the image folder, and the whole prompt."""

    image: str
    text: str


class LostImagesError(Exception):
    """A model no longer has at hand what it had encoded."""


class LookingModel(ABC):
    """Completes looks, several of one image without encoding it again. Subclasses say how a batch is done."""

    def __init__(self, context: Context, *, batch_size: int, kept_images: int) -> None:
        """batch_size: looks at once. kept_images: how many stay encoded; the one used longest ago goes first."""
        self._images = ImageFolder(context.images)
        self._remembered = Remembered(context)
        self._progress = context.progress
        self._batches = Batches(batch_size, self.identity["model"]["id"], context.progress)
        self.batch_size = AHEAD * batch_size
        # A batch needs all of its images at once.
        self._kept_images = max(kept_images, batch_size)
        self._sha256 = lru_cache(maxsize=self._kept_images)(self._images.sha256)

    backend: str
    """What runs the model, as the reply cache lists it."""

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What fixes a completion but the look: the `model`, a mapping with its `id`, and how it decodes."""

    @abstractmethod
    def _length(self, text: str) -> int:
        """How long a text is to the model; looks of like length share a batch."""

    @abstractmethod
    def _overflow(self, text: str) -> str | None:
        """Why a text is too long for the model, None if it is not."""

    @abstractmethod
    def _has(self, image: str) -> bool:
        """Whether an image is encoded and at hand; asked in the order of a batch, just before it is used."""

    @abstractmethod
    def _encode(self, images: Mapping[str, Image]) -> None:
        """Encode images and keep them at hand, giving up others for them."""

    @abstractmethod
    def _completed(self, looks: Sequence[Look]) -> list[Completion]:
        """Complete a batch whose images are at hand. Raises LostImagesError if they no longer are."""

    def complete(self, looks: Sequence[Look]) -> list[Completion]:
        """Complete each look. An image that cannot be shown, or a text too long, is a failure of its own."""
        return self._remembered.complete(
            [self._key(look) for look in looks], lambda places: self._in_batches([looks[place] for place in places])
        )

    def _key(self, look: Look) -> dict[str, Any] | None:
        """What fixes a completion: the image counts by its content, whatever its name may mean tomorrow."""
        if not self._remembered.on:
            return None
        try:
            image = self._sha256(look.image)
        except ImageError:
            return None
        return {"backend": self.backend, **self.identity, "image": image, "text": look.text}

    def _in_batches(self, looks: list[Look]) -> list[Completion]:
        done: dict[int, Completion] = {}
        fits = []
        for place, look in enumerate(looks):
            if (told := self._overflow(look.text)) is not None:
                done[place] = Completion(None, Failure("context_overflow", told))
            else:
                fits.append(place)
        fits.sort(key=lambda place: self._length(looks[place].text), reverse=True)
        done |= self._batches.run(fits, lambda batch: self._batch([looks[place] for place in batch]))
        return [done[place] for place in range(len(looks))]

    def _batch(self, looks: list[Look]) -> list[Completion]:
        """One batch; it is asked again if its images are lost while it is."""
        for losses in range(1, LOSSES + 1):
            failed = self._show(looks)
            seen = [look for look in looks if look.image not in failed]
            try:
                answers = iter(self._completed(seen) if seen else [])
                break
            except LostImagesError:
                if losses == LOSSES:
                    raise
        return [Completion(None, failed[look.image]) if look.image in failed else next(answers) for look in looks]

    def _show(self, looks: Sequence[Look]) -> dict[str, Failure]:
        """Bring the images of some looks to hand; those that cannot be shown, with the reason."""
        names = dict.fromkeys(look.image for look in looks)
        missing = [image for image in names if not self._has(image)]
        failed: dict[str, Failure] = {}
        pictures: dict[str, Image] = {}
        with ThreadPoolExecutor(READERS) as readers:
            for image, reading in [(image, readers.submit(self._images.open, image)) for image in missing]:
                try:
                    pictures[image] = reading.result()
                except ImageError as error:
                    failed[image] = Failure(error.kind, str(error))
        if pictures:
            self._encode(pictures)
        return failed
