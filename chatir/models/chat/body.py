"""The body of a chat request, as it is sent and as the reply cache knows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chatir.models.chat.options import AUTO, ChatOptions
from chatir.models.completion import Request
from chatir.prompts import Message


def chat_body(request: Request, options: ChatOptions, *, official: bool, keyed: bool = False) -> dict[str, Any]:
    """What is sent for a request, as the endpoint's options say. official: to OpenAI itself.

    keyed: with an image's hash where its data URL would stand.
    """
    body: dict[str, Any] = {
        "model": options.model,
        "messages": _messages(request, options, keyed=keyed),
        tokens_field(options, official=official): request.max_tokens or options.max_tokens,
    }
    if options.temperature is not None:
        body["temperature"] = options.temperature
    if options.seed != "none":
        body["seed"] = request.seed % 2**31 if options.seed == "run" else options.seed
    return body | options.extra


def tokens_field(options: ChatOptions, *, official: bool) -> str:
    """The field that bounds a reply's length."""
    if options.tokens_field != AUTO:
        return options.tokens_field
    # OpenAI's newer models refuse the old name, and many other servers do not know the new one.
    return "max_completion_tokens" if official else "max_tokens"


def arranged(messages: Sequence[Message], options: ChatOptions) -> list[Message]:
    """Messages in the roles and the order that a server takes, as the options `system` and `alternate` say."""
    system = [message.content for message in messages if message.role == "system"]
    others = [message for message in messages if message.role != "system"]
    starts = bool(others) and others[0].role == "user"
    if system and (options.system == "merge" or (options.alternate and not starts)):
        first = [*system, *([others[0].content] if starts else [])]
        messages = [Message("user", "\n\n".join(first)), *others[starts:]]
    if not options.alternate:
        return list(messages)
    joined: list[Message] = []
    for role, content in messages:
        role = "user" if role == "assistant" and all(each.role == "system" for each in joined) else role
        if joined and joined[-1].role == role:
            joined[-1] = Message(role, f"{joined[-1].content}\n\n{content}")
        else:
            joined.append(Message(role, content))
    return joined


def _messages(request: Request, options: ChatOptions, *, keyed: bool) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [
        {"role": said.role, "content": said.content} for said in arranged(request.messages, options)
    ]
    if (image := request.image) is None:
        return messages
    # Chat templates put the image at the start of the chat, and what a server has read of it serves the next round.
    first = next(message for message in messages if message["role"] == "user")
    shown = {"url": f"sha256:{image.sha256}" if keyed else image.url}
    if image.detail != "auto":
        shown["detail"] = image.detail
    first["content"] = [{"type": "image_url", "image_url": shown}, {"type": "text", "text": first["content"]}]
    return messages
