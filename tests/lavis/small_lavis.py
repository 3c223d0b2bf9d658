"""A plugin for the LAVIS worker: the built-in small BLIP-2 as a Blip2T5 of LAVIS, from the folder that it stands in.

The folder is what `converted.py` writes: `weights.pth`, `model.yaml`, `sizes.json` and `t5/`.
"""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import torch
from lavis.common.registry import registry
from lavis.models import Blip2T5
from lavis.models.blip2_models.blip2 import LayerNorm
from lavis.models.blip2_models.Qformer import BertConfig, BertLMHeadModel
from lavis.models.eva_vit import VisionTransformer
from torch import nn
from transformers.activations import ACT2FN

FOLDER = Path(__file__).parent
SIZES = json.loads((FOLDER / "sizes.json").read_text())

print("a library prints to stdout as it is loaded", flush=True)  # which must never spoil the protocol


def chatter(*_) -> None:
    print("a model prints to stdout as it looks", flush=True)
    os.write(1, b"and so does what is written in C\n")


@registry.register_model("small_blip2_t5")
class SmallBlip2T5(Blip2T5):
    PRETRAINED_MODEL_CONFIG_DICT = {"scenes": str(FOLDER / "model.yaml")}  # noqa: RUF012 - as LAVIS has it

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.t5_model.float()  # LAVIS rounds a T5 to bf16 before its weights come; both sides shall have the same
        for module in self.t5_model.modules():  # LAVIS sets flan-t5's
            if hasattr(module, "act"):
                module.act = ACT2FN[SIZES["t5_act"]]
        self.ln_vision.register_forward_hook(chatter)

    @classmethod
    def init_tokenizer(cls) -> None:
        """The Q-Former reads no text."""

    @classmethod
    def init_vision_encoder(cls, *_):
        vision = SIZES["vision"]
        encoder = VisionTransformer(
            img_size=vision["image_size"],
            patch_size=vision["patch_size"],
            embed_dim=vision["hidden_size"],
            depth=vision["num_hidden_layers"],
            num_heads=vision["num_attention_heads"],
            mlp_ratio=vision["intermediate_size"] / vision["hidden_size"],
            qkv_bias=True,
            use_mean_pooling=False,
            norm_layer=partial(nn.LayerNorm, eps=vision["layer_norm_eps"]),
        )
        # LAVIS's own is 1e-5; this model was trained with the epsilon of its other layers.
        return encoder, LayerNorm(vision["hidden_size"], eps=vision["layer_norm_eps"])

    @classmethod
    def init_Qformer(cls, num_query_token, vision_width):  # noqa: N802 - as LAVIS has it
        config = BertConfig(**SIZES["qformer"], vocab_size=1, encoder_width=vision_width, query_length=num_query_token)
        config.add_cross_attention = True
        config.cross_attention_freq = 1
        return BertLMHeadModel(config), nn.Parameter(torch.zeros(1, num_query_token, config.hidden_size))


@registry.register_model("small_whole")
class SmallWhole(SmallBlip2T5):
    """The same, but with a `predict_answers` of its own: the worker refuses it."""

    def predict_answers(self, samples, **decoding):
        return super().predict_answers(samples, **decoding)
