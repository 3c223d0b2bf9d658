"""`openai-vision`: any model that sees images behind an OpenAI-compatible endpoint: OpenAI, vLLM, Ollama, llama.cpp."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from chatir.answerers.sighted import Sighted, SightOptions, answer_reply
from chatir.dialog import Dialog, Reply
from chatir.errors import InputError
from chatir.models.chat.endpoint import ChatEndpoint
from chatir.models.chat.image_tokens import most_tokens, typical_tokens
from chatir.models.chat.images import EncodedImage, EncodedImages, ImageOptions
from chatir.models.chat.options import ChatOptions
from chatir.models.chat.player import EndpointPlayer
from chatir.models.completion import Request
from chatir.plugins import Context
from chatir.prompts.estimates import TYPICAL, Estimate, rounds_to_come, tokens_of
from chatir.storage.image_folder import ImageError

MODEL = "gpt-4o-2024-08-06"
"""A snapshot. A photo costs less with it than with gpt-4o-mini, which counts 33 times the tokens for one."""

ANSWER_TOKENS = 3
"""Of a word or two."""


class Options(ChatOptions, ImageOptions, SightOptions):
    """As those of an endpoint, of images that are sent, and of a prompt. max_tokens: new ones per answer."""

    model: str = Field(default=MODEL, min_length=1)
    max_tokens: int = Field(default=32, ge=1)
    prompt: str = "short-answer-chat"


class OpenAIVision(EndpointPlayer, Sighted):
    """Shows the image with each question, in a chat of its own; an image is encoded once a dialog."""

    def __init__(self, options: Options, context: Context) -> None:
        """Named after the model. Raises InputError for a prompt in which the user says nothing."""
        super().__init__(options, chats=True)
        if all(message.role != "user" for message in self.messages(Dialog("", ""), "")):
            raise InputError(f"prompt {options.prompt!r}: has no message by the user, with which the image is shown")
        self.name = re.sub(r"[^\w.-]", "_", options.model.rpartition("/")[2]) or "OpenAIVision"
        self.model = ChatEndpoint(options, context)
        self.image_folder = context.images
        self._images = EncodedImages(context.images, options)
        self._options = options

    @property
    def config(self) -> dict[str, Any]:
        """The model with its options, how images are sent, and the prompt."""
        return {"model": self.model.identity, "images": self._images.identity, **self.shown}

    def request(self, dialog: Dialog, question: str, image: EncodedImage | None = None) -> Request:
        """What the model is asked for, to answer a question about the dialog's image."""
        options = self._options
        tokens = most_tokens(options.model, options.max_side, options.detail)
        return Request(tuple(self.messages(dialog, question)), dialog.seed, image=image, image_tokens=tokens)

    async def answer(self, dialogs: Sequence[Dialog], questions: Sequence[str]) -> list[Reply]:
        """Answer a question about each dialog's image. One that cannot be shown fails its dialog, unasked."""
        seen = await asyncio.gather(*(self._seen(dialog) for dialog in dialogs))
        requests = [
            self.request(dialog, question, image)
            for dialog, question, image in zip(dialogs, questions, seen, strict=True)
            if isinstance(image, EncodedImage)
        ]
        answers = iter(await self.model.complete(requests))
        return [
            Reply.failed(image.kind, str(image))
            if isinstance(image, ImageError)
            else answer_reply(next(answers), asked)
            for image, asked in zip(seen, questions, strict=True)
        ]

    async def _seen(self, dialog: Dialog) -> EncodedImage | ImageError:
        try:
            return await self._images.get(dialog.image)
        except ImageError as error:
            return error

    def max_cost(self, dialog: Dialog, question: str) -> float | None:
        """US dollars that an answer can cost at most; None when the price is unknown."""
        return self.model.max_cost(self.request(dialog, question))

    def estimate(self, dialog: Dialog, rounds: int) -> Estimate:
        """What the rounds that the dialog still lacks will take: calls, tokens and US dollars, roughly."""
        options = self._options
        image = typical_tokens(options.model, options.max_side, options.detail)
        requests = [self.request(dialog, TYPICAL.question) for dialog in rounds_to_come(dialog, rounds)]
        tokens_in = sum(tokens_of(request.messages) + image for request in requests)
        tokens_out = ANSWER_TOKENS * len(requests)
        return Estimate(len(requests), tokens_in, tokens_out, self.model.cost(tokens_in, tokens_out))

    async def close(self) -> None:
        """Close the connections, and forget the images."""
        self._images.clear()
        await self.model.close()
