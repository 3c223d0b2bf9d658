"""What a chat completion says: its text, why it ended, its tokens, and the model that wrote it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from chatir.models.chat.transport.errors import REFUSAL, brief, error_inside, is_error
from chatir.models.chat.transport.retry import RequestError
from chatir.prompts.cleaning.thoughts import without_thoughts

LONGEST_REPLY = 20_000
"""Characters, thoughts not counted; a longer reply to a request for a question or ten is broken."""
MOST_TOKENS_OF_A_REPLY = 10**8
"""Tokens that one request can have read or written; a larger count cannot be true."""
THINKING_OFF = (
    """turn thinking off, with extra={"reasoning_effort": "none"} or """
    """extra={"chat_template_kwargs": {"enable_thinking": false}}, or raise max_tokens"""
)
"""What to do about a model that thinks and says nothing."""

_TELLING = frozenset({"message", "msg", "detail", "errors", "error_msg", "base_resp", "code"})
"""Keys of an error that a server sends as if all were well, without choices."""
_THOUGHT_FIELDS = ("reasoning", "reasoning_content", "reasoning_text", "thinking")
"""Fields of a message in which servers put what a model thinks."""
_DONE = re.compile(
    r"(?:stop(?:ped)?|end|eos|done|finish(?:ed)?|completed?|success|normal|none|null|tool_calls?|tool_use|function_call"
    r"|end_(?:turn|of_(?:text|turn|sequence))|(?:eos|stop)_(?:token|found)"
    r"|(?:matched_)?stop(?:_sequence|_string)?(?:_found)?)?"
)
_CUT = re.compile(
    r"length|(?<!rate_)limit|reached|\bmax\b|max_\w*tokens?|token_limit|error_limit|truncat|context_window",
    re.IGNORECASE,
)
_FAILED = re.compile(
    r"error|abort|fail|network|insufficient|interrupt|cancel|unavailable|overload|time_?d?_?out|exception|crash"
    r"|malformed|disconnect|internal|rate_limit|\boom\b|preempt|unload",
    re.IGNORECASE,
)
Ending = Literal["done", "cut", "refused", "failed", "unknown"]


def _count_or_none(value: Any) -> Any:
    return value if type(value) is int and 0 <= value <= MOST_TOKENS_OF_A_REPLY else None


_Count = Annotated[int | None, BeforeValidator(_count_or_none)]


def _text(content: Any) -> Any:
    """Content as one text: a list's text parts joined, its thoughts and other parts left out."""
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        return content
    texts = [part if isinstance(part, str) else part.get("text") for part in content if _speaks(part)]
    return "".join(text for text in texts if isinstance(text, str))


def _speaks(part: Any) -> bool:
    if not isinstance(part, dict):
        return isinstance(part, str)
    return part.get("type", "text") in ("text", "output_text") and not (part.get("thought") or part.get("thinking"))


class _Message(BaseModel):
    role: str | None = None
    content: Annotated[str | None, BeforeValidator(_text)] = None
    parts: Any = Field(default=None, alias="content")
    refusal: str | None = None
    reasoning: Any = None
    reasoning_content: Any = None
    reasoning_text: Any = None
    thinking: Any = None
    tool_calls: Any = None
    function_call: Any = None
    error: Any = None


class _Choice(BaseModel):
    message: _Message = Field(default_factory=_Message)
    finish_reason: Any = None
    native_finish_reason: Any = None
    error: Any = None


class Usage(BaseModel):
    """Tokens that a reply tells, read (prompt_tokens) and written (completion_tokens); None for what is no count."""

    prompt_tokens: _Count = None
    completion_tokens: _Count = None

    @property
    def complete(self) -> bool:
        """Whether both counts are known."""
        return self.prompt_tokens is not None and self.completion_tokens is not None


class ChatReply(BaseModel):
    """The parts of a chat completion that are used here; whatever else a server sends is ignored."""

    model: Annotated[str | None, BeforeValidator(lambda value: value if isinstance(value, str) else None)] = None
    error: Any = None
    choices: list[_Choice] | None = None
    usage: Annotated[Usage | None, BeforeValidator(lambda value: value if isinstance(value, dict) else None)] = None


@dataclass(frozen=True)
class Spoken:
    """What a reply says.

    cut: whether it was cut off at max_tokens. unknown_ending: a finish reason that is not known, else None. silent:
    why the text is of no use, for one that holds thoughts only.
    """

    text: str
    cut: bool = False
    unknown_ending: str | None = None
    silent: str | None = None


def parsed_reply(body: bytes) -> ChatReply:
    """A reply's body. Raises RequestError for what is no chat completion: cut JSON, a page, an error, wrong UTF-8."""
    try:
        reply = ChatReply.model_validate_json(body.removeprefix(b"\xef\xbb\xbf"))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid" and (failure := _bare_error(body)) is not None:
            raise failure from None
        place = ".".join(map(str, first["loc"])) or "the body"
        told = f"the reply is no chat completion: {place}: {first['msg'].lower()}"
        raise RequestError("broken_reply", told, lost=True) from None
    if is_error(reply.error):
        raise error_inside(reply.error)
    if reply.choices is None and (told := json.loads(body.removeprefix(b"\xef\xbb\xbf"))).keys() & _TELLING:
        raise error_inside(told)
    return reply


def spoken(reply: ChatReply) -> Spoken:
    """What a reply says. Raises RequestError if it says nothing of use."""
    if not reply.choices:
        raise RequestError("empty_reply", "the reply has no choices")
    choice = reply.choices[0]
    message, content = choice.message, choice.message.content or ""
    for error in (choice.error, message.error):
        if is_error(error):
            raise error_inside(error)
    if refusal := message.refusal or next(_refusals(message.parts), None):
        raise RequestError("refused", f"the model refused: {brief(refusal)}")
    reason, native = ("" if one is None else str(one) for one in (choice.finish_reason, choice.native_finish_reason))
    if ending(reason) == "done" and ending(native) in ("refused", "failed", "cut"):
        reason = native  # a gateway's own word for it says less
    match ended := ending(reason):
        case "refused":
            raise RequestError("refused", f"the reply was withheld by a content filter ({brief(reason)})")
        case "failed":
            raise RequestError("server_error", f"the server failed while it replied ({brief(reason)})", lost=True)
    if (message.role or "assistant").lower() not in ("assistant", "model", "bot", "ai"):
        raise RequestError("broken_reply", f"the reply is by {brief(repr(message.role))}, not by the assistant")
    said = without_thoughts(content)
    if len(said) > LONGEST_REPLY:
        raise RequestError("broken_reply", f"the reply has {len(content)} characters")
    if not content.strip() or message.tool_calls or message.function_call:
        raise _silence(message, cut=ended == "cut")
    silent = None if said.strip() else f"the reply holds thoughts only: {THINKING_OFF}"
    return Spoken(content, ended == "cut", reason if ended == "unknown" else None, silent)


def ending(reason: str) -> Ending:
    """How a reply ended, by its finish reason in the words of any server: `stop`, `FinishReason.SAFETY`, `MAX_TOKENS`.

    The order matters: `ERROR_TOXIC` is a refusal, `ERROR_LIMIT` a cut.
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", reason).lower()
    name = re.sub(r"^(?:\w+\.)*(?:finish_?reason[._:\s-]*)?", "", re.sub(r"[\s-]+", "_", words.strip()))
    if _DONE.fullmatch(name):
        return "done"
    for kind, pattern in (("refused", REFUSAL), ("cut", _CUT), ("failed", _FAILED)):
        if pattern.search(name):
            return kind  # type: ignore[return-value]  # the literals of this very line
    return "unknown"


def _bare_error(body: bytes) -> RequestError | None:
    """The error that a server says in plain text, with status 200; None for any other text."""
    text = body[:2000].decode("utf-8", "replace").strip()
    error = error_inside(text) if text and not text.startswith(("{", "[", "<")) else None
    return error if error is not None and error.kind == "unknown_model" else None


def _refusals(parts: Any) -> Iterator[str]:
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, dict) and isinstance(refusal := part.get("refusal"), str) and refusal:
            yield refusal


def _silence(message: _Message, *, cut: bool) -> RequestError:
    """Why a reply says nothing, and what to do about it."""
    if message.tool_calls or message.function_call:
        return RequestError("empty_reply", "the reply calls tools, which nobody offered")
    field = next((name for name in _THOUGHT_FIELDS if _holds_text(getattr(message, name))), None)
    if field is None and _holds_text(message.parts):
        field = "parts of the content that are thoughts"
    elif field is not None:
        field = f"`{field}`"
    if cut:
        where = f", in {field}" if field else ""
        told = f"max_tokens were spent{where} before the model said anything: {THINKING_OFF}"
        return RequestError("cut_off", told)
    if field is not None:
        return RequestError("empty_reply", f"the reply is empty, the text is in {field}: {THINKING_OFF}")
    return RequestError("empty_reply", "the reply is empty")


def _holds_text(value: Any) -> bool:
    """Whether a field or a list of parts holds any text."""
    return bool(value.strip()) if isinstance(value, str) else bool(value) and json.dumps(value) not in ("{}", "[]")
