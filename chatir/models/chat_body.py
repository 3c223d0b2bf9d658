"""The body of a chat request, as it is sent and as the reply cache knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatir.models.completion import Request

if TYPE_CHECKING:
    from chatir.models.chat import ChatOptions


def chat_body(request: Request, options: ChatOptions, *, official: bool, keyed: bool = False) -> dict[str, Any]:
    """What is sent for a request, as the endpoint's options say. official: to OpenAI itself.

    keyed: with an image's hash where its data URL would stand.
    """
    # OpenAI's newer models refuse the old name, and other servers do not know the new one.
    longest = "max_completion_tokens" if official else "max_tokens"
    body: dict[str, Any] = {
        "model": options.model,
        "messages": _messages(request, keyed=keyed),
        longest: request.max_tokens or options.max_tokens,
    }
    if options.temperature is not None:
        body["temperature"] = options.temperature
    if options.seed != "none":
        body["seed"] = request.seed % 2**31 if options.seed == "run" else options.seed
    return body | options.extra


def _messages(request: Request, *, keyed: bool) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": said.role, "content": said.content} for said in request.messages]
    if (image := request.image) is None:
        return messages
    # Chat templates put the image at the start of the chat, and what a server has read of it serves the next round.
    first = next(message for message in messages if message["role"] == "user")
    shown = {"url": f"sha256:{image.sha256}" if keyed else image.url}
    if image.detail != "auto":
        shown["detail"] = image.detail
    first["content"] = [{"type": "image_url", "image_url": shown}, {"type": "text", "text": first["content"]}]
    return messages


def shows_image(body: dict[str, Any]) -> bool:
    """Whether a body holds an image."""
    return any(isinstance(message["content"], list) for message in body["messages"])
