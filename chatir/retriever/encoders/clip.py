"""`clip`: any CLIP of transformers, by default ViT-B/16; most read 77 tokens, which long dialogs pass."""

from __future__ import annotations

from chatir.models.local.model_name import ModelName
from chatir.plugins import Context
from chatir.retriever.encoders.hf_text_image import HFTextImage
from chatir.retriever.encoders.options import ModelOptions


class Options(ModelOptions):
    """As those of any model; `openai/clip-vit-base-patch16` is the paper's zero-shot baseline."""

    model: ModelName = "openai/clip-vit-base-patch16"


class CLIP(HFTextImage):
    """Radford et al., 2021: https://arxiv.org/abs/2103.00020."""

    name = "CLIP"
    kinds = ("clip",)

    def __init__(self, options: Options, context: Context) -> None:
        super().__init__(options, context)
