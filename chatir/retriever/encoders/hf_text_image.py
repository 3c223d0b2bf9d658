"""`hf-text-image`: any model of transformers with text and image features of one space, from the hub or a folder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from chatir.errors import InputError
from chatir.models.local.loading import load_image_processor, load_model, load_tokenizer, model_config, model_identity
from chatir.plugins import Context
from chatir.retriever.encoders.dialog_text import TextReader
from chatir.retriever.encoders.options import ModelOptions, chosen_limit
from chatir.retriever.encoders.two_tower import TwoTower

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

SIGLIP = ("siglip", "siglip2")
"""Kinds that were trained on small letters, padded to their whole width and not told what is padding."""
LONGEST = 100
"""Times its shorter side that an image's longer one counts, where only the center is looked at anyway."""
_UNLIMITED = 10**6
"""What a tokenizer that knows of no limit is above."""


class HFTextImage(TwoTower):
    """Encodes with a model's own text and image features, projected, as its card shows.

    https://huggingface.co/docs/transformers/model_doc/clip, /siglip, /siglip2.
    """

    name = ""
    architecture = "AutoModel"
    kinds: tuple[str, ...] = ()
    """Model types that are taken; any that has the features, if none is named."""

    def __init__(self, options: ModelOptions, context: Context) -> None:
        about = model_identity(options.model, options.revision)
        revision = about.get("revision")
        config = model_config(options.model, revision)
        self._check_kind(options.model, config)
        self._processor = load_image_processor(options.model, revision)
        tokenizer = load_tokenizer(options.model, revision)
        self._source = (options.model, revision)
        if not self.name:
            self.name = re.sub(r"[^\w.-]", "_", about["id"].rpartition("/")[2]) or "HF"
        super().__init__(
            options,
            context,
            _reader(options, tokenizer, config),
            model=about,
            preprocessing=_settings(self._processor),
        )

    def _check_kind(self, model: str, config: Any) -> None:
        from transformers import MODEL_MAPPING

        if self.kinds and config.model_type not in self.kinds:
            raise InputError(f"model {model}: is a {config.model_type}, and no {self.name}: try hf-text-image")
        architecture = MODEL_MAPPING.get(type(config), None)
        features = ("get_text_features", "get_image_features")
        if not self.kinds and not all(hasattr(architecture, name) for name in features):
            raise InputError(f"model {model}: is a {config.model_type}, which has no text and image features")

    def prepare(self, image: Image) -> dict[str, Tensor]:
        """The pixel values of an image, and what else the model takes with them, each [1, ...]."""
        if getattr(self._processor, "do_center_crop", False):
            image = _without_far_ends(image)  # which would be enlarged first, by gigabytes
        return dict(self._processor(images=image, return_tensors="pt"))

    def _loaded(self) -> Any:
        model, revision = self._source
        return load_model(model, revision, self._precision, self.device, self.architecture).model

    def _text_features(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        return _pooled(self._model.get_text_features(input_ids=ids, attention_mask=mask))

    def _image_features(self, prepared: Sequence[Any]) -> Tensor:
        return _pooled(self._model.get_image_features(**self._stacked(prepared)))

    def _stacked(self, prepared: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        import torch

        if len({tuple(each[name].shape for name in each) for each in prepared}) > 1:
            raise InputError(f"model {self._id}: its image processor gives images of several sizes: use batch_size=1")
        stacked = {name: torch.cat([each[name] for each in prepared]).to(self.device) for name in prepared[0]}
        return {name: rows.to(self._dtype) if rows.is_floating_point() else rows for name, rows in stacked.items()}


def _reader(options: ModelOptions, tokenizer: Any, config: Any) -> TextReader:
    """How the model's texts are read. Raises InputError where the tokenizer does not fit the model."""
    text = config.get_text_config()
    known = getattr(text, "vocab_size", None)
    if known is not None and tokenizer.vocab_size > known:
        told = f"its tokenizer has {tokenizer.vocab_size} tokens, but the model knows {known}: is it another model's?"
        raise InputError(f"model {options.model}: {told}")
    positions = getattr(text, "max_position_embeddings", None)
    limits = [limit for limit in (tokenizer.model_max_length, positions) if limit is not None and limit < _UNLIMITED]
    if not limits and options.max_tokens is None:
        raise InputError(f"model {options.model}: does not tell how many tokens it reads: give max_tokens")
    siglip = config.model_type in SIGLIP
    limit = chosen_limit(options.max_tokens, min(limits)) if limits else options.max_tokens
    assert limit is not None
    return TextReader(tokenizer, limit, width=positions if siglip else None, lowercase=siglip)


def _settings(processor: Any) -> dict[str, Any]:
    """What fixes an image processor's pixels; where it was loaded from does not."""
    settings = processor.to_dict()
    names = sorted(name for name in settings if not name.startswith("_") and name != "processor_class")
    return {name: settings[name] for name in names if settings[name] is not None}


def _without_far_ends(image: Image) -> Image:
    """The middle of an image that is far longer than wide: all that a crop of its center can show."""
    width, height = image.size
    most = LONGEST * min(width, height)
    if max(width, height) <= most:
        return image
    left, top = max(0, width - most) // 2, max(0, height - most) // 2
    return image.crop((left, top, width - left, height - top))


def _pooled(output: Any) -> Tensor:
    features: Tensor = getattr(output, "pooler_output", output)
    return features
