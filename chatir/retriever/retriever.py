"""What a retriever is: an image encoder and a dialog encoder into one space, found by name as players are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from chatir.datasets.scenes.names import shown_name
from chatir.dialog import Dialog
from chatir.errors import InputError
from chatir.plugins import Context, build
from chatir.storage.plain_data import plain_data

if TYPE_CHECKING:
    from torch import Tensor


class Retriever(Protocol):
    """Encodes dialogs and images as unit vectors of one space; their similarity is the cosine.

    `config` is plain data, all that fixes the vectors: an index and ranks are known by it. A retriever may have these
    attributes too:

    - `name`: what it is called in files (default: its class's name)
    - `image_config`: the part of `config` that fixes the vectors of images (all of it)
    - `batch_size`: images encoded at once (32)
    - `device`: where ranking is to happen (`"cpu"`)
    - `truncated(dialogs)`: whether the text of each is longer than the model reads
    - `prepare(image)`, for a decoded RGB image, and `encode_prepared(prepared)`, for a list of what it gave: with both,
      an index decodes and prepares images in several threads while others are encoded
    - `close()`: called when it is not needed any more
    """

    config: Mapping[str, Any]

    def encode_dialogs(self, dialogs: Sequence[Dialog | str]) -> Tensor:
        """Unit vectors [n, d], float32 on the CPU, in order. A text is encoded as it stands."""
        ...

    def encode_images(self, images: Sequence[Path]) -> Tensor:
        """Unit vectors [n, d] of image files, float32 on the CPU, in order."""
        ...


def load_retriever(name: str, **options: Any) -> Retriever:
    """Build a retriever by its name in `chatir list retrievers`, with the options that are listed there.

    Options may be typed, or text as a user types it. Raises InputError for a name or an option that is not known, a
    wrong value, and a missing dependency.
    """
    return checked_retriever(build("retrievers", name, options, Context()))


def checked_retriever(retriever: object) -> Retriever:
    """A retriever, if it has the methods of one. Raises InputError if not."""
    for method in ("encode_dialogs", "encode_images"):
        if not callable(getattr(retriever, method, None)):
            raise InputError(f"{type(retriever).__name__} has no method {method}(); see 'chatir list retrievers'")
    return cast("Retriever", retriever)


def declared(retriever: Retriever, attribute: str, default: Any) -> Any:
    """An attribute that a retriever may have. Raises InputError if it cannot be had."""
    try:
        return getattr(retriever, attribute, default)
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        raise InputError(f"{type(retriever).__name__}: its {attribute} cannot be had: {told}") from error


@dataclass(frozen=True)
class Identity:
    """What of a retriever fixes its vectors: its name and its config, as plain data.

    image_config: the part of it that fixes the vectors of images.
    """

    name: str
    config: dict[str, Any]
    image_config: dict[str, Any]

    @property
    def shown(self) -> str:
        """The name as people read it."""
        return shown_name(self.name, self.config)

    @classmethod
    def of(cls, retriever: Retriever) -> Identity:
        """Read what a retriever declares. Raises InputError if it declares no config, or what JSON cannot hold."""
        name = declared(retriever, "name", None) or type(retriever).__name__
        if not isinstance(name, str):
            raise InputError(f"{type(retriever).__name__}: its name is {name!r}, but must be text")
        if (config := declared(retriever, "config", None)) is None:
            raise InputError(f"{name}: declares no config, by which its vectors are told from another's")
        config = plain_data(config, f"{name}: config")
        image_config = plain_data(declared(retriever, "image_config", config), f"{name}: image_config")
        return cls(name, config, image_config)
