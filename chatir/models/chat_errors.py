"""What went wrong with a chat request, told apart by kind: from the errors and replies of OpenAI-compatible servers."""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ValidationError

from chatir.models.retry import TroubleError

LONGEST_REPLY = 20_000
"""Characters, thinking aloud not counted; a longer reply to a request for a question or ten is broken."""
QUOTA = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "access_terminated", "credits_exhausted"}
)
KEYS = frozenset({"invalid_api_key", "invalid_authentication", "account_deactivated"})
REFUSALS = frozenset({"content_filter", "content_policy_violation", "responsible_ai_policy_violation", "moderation"})
_TOO_LONG = re.compile(
    r"\b(?:prompt|input|messages?|request(?:ed)?)\b.{0,120}\b(?:maximum|exceed\w*|larger than|fit)\b.{0,40}\bcontext"
    r"|maximum context length.{0,80}\b(?:requested|messages|prompt|input)\b"
    r"|exceed\w* .{0,40}\bcontext|prompt is too long",
    re.IGNORECASE,
)
"""How servers say that a prompt does not fit, where they have no code for it: vLLM, llama.cpp, Ollama."""
_FLAGGED = re.compile(
    r"\b(?:prompt|input|request|content|messages?)\b.{0,40}\bflagged\b|content (?:management )?policy", re.IGNORECASE
)
"""How servers say that they refuse a text, where they have no code for it."""
_BRIEF = 300


def _count_or_none(value: Any) -> Any:
    return value if type(value) is int and value >= 0 else None


_Count = Annotated[int | None, BeforeValidator(_count_or_none)]


class _Message(BaseModel):
    role: str | None = None
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class Usage(BaseModel):
    """Tokens that a reply tells, read (prompt_tokens) and written (completion_tokens); None for what is no count."""

    prompt_tokens: _Count = None
    completion_tokens: _Count = None


class ChatReply(BaseModel):
    """What of a chat completion counts here; whatever else a server sends is left alone."""

    error: Any = None
    choices: list[_Choice] | None = None
    usage: Annotated[Usage | None, BeforeValidator(lambda value: value if isinstance(value, dict) else None)] = None


def parsed_reply(body: str) -> ChatReply:
    """A reply's body. Raises TroubleError for what is no chat completion: cut JSON, an HTML page, an error."""
    try:
        reply = ChatReply.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        told = f"the reply is no chat completion: {place}: {first['msg'].lower()}"
        raise TroubleError("broken_reply", told) from None
    if reply.error:
        raise _error_inside(reply.error)
    return reply


def _error_inside(error: Any) -> TroubleError:
    """An error that a gateway sends as if all were well, with status 200."""
    told = error if isinstance(error, dict) else {"message": str(error)}
    code = str(told.get("code") or "")
    status = int(code) if re.fullmatch(r"[45]\d\d", code) else 500
    codes = {str(value).lower() for value in (code, told.get("type")) if value}
    message = f"{status}: {brief(str(told.get('message') or error))}"
    return TroubleError(_kind(status, codes, message), message)


def spoken(reply: ChatReply) -> tuple[str, bool]:
    """What a reply says, and whether it was cut off at max_tokens. Raises TroubleError if it says nothing of use."""
    if not reply.choices:
        raise TroubleError("empty_reply", "the reply has no choices")
    choice = reply.choices[0]
    message, content = choice.message, choice.message.content or ""
    if message.refusal:
        raise TroubleError("refused", f"the model refused: {brief(message.refusal)}")
    if choice.finish_reason == "content_filter":
        raise TroubleError("refused", "the reply was withheld by a content filter")
    if message.role not in (None, "assistant"):
        raise TroubleError("broken_reply", f"the reply is by {brief(repr(message.role))}, not by the assistant")
    if len(content.rpartition("</think>")[2]) > LONGEST_REPLY:
        raise TroubleError("broken_reply", f"the reply has {len(content)} characters")
    cut = choice.finish_reason == "length"
    if not content.strip():
        if cut:
            raise TroubleError("cut_off", "max_tokens were spent before the model said anything: give it more")
        raise TroubleError("empty_reply", "the reply is empty")
    return content, cut


def trouble_of(error: Exception) -> TroubleError:
    """An error of the openai client as a TroubleError; anything that is not one of its errors is raised again."""
    import openai

    match error:
        case openai.APITimeoutError() | TimeoutError():
            return TroubleError("timeout", "no reply in time")
        case openai.APIStatusError():
            return _status_trouble(error)
        case openai.APIConnectionError():
            cause = error.__cause__
            told = f": {brief(str(cause))}" if cause is not None and str(cause) else ""
            return TroubleError("connection", f"the connection failed{told}")
        case openai.APIError():
            return TroubleError("broken_reply", f"the reply cannot be read: {brief(error.message)}")
    raise error


def _status_trouble(error: Any) -> TroubleError:
    status, told = error.status_code, f"{error.status_code}: {brief(_told(error))}"
    codes = {str(value).lower() for value in (error.code, error.type) if value}
    return TroubleError(_kind(status, codes, told), told, _retry_after(error.response.headers))


def _kind(status: int, codes: set[str], told: str) -> str:
    """The kind of an error, by its HTTP status, its codes and its words."""
    if status == 402 or codes & QUOTA:
        return "quota"
    if codes & REFUSALS or (status in (400, 403) and _FLAGGED.search(told)):
        return "refused"
    if codes & KEYS:
        return "rejected_key"
    if "model_not_found" in codes:
        return "unknown_model"
    if status in (401, 403):
        return "rejected_key"
    if status == 429:
        return "rate_limit"
    if "context_length_exceeded" in codes or status == 413 or (status < 500 and _TOO_LONG.search(told)):
        return "context_overflow"
    if status == 404:
        return "unknown_model"
    return "server_error" if status >= 500 or status in (408, 409, 425) else "bad_request"


def _told(error: Any) -> str:
    """The server's own words: OpenAI's error object, another's message, or the page's text."""
    body = error.body
    if isinstance(body, dict):
        return str(body.get("message") or body.get("detail") or body)
    return re.sub(r"<[^>]{0,500}>", " ", error.response.text[:5000])


def _retry_after(headers: Any) -> float | None:
    """Seconds that a server asks to be left alone: a number, or a date; None if it does not say."""
    said = headers.get("retry-after")
    if (milliseconds := headers.get("retry-after-ms")) is not None:
        try:
            return max(0.0, float(milliseconds) / 1000)
        except ValueError:
            pass
    if said is None:
        return None
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(said).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if seconds == seconds else None


def brief(text: str) -> str:
    """The beginning of what a server said, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _BRIEF else f"{line[:_BRIEF]}..."
