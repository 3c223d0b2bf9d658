"""`chatir`: the dialog-trained BLIP of ChatIR's authors, or any retrieval checkpoint of the original BLIP code."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chatir.errors import InputError
from chatir.models.hardware.placement import claim
from chatir.models.local.loading import model_identity
from chatir.plugins import Context
from chatir.retriever.encoders.blip import image_features, text_features
from chatir.retriever.encoders.dialog_text import TextReader
from chatir.retriever.encoders.options import EncoderOptions, chosen_limit
from chatir.retriever.encoders.two_tower import TwoTower
from chatir.storage.files import file_sha256

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

TOKENS = 200
"""Tokens that the paper's retriever reads."""
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Of CLIP's images."""
_TOKENIZER_FILES = (
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)


class Options(EncoderOptions):
    """A checkpoint, and the tokenizer that such files come without.

    checkpoint: a file such as `chatir_weights.ckpt` or BLIP's `model_base_retrieval_coco.pth`. tokenizer: BERT's,
    a folder (a bare `vocab.txt` in it is enough) or a hub id. max_tokens: 200 unless given, as in the paper.
    """

    checkpoint: Path
    tokenizer: str = "bert-base-uncased"


class ChatIR(TwoTower):
    """Levy et al., 2023: https://arxiv.org/abs/2305.20062; the original code's vectors within 1e-5.

    Raises InputError for a file that is no checkpoint of BLIP, and for a tokenizer that does not fit it.
    """

    name = "ChatIR"

    def __init__(self, options: Options, context: Context) -> None:
        from chatir.retriever.encoders.original_blip import read_checkpoint

        self._path = options.checkpoint
        sizes = read_checkpoint(self._path).sizes
        tokenizer, about_tokenizer = _load_tokenizer(options.tokenizer)
        if len(tokenizer) != sizes.vocabulary:
            told = f"knows {sizes.vocabulary} tokens, but the tokenizer {options.tokenizer} has {len(tokenizer)}"
            raise InputError(f"{self._path}: {told}, [DEC] and [ENC] included: is it that of bert-base-uncased?")
        limit = chosen_limit(options.max_tokens, min(TOKENS, sizes.positions), most=sizes.positions)
        self._size = sizes.image
        super().__init__(
            options,
            context,
            TextReader(tokenizer, limit),
            model={"id": self._path.name, "sha256": file_sha256(self._path)},
            preprocessing={"size": self._size, "resample": "bicubic", "mean": MEAN, "std": STD},
            tokenizer=about_tokenizer,
        )

    def prepare(self, image: Image) -> Tensor:
        """Pixel values [3, size, size], the image squashed into a square."""
        import numpy as np
        import torch
        from PIL.Image import Resampling

        pixels = np.asarray(image.resize((self._size, self._size), Resampling.BICUBIC), dtype=np.float32) / 255
        normal = (pixels - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
        return torch.from_numpy(normal).permute(2, 0, 1).contiguous()

    def _loaded(self) -> Any:
        from chatir.retriever.encoders.original_blip import read_checkpoint

        towers = read_checkpoint(self._path).towers(self.device, self._dtype)
        claim(towers)
        return towers

    def _text_features(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        return text_features(self._model, ids, mask)

    def _image_features(self, prepared: Sequence[Tensor]) -> Tensor:
        import torch

        return image_features(self._model, torch.stack([*prepared]).to(self.device, self._dtype))


def _load_tokenizer(tokenizer: str) -> tuple[Any, dict[str, str]]:
    """BERT's tokenizer with the two tokens of BLIP, and what it is. Raises InputError if it is not there."""
    from transformers import BertTokenizer

    folder = Path(tokenizer)
    if folder.is_dir():
        files = [folder / name for name in _TOKENIZER_FILES if (folder / name).is_file()]
        contents = "".join(f"{file.name} {file_sha256(file)}\n" for file in files)
        about = {"id": folder.resolve().name, "sha256": hashlib.sha256(contents.encode()).hexdigest()}
        if not files:
            raise InputError(f"tokenizer {tokenizer}: there is no vocab.txt")
    else:
        about = model_identity(tokenizer, None)
    try:
        loaded: Any = BertTokenizer.from_pretrained(tokenizer, revision=about.get("revision", "main"))
    except Exception as error:  # transformers raises whatever its parsers meet
        raise InputError(f"tokenizer {tokenizer}: cannot be loaded ({type(error).__name__})") from None
    loaded.add_special_tokens({"bos_token": "[DEC]"})
    loaded.add_tokens(["[ENC]"], special_tokens=True)
    return loaded, about
