"""`blip`: BLIP for image-text retrieval as transformers has it, by default the base model fine-tuned on COCO."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from chatir.models.local.model_name import ModelName
from chatir.plugins import Context
from chatir.retriever.encoders.hf_text_image import HFTextImage
from chatir.retriever.encoders.options import ModelOptions

if TYPE_CHECKING:
    from torch import Tensor


class Options(ModelOptions):
    """As those of any model."""

    model: ModelName = "Salesforce/blip-itm-base-coco"


class BLIP(HFTextImage):
    """The contrastive towers of a BLIP, without its matching head. Li et al., 2022: https://arxiv.org/abs/2201.12086."""

    name = "BLIP"
    kinds = ("blip",)
    architecture = "BlipForImageTextRetrieval"

    def __init__(self, options: Options, context: Context) -> None:
        super().__init__(options, context)

    def _text_features(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        return text_features(self._model, ids, mask)

    def _image_features(self, prepared: Sequence[Any]) -> Tensor:
        return image_features(self._model, self._stacked(prepared)["pixel_values"])


def text_features(model: Any, ids: Tensor, mask: Tensor | None) -> Tensor:
    """Projected [CLS] of each text, the image unseen: ids [n, tokens] to [n, d]."""
    features: Tensor = model.text_proj(model.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0])
    return features


def image_features(model: Any, pixels: Tensor) -> Tensor:
    """Projected first position of each image: pixels [n, 3, side, side] to [n, d]."""
    features: Tensor = model.vision_proj(model.vision_model(pixel_values=pixels).last_hidden_state[:, 0])
    return features
