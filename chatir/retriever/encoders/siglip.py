"""`siglip`: SigLIP and SigLIP2, by default SigLIP base; they read 64 tokens, which long dialogs pass."""

from __future__ import annotations

from chatir.models.local.model_name import ModelName
from chatir.plugins import Context
from chatir.retriever.encoders.hf_text_image import SIGLIP, HFTextImage
from chatir.retriever.encoders.options import ModelOptions


class Options(ModelOptions):
    """As those of any model."""

    model: ModelName = "google/siglip-base-patch16-224"


class SigLIP(HFTextImage):
    """Zhai et al., 2023: https://arxiv.org/abs/2303.15343; Tschannen et al., 2025: https://arxiv.org/abs/2502.14786."""

    name = "SigLIP"
    kinds = SIGLIP

    def __init__(self, options: Options, context: Context) -> None:
        super().__init__(options, context)
