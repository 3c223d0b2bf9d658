"""`chatgpt`: ChatGPT, or any model behind an OpenAI-compatible endpoint, on the paper's few-shot prompt as a chat."""

from __future__ import annotations

from pydantic import Field

from chatir.models.chat.endpoint import ChatEndpoint
from chatir.models.chat.options import ChatOptions
from chatir.plugins import Context
from chatir.questioners.prompted import PromptedEndpoint, PromptOptions

MODEL = "gpt-4o-mini-2024-07-18"
"""The paper does not say which ChatGPT it asked; this is a snapshot that does not change under its name."""


class Options(ChatOptions, PromptOptions):
    """As those of an endpoint, and of a prompt. model: a snapshot, unless another is named."""

    model: str = Field(default=MODEL, min_length=1)


class ChatGPT(PromptedEndpoint):
    """Asks each next question in a chat of its own, which holds the dialog so far."""

    name = "ChatGPT"

    def __init__(self, options: Options, context: Context) -> None:
        self.model = ChatEndpoint(options, context)
        super().__init__(options)
