"""What all two-tower retrievers do alike: dialogs and images to unit vectors, in order, nothing encoded twice."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chatir.datasets.scenes.names import shown_model
from chatir.dialog import Dialog
from chatir.errors import InputError
from chatir.models.hardware.devices import checked_device, chosen_device
from chatir.models.hardware.fp32 import keep_fp32
from chatir.models.hardware.gpu_errors import loading_errors
from chatir.models.local.batches import free_memory
from chatir.plugins import Context
from chatir.retriever.encoders.dialog_text import Row, TextReader, dialog_text
from chatir.retriever.encoders.options import BATCH_TOKENS, EncoderOptions
from chatir.retriever.encoders.token_batches import BudgetedBatches
from chatir.storage.files import os_error
from chatir.storage.image_folder import MAX_BYTES, ImageError, decoded
from chatir.storage.plain_data import plain_data

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from torch import Tensor

READERS = 4
"""Threads that read, decode and prepare images."""


class TwoTower(ABC):
    """A text encoder and an image encoder into one space, loaded when one of them is first asked.

    A text's vector does not hang on the batch it is in, but for the last digits. Subclasses load the model and say
    what it makes of a batch.
    """

    name: str

    def __init__(
        self,
        options: EncoderOptions,
        context: Context,
        reader: TextReader,
        *,
        model: dict[str, str],
        preprocessing: dict[str, Any],
        tokenizer: dict[str, str] | None = None,
    ) -> None:
        """model: what it is, with its `id`; tokenizer: the same of its tokenizer, where that is no part of it."""
        self.batch_size = options.batch_size
        self._device = options.device
        images = {"model": model, "precision": options.precision, "preprocessing": preprocessing}
        texts = {"separator": options.separator, "max_tokens": reader.limit}
        self.image_config = plain_data(images, f"{shown_model(model)}: config")
        self.config = self.image_config | texts | ({"tokenizer": tokenizer} if tokenizer else {})
        self._id = shown_model(model)
        self._precision = options.precision
        self._separator = options.separator
        self._reader = reader
        self._progress = context.progress
        batch_tokens = options.batch_tokens or BATCH_TOKENS[checked_device(options.device)]
        self._text_batches = BudgetedBatches(batch_tokens, "tokens", self._id, context.progress)
        self._image_batches = BudgetedBatches(options.batch_size, "images", self._id, context.progress)

    @cached_property
    def device(self) -> str:
        """Where it encodes, and ranking is to happen: chosen when it is first asked, after players may have loaded."""
        return chosen_device(self._device)

    @abstractmethod
    def prepare(self, image: Image) -> Any:
        """What the image encoder takes of a decoded RGB image; several threads may ask at once."""

    @abstractmethod
    def _loaded(self) -> Any:
        """The model, on its device, ready to encode."""

    @abstractmethod
    def _text_features(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """What the model makes of token ids [n, length], on its device; mask: None where all is to be read."""

    @abstractmethod
    def _image_features(self, prepared: Sequence[Any]) -> Tensor:
        """What the model makes of prepared images."""

    def encode_dialogs(self, dialogs: Sequence[Dialog | str]) -> Tensor:
        """Unit vectors [n, d], float32 on the CPU, in order; what reads the same is encoded once.

        Raises InputError for a text that has no vector, or where not even one text fits into memory.
        """
        texts = [dialog_text(dialog, self._separator) for dialog in dialogs]
        if not texts:
            return self.encode_dialogs([""])[:0]
        unique = list(dict.fromkeys(texts))
        rows = dict(zip(unique, self._reader.rows(unique), strict=True))
        places = {row: place for place, row in enumerate(dict.fromkeys(rows.values()))}  # cut texts may be the same
        distinct = list(places)

        def encode(batch: list[int]) -> Tensor:
            return self._encoded_rows([distinct[place] for place in batch])

        vectors = self._text_batches.run([self._reader.cost(row) for row in distinct], encode)
        found = vectors[[places[rows[text]] for text in texts]]
        return _unit(found, lambda place: f"the text {texts[place][:60]!r}", self._id)

    def truncated(self, dialogs: Sequence[Dialog | str]) -> list[bool]:
        """Whether the text of each dialog is longer than the model reads."""
        texts = [dialog_text(dialog, self._separator) for dialog in dialogs]
        unique = list(dict.fromkeys(texts))
        overlong = dict(zip(unique, self._reader.overlong(unique), strict=True))
        return [overlong[text] for text in texts]

    def encode_images(self, images: Sequence[Path]) -> Tensor:
        """Unit vectors [n, d] of image files, float32 on the CPU, in order. Raises InputError for a broken one."""
        import torch

        found = []
        with ThreadPoolExecutor(READERS) as readers:
            for start in range(0, len(images), self.batch_size):
                some = images[start : start + self.batch_size]
                prepared = list(readers.map(self._read, some))
                found.append(self._image_vectors(prepared, [str(path) for path in some]))
        return torch.cat(found) if found else self.encode_dialogs([])

    def encode_prepared(self, prepared: Sequence[Any]) -> Tensor:
        """Unit vectors [n, d], float32 on the CPU, of what `prepare` gave."""
        if not prepared:
            return self.encode_dialogs([])
        names = [f"image {number} of {len(prepared)}" for number in range(1, len(prepared) + 1)]
        return self._image_vectors(prepared, names)

    def close(self) -> None:
        """Forget the model, and its memory; it is loaded again when it is asked again."""
        self.__dict__.pop("_model", None)
        free_memory()

    @cached_property
    def _model(self) -> Any:
        self._progress(f"loading {self._id} ({self._precision})")
        if self._precision == "fp32":
            keep_fp32()
        with loading_errors(self._id):
            return self._loaded()

    @property
    def _dtype(self) -> torch.dtype:
        import torch

        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self._precision]

    def _encoded_rows(self, rows: Sequence[Row]) -> Tensor:
        ids, mask = self._reader.padded(rows)
        on = self.device

        def features() -> Tensor:
            return self._text_features(ids.to(on), None if mask is None else mask.to(on))

        return self._encoded(features)

    def _image_vectors(self, prepared: Sequence[Any], names: Sequence[str]) -> Tensor:
        def encode(batch: list[int]) -> Tensor:
            return self._encoded(lambda: self._image_features([prepared[place] for place in batch]))

        vectors = self._image_batches.run([1] * len(prepared), encode)
        return _unit(vectors, lambda place: names[place], self._id)

    def _encoded(self, features: Callable[[], Tensor]) -> Tensor:
        """One batch's vectors, not yet of length 1."""
        import torch

        self._model  # noqa: B018 - loading is no part of what a smaller batch could mend
        with torch.inference_mode():
            found = features()
            if not isinstance(found, torch.Tensor) or found.dim() != 2:
                what = f"{found.dim() - 1}-d" if isinstance(found, torch.Tensor) else type(found).__name__
                raise InputError(f"model {self._id}: gives no single vector a text or image, but {what}")
            return found.float().cpu()

    def _read(self, path: Path) -> Any:
        return self.prepare(read_image(path))


def read_image(path: Path) -> Image:
    """An image file, decoded: RGB, upright. Raises InputError, which names the file."""
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is no file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise os_error(path, error) from None
    if len(content) > MAX_BYTES:
        raise InputError(f"{path}: has more than {MAX_BYTES:,} bytes")
    try:
        return decoded(str(path), content)
    except ImageError as error:
        raise InputError(str(error)) from None


def _unit(vectors: Tensor, name: Callable[[int], str], model: str) -> Tensor:
    """Vectors of length 1. Raises InputError for one without a direction."""
    lengths = vectors.double().norm(dim=1, keepdim=True)
    if not bool((usable := (lengths.isfinite() & (lengths > 0)).flatten()).all()):
        place = int((~usable).nonzero()[0])
        told = "zero" if lengths[place] == 0 else "not finite"
        raise InputError(f"{name(place)}: its vector is {told}: use another precision of {model}, or other weights")
    unit: Tensor = (vectors / lengths).float()
    return unit
