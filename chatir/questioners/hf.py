"""`hf`: any encoder-decoder or causal language model of transformers, from the hub or a folder, on a GPU or without."""

from __future__ import annotations

import re

from chatir.models.local.text_model import LocalModel, LocalOptions
from chatir.plugins import Context
from chatir.questioners.prompted import PromptedModel, PromptOptions


class Options(LocalOptions, PromptOptions):
    """As those of a model at hand, and of a prompt."""


class HF(PromptedModel):
    """Shows a model the prompt, as a chat if it has a template for chats, and takes its question."""

    def __init__(self, options: Options, context: Context, name: str | None = None) -> None:
        """Named after the model's folder, or its name on the hub, unless `name` is given."""
        self.model = LocalModel.of(options, context)
        self.name = name or re.sub(r"[^\w.-]", "_", self.model.identity["id"].rpartition("/")[2]) or "HF"
        super().__init__(options)
