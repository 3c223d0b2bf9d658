"""Writes a checkpoint as it is shipped: half the bytes, and nothing that a plain `from_pretrained` needs to be told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, ProcessorMixin
from transformers.tokenization_utils_base import PreTrainedTokenizerBase


def ship(model: PreTrainedModel, reader: ProcessorMixin | PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a model with its processor or tokenizer: weights as fp16, marked to be loaded as fp32.

    Half precision is for the size of the files only: CPUs compute in it slowly and some not at all.
    """
    model.half().eval()
    model.save_pretrained(folder)
    reader.save_pretrained(folder)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    _mark_as_fp32(config)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    for file in folder.iterdir():
        file.chmod(0o644)  # weights are written for their owner only, and would be packed so


def _mark_as_fp32(config: dict[str, Any]) -> None:
    if "dtype" in config:
        config["dtype"] = "float32"
    for part in config.values():
        if isinstance(part, dict):
            _mark_as_fp32(part)
