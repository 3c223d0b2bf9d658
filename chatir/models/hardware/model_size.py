"""How much memory the weights of a model take, in each precision, counted without loading it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

Precision = Literal["auto", "fp32", "bf16", "fp16", "8bit", "4bit"]
ROOM = 1.4
"""Times the weights that a model takes: beams, batches and the buffers of 8-bit come on top."""
BYTES = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "8bit": 1.0, "4bit": 0.5 + 4 / 64}
"""Of a weight; in 4-bit with the float32 scale that each block of 64 has."""


@dataclass(frozen=True)
class ModelSize:
    """Numbers of weights.

    quantized: those of the linear layers that bitsandbytes quantizes in 8-bit and 4-bit. kept: all others. kept_fp32:
    those among them that transformers leaves in fp32 where a model is loaded in fp16.
    """

    quantized: int
    kept: int
    kept_fp32: int = 0

    @property
    def parameters(self) -> int:
        """All weights."""
        return self.quantized + self.kept

    def weights(self, precision: str, around: str = "bf16") -> float:
        """Bytes of the weights in a precision. around: that of the layers which are not quantized."""
        kept = around if precision in ("8bit", "4bit") else precision
        more = 2 * self.kept_fp32 if kept == "fp16" else 0
        return BYTES[precision] * self.quantized + BYTES[kept] * self.kept + more

    def room(self, precision: str, around: str = "bf16") -> float:
        """Bytes to count on when the model runs."""
        return ROOM * self.weights(precision, around)


def model_size(architecture: Any, config: Any) -> ModelSize | None:
    """Count the weights of an architecture of transformers, of which no memory is taken.

    None where that cannot be counted, and for a checkpoint that is quantized already.
    """
    import torch
    from transformers.pytorch_utils import Conv1D
    from transformers.quantizers.base import HfQuantizer
    from transformers.quantizers.quantizers_utils import should_convert_module

    if getattr(config, "quantization_config", None) is not None:
        return None
    try:
        with torch.device("meta"):
            if hasattr(architecture, "from_config"):  # without a word, it would ask whether to run its author's code
                model = architecture.from_config(config, trust_remote_code=False)
            else:
                model = architecture._from_config(config)
    except Exception:  # an architecture may compute with its weights as it is made
        return None
    in_fp32 = list(model._keep_in_fp32_modules or ())
    skipped = HfQuantizer.get_modules_to_not_convert(model, None, in_fp32)
    linear = {
        f"{name}.weight"
        for name, layer in model.named_modules()
        if (type(layer) is torch.nn.Linear or isinstance(layer, Conv1D)) and should_convert_module(name, skipped)
    }
    sizes = {name: weight.numel() for name, weight in model.named_parameters() if name not in _tied(model)}
    fp32 = re.compile("|".join(rf"(?:^|\.){name}(?:\.|$)" for name in in_fp32) or r"(?!)")
    quantized = sum(size for name, size in sizes.items() if name in linear)
    kept_fp32 = sum(size for name, size in sizes.items() if fp32.search(name))
    return ModelSize(quantized, sum(sizes.values()) - quantized, kept_fp32)


def _tied(model: Any) -> set[str]:
    """Names of weights that are the same tensor as another."""
    return set(getattr(model, "all_tied_weights_keys", {}))
