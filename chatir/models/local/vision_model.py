"""A model at hand that looks at images: each image read and encoded once, its looks batched by length."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chatir.datasets.scenes.names import shown_model
from chatir.dialog import Failure
from chatir.models.cached_completions import Remembered
from chatir.models.completion import Completion
from chatir.models.local.batches import AHEAD, Batches
from chatir.models.local.kept_images import KeptImages
from chatir.plugins import Context
from chatir.storage.image_folder import ImageError, ImageFolder, decoded

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


@dataclass(frozen=True, slots=True)
class _Seen:
    """An image of which a model knows the content, and what it made of it, None if it has made nothing yet."""

    sha256: str
    encoding: Any = None


class LookingModel(ABC):
    """Completes looks, several of one image without reading it again. Subclasses say how a batch is done."""

    backend: str
    """What runs the model, as the reply cache lists it."""

    def __init__(self, context: Context, *, batch_size: int, kept_images: int) -> None:
        """batch_size: looks at once. kept_images: how many stay encoded; the one used longest ago goes first."""
        self.image_folder = context.images
        self._images = ImageFolder(context.images)
        self._remembered = Remembered(context)
        self._progress = context.progress
        self._placed: Mapping[str, Any] = {}
        self._batches = Batches(batch_size, shown_model(self.identity["model"]), context.progress)
        self.batch_size = AHEAD * batch_size
        # A batch needs all of its images at once.
        self._seen: KeptImages[_Seen] = KeptImages(max(kept_images, batch_size), self._given_up)

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What fixes a completion but the look: the `model`, a mapping with its `id`, and how it decodes."""

    def ready(self) -> None:
        """Raise InputError, before a run starts, for what the model lacks."""
        return

    @property
    def provenance(self) -> dict[str, Any]:
        """For the record: where the model is, once it is loaded."""
        return dict(self._placed)

    @abstractmethod
    def _length(self, text: str) -> int:
        """How long a text is to the model; looks of like length share a batch."""

    @abstractmethod
    def _overflow(self, text: str) -> str | None:
        """Why a text is too long for the model, None if it is not."""

    @abstractmethod
    def _prepared(self, picture: Image) -> Any:
        """What the model takes of a picture; several threads ask at once, and hold few pictures for that."""

    @abstractmethod
    def _encoded(self, prepared: Mapping[str, Any]) -> Sequence[Any]:
        """What is kept of some images, one each: their encodings."""

    @abstractmethod
    def _completed(self, looks: Sequence[Look], encodings: Sequence[Any]) -> list[Completion]:
        """Complete a batch. Raises LostImagesError if the model does not have the images any more."""

    def _given_up(self, image: str) -> None:
        """An image had to make room for others; for a model that keeps it elsewhere too."""
        return

    def close(self) -> None:
        """Forget the images: their files may be others when the model is asked again."""
        self._seen.clear()

    def complete(self, looks: Sequence[Look]) -> list[Completion]:
        """Complete each look, in order. An image that cannot be shown, or a text too long, is a failure of its own."""
        contents = self._contents(looks) if self._remembered.on else {}
        return self._remembered.complete(
            [self._key(look, contents) for look in looks],
            lambda places: self._in_batches([looks[place] for place in places], contents),
        )

    def _contents(self, looks: Sequence[Look]) -> dict[str, str]:
        """The hash of each image, but of those that cannot be read."""
        contents = {}
        for image in dict.fromkeys(look.image for look in looks):
            if (seen := self._seen.get(image)) is None:
                try:
                    seen = _Seen(_sha256(self._images.read(image)))
                except ImageError:
                    continue
                self._seen[image] = seen
            contents[image] = seen.sha256
        return contents

    def _key(self, look: Look, contents: Mapping[str, str]) -> dict[str, Any] | None:
        """What fixes a completion: the image counts by its content, whatever its name may mean tomorrow."""
        if look.image not in contents:
            return None
        return {"backend": self.backend, **self.identity, "image": contents[look.image], "text": look.text}

    def _in_batches(self, looks: list[Look], contents: Mapping[str, str]) -> list[Completion]:
        done: dict[int, Completion] = {}
        fits = []
        for place, look in enumerate(looks):
            if (told := self._overflow(look.text)) is not None:
                done[place] = Completion(None, Failure("context_overflow", told))
            else:
                fits.append(place)
        fits.sort(key=lambda place: self._length(looks[place].text), reverse=True)
        done |= self._batches.run(fits, lambda batch: self._batch([looks[place] for place in batch], contents))
        return [done[place] for place in range(len(looks))]

    def _batch(self, looks: list[Look], contents: Mapping[str, str]) -> list[Completion]:
        """One batch; it is asked again if its images are lost while it is."""
        for shown in range(1, LOSSES + 1):
            encodings, failed = self._show(looks, contents)
            able = [look for look in looks if look.image not in failed]
            try:
                answers = iter(self._completed(able, [encodings[look.image] for look in able]) if able else [])
                break
            except LostImagesError:
                self._seen.clear()
                if shown == LOSSES:
                    raise
        return [Completion(None, failed[look.image]) if look.image in failed else next(answers) for look in looks]

    def _show(self, looks: Sequence[Look], contents: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Failure]]:
        """Encodings of the looks' images, and those images that cannot be shown, with the reason."""
        encodings: dict[str, Any] = {}
        failed: dict[str, Failure] = {}
        for image in dict.fromkeys(look.image for look in looks):
            seen = self._seen.get(image)
            encodings[image] = None if seen is None else seen.encoding
        if missing := [image for image, encoding in encodings.items() if encoding is None]:
            hashes, prepared = {}, {}
            with ThreadPoolExecutor(READERS) as readers:
                for image, reading in [(image, readers.submit(self._read, image)) for image in missing]:
                    try:
                        hashes[image], prepared[image] = reading.result()
                    except ImageError as error:
                        failed[image] = Failure(error.kind, str(error))
                    else:
                        if contents.get(image, hashes[image]) != hashes[image]:
                            del prepared[image]
                            self._seen.pop(image, None)
                            failed[image] = Failure("changed_image", f"{image}: has become another image just now")
            for image, encoding in zip(prepared, self._encoded(prepared) if prepared else [], strict=True):
                self._seen[image] = _Seen(hashes[image], encoding)
                encodings[image] = encoding
        return encodings, failed

    def _read(self, image: str) -> tuple[str, Any]:
        content = self._images.read(image)
        return _sha256(content), self._prepared(decoded(image, content))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
