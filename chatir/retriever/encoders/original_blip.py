"""Reads checkpoints of the original BLIP code, as ChatIR's authors released theirs, into transformers' modules."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel

from chatir.errors import InputError
from chatir.storage.files import os_error

HEAD = 64
"""Width of an attention head, in both towers of every BLIP."""
UNUSED = re.compile(
    r"(visual_encoder|text_encoder|vision_proj|text_proj)_m\..*"  # momentum copies
    r"|(image|text|idx|ptr)_queue|queue_ptr|temp|itm_head\..*|text_decoder\..*"
    r"|text_encoder\..*\.crossattention\..*|text_encoder\.embeddings\.position_ids"
)
"""What training or matching needs, and retrieval does not."""
_ORIGINAL = (
    ("vision_model.embeddings.class_embedding", "visual_encoder.cls_token"),
    ("vision_model.embeddings.position_embedding", "visual_encoder.pos_embed"),
    ("vision_model.embeddings.patch_embedding", "visual_encoder.patch_embed.proj"),
    ("vision_model.encoder.layers", "visual_encoder.blocks"),
    ("vision_model.post_layernorm", "visual_encoder.norm"),
    (".self_attn.qkv.", ".attn.qkv."),
    (".self_attn.projection.", ".attn.proj."),
    (".layer_norm", ".norm"),
)
"""Parts of names in transformers, and in the original code."""


@dataclass(frozen=True)
class Sizes:
    """What the shapes in a checkpoint tell of its model.

    width, layers, inner: of the image encoder, inner being the width within its feed-forward layers; text_width,
    text_layers, text_inner: of the text encoder. patch, image: pixels along a side. vocabulary, positions: tokens that
    are known, and that are read at most. space: numbers in a vector.
    """

    width: int
    layers: int
    inner: int
    patch: int
    image: int
    text_width: int
    text_layers: int
    text_inner: int
    vocabulary: int
    positions: int
    space: int


class Towers(nn.Module):
    """The two encoders and their projections, without cross-attention and matching head."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        vision = BlipVisionConfig(
            hidden_size=sizes.width, intermediate_size=sizes.inner, num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.width // HEAD, image_size=sizes.image, patch_size=sizes.patch,
            hidden_act="gelu", layer_norm_eps=1e-6,
        )  # fmt: skip
        text = BlipTextConfig(
            vocab_size=sizes.vocabulary, hidden_size=sizes.text_width, intermediate_size=sizes.text_inner,
            num_hidden_layers=sizes.text_layers, num_attention_heads=sizes.text_width // HEAD,
            max_position_embeddings=sizes.positions, hidden_act="gelu", layer_norm_eps=1e-12, is_decoder=False,
        )  # fmt: skip
        self.vision_model = BlipVisionModel(vision)
        self.text_encoder = BlipTextModel(text, add_pooling_layer=False)
        self.vision_proj = nn.Linear(sizes.width, sizes.space)
        self.text_proj = nn.Linear(sizes.text_width, sizes.space)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that fits: its sizes, and its weights [...] by their names in transformers, not yet in memory."""

    sizes: Sizes
    weights: Mapping[str, Tensor]

    def towers(self, device: str, dtype: torch.dtype) -> Towers:
        """The model, ready to encode."""
        with torch.device("meta"):
            towers = Towers(self.sizes)
        weights = {name: tensor.to(device, dtype, copy=True) for name, tensor in self.weights.items()}
        towers.load_state_dict(weights, assign=True)
        positions = torch.arange(self.sizes.positions, device=device).expand((1, -1))
        towers.text_encoder.embeddings.register_buffer("position_ids", positions, persistent=False)  # meta until now
        return towers.eval().requires_grad_(False)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a file that `torch.save` wrote of BLIP's weights, alone or under "model"; no code of it is run.

    Raises InputError, one line, for a file that is none, is damaged, or holds another model's weights.
    """
    content = _content(path)
    state = content.get("model", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise InputError(f"{path}: holds no weights by their names, as a checkpoint of BLIP does")
    tensors = {name: _sound(path, name, value) for name, value in state.items() if not UNUSED.fullmatch(name)}
    sizes = _sizes(path, tensors)
    with torch.device("meta"):
        wanted = {name: tensor.shape for name, tensor in Towers(sizes).state_dict().items()}
    weights = {name: tensors.pop(_original(name), None) for name in wanted}
    if lacking := [_original(name) for name, tensor in weights.items() if tensor is None]:
        raise InputError(f"{path}: is no whole checkpoint of BLIP: it lacks {_first(lacking)}")
    if tensors:
        raise InputError(f"{path}: is no checkpoint of BLIP for retrieval: it also holds {_first([*tensors])}")
    fitting = {name: tensor for name, tensor in weights.items() if tensor is not None and tensor.shape == wanted[name]}
    if others := [_original(name) for name in wanted if name not in fitting]:
        raise InputError(f"{path}: is no checkpoint of BLIP: these do not have the shape of the rest: {_first(others)}")
    return Checkpoint(sizes, fitting)


def _content(path: Path) -> Any:
    try:
        if not path.is_file():
            raise InputError(f"{path}: {'is no file' if path.exists() else 'there is no such file'}")
        with warnings.catch_warnings(action="ignore"):  # of other files' pickles
            # Mapped, a tensor is read when it is used: momentum copies and optimizer states never are.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except OSError as error:
        raise os_error(path, error) from None
    except InputError:
        raise
    except Exception as error:  # a damaged file can make the reader raise anything
        told = "is damaged, is no checkpoint, or holds more than weights, which is not run"
        raise InputError(f"{path}: cannot be read: it {told} ({type(error).__name__})") from None


def _sound(path: Path, name: str, value: Any) -> Tensor:
    """A tensor of weights that is all in the file; one may claim more numbers than it has."""
    plain = isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"
    if not plain or not value.is_floating_point() or value.untyped_storage().nbytes() < value.nbytes:
        raise InputError(f"{path}: is no checkpoint of BLIP: {name} is no plain tensor of weights")
    return value  # type: ignore[no-any-return]


def _sizes(path: Path, tensors: Mapping[str, Tensor]) -> Sizes:
    def shape(name: str, dimensions: int) -> torch.Size:
        if name not in tensors:
            raise InputError(f"{path}: is no checkpoint of BLIP for retrieval: it lacks {name}")
        if tensors[name].dim() != dimensions or 0 in tensors[name].shape:
            raise InputError(f"{path}: is no checkpoint of BLIP: {name} has the shape {list(tensors[name].shape)}")
        return tensors[name].shape

    def layers(prefix: str) -> int:
        return len({name[len(prefix) :].partition(".")[0] for name in tensors if name.startswith(prefix)})

    width, _, patch, _ = shape("visual_encoder.patch_embed.proj.weight", 4)
    patches = shape("visual_encoder.pos_embed", 3)[1] - 1
    vocabulary, text_width = shape("text_encoder.embeddings.word_embeddings.weight", 2)
    if width % HEAD or text_width % HEAD or isqrt(patches) ** 2 != patches:
        told = f"widths of {width} and {text_width} with {patches} patches are none of its sizes"
        raise InputError(f"{path}: is no checkpoint of BLIP: {told}")
    return Sizes(
        width=width,
        layers=layers("visual_encoder.blocks."),
        inner=shape("visual_encoder.blocks.0.mlp.fc1.weight", 2)[0],
        patch=patch,
        image=isqrt(patches) * patch,
        text_width=text_width,
        text_layers=layers("text_encoder.encoder.layer."),
        text_inner=shape("text_encoder.encoder.layer.0.intermediate.dense.weight", 2)[0],
        vocabulary=vocabulary,
        positions=shape("text_encoder.embeddings.position_embeddings.weight", 2)[0],
        space=shape("text_proj.weight", 2)[0],
    )


def _original(name: str) -> str:
    if not name.startswith("vision_model."):  # the text encoder has kept its names
        return name
    for ours, original in _ORIGINAL:
        name = name.replace(ours, original)
    return name


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
