"""What went wrong with a chat request: its kind, by the status, codes and words of OpenAI-compatible servers."""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from chatir.models.chat.transport.retry import RequestError

QUOTA = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "access_terminated", "credits_exhausted"}
)
KEYS = frozenset(
    {"invalid_api_key", "api_key_invalid", "invalid_authentication", "account_deactivated", "unauthenticated"}
)
_NO_CREDIT = re.compile(
    r"credit balance|(?:insufficient|not enough|no|out of|run out of) (?:\w+ )?(?:credits?|balance|funds)\b"
    r"|insufficient balance|payment required|arrears|overdue|free tier .{0,40}exhausted|\u4f59\u989d\u4e0d\u8db3",
    re.IGNORECASE,
)
"""How servers say that the account has no money left, where they have no code for it."""
_KEY_NOT_VALID = re.compile(
    r"api[ _-]?key (?:is )?(?:not valid|invalid|expired|not found)|(?:invalid|incorrect|wrong|expired) api[ _-]?key",
    re.IGNORECASE,
)
REFUSAL = re.compile(
    r"safety|recitation|(?<!ip_)block(?!chain|ed_(?:ip|country|region|user|account))|prohibit|spii|filter|refusal"
    r"|invalid_prompt|sensitive|moderat|toxic|policy|guardrail|violat|inspect|censor|armor|harm(?!on)|flagged|copyright|inappropriate"
    r"|jailbreak",
    re.IGNORECASE,
)
"""Parts of the codes and finish reasons by which servers refuse content."""
RATE_LIMITS = frozenset({"rate_limit_exceeded", "rate_limit_error", "too_many_requests"})
_WHO = re.compile(
    r"(?<![a-z])(?:ip|accounts?|organi[sz]ation|org|project|billing|countr(?:y|ies)|region|territory|network|firewall"
    r"|gateway|subscription|api[ _-]?keys?)(?![a-z])|policy_not_accepted",
    re.IGNORECASE,
)
"""What a 403 speaks of that is about who asks, not about what is asked."""
_REFUSED_TEXT = re.compile(
    r"\b(?:prompt|input|output|request|content|messages?|image|text)s?\b.{0,40}"
    r"\b(?:flagged|inappropriate|unsafe|harmful|sensitive|prohibited|blocked)\b"
    r"|\b(?:inappropriate|unsafe|harmful|sensitive|prohibited|disallowed)\b.{0,20}\bcontent"
    r"|content (?:\w+ )?(?:policy|filter|moderation|guidelines|risk)|safety (?:system|filter|check|polic)"
    r"|violat\w* .{0,40}\b(?:usage|content|safety|policy|policies|guidelines|terms)\b|usage guidelines"
    r"|\u654f\u611f|\u4e0d\u5b89\u5168|\u8fdd\u89c4",
    re.IGNORECASE,
)
"""How servers refuse a text or an image where they have no code for it."""
_TOO_LONG = re.compile(
    r"\b(?:prompt|inputs?|messages?|request(?:ed)?|conversation|tokens?)\b.{0,160}"
    r"\b(?:maximum|exceed\w*|(?:larger|longer|greater|more|less) than|over|fit|too (?:long|large|many)|overflows?|only"
    r"|must be <=)(?!\w).{0,80}\b(?:context|model length|max_model_len|(?:sequence|prompt|input) length|tokens)\b"
    r"|maximum (?:context|prompt|model|input|sequence) length.{0,80}"
    r"\b(?:requested|messages|prompt|input|request|contains)\b"
    r"|exceed\w* .{0,40}\bcontext|(?:prompt|input|request) is too long|context .{0,20}overflow"
    r"|too many (?:input )?tokens|reduce the length of the (?:messages|prompt|input)"
    r"|range of input length|exceed\w* (?:the )?(?:model(?:'s)? )?(?:token|max_seq_len|\w+ length|limit)"
    r"|(?:context|token) (?:window|size|limit) exceed|input too long|must be at least 1, got -",
    re.IGNORECASE,
)
"""How servers say that a prompt does not fit: vLLM, SGLang, TGI, llama.cpp, Ollama, LM Studio, Gemini, xAI, Mistral."""
_VALUE_TOO_LARGE = re.compile(r"^\W*\d*\W*['\"`]?max(?:_completion|_output|_new)?_tokens\b", re.IGNORECASE)
"""The beginning of a complaint about the requested length of the reply, which is not about the prompt."""
_KEY_WORDS = re.compile(
    r"api[ _-]?key|\bbearer\b|credential|authenticat|unauthori[sz]ed|invalid token|(?:missing|no) .{0,20}\btoken",
    re.IGNORECASE,
)
_NO_ENDPOINT = re.compile(
    r"(?:unexpected|unknown|invalid|unsupported|no such|unrecogni[sz]ed) (?:endpoint|route|path|url)|cannot post"
    r"|(?:endpoint|route|path|url) (?:was )?not found|no route|404 page not found|^not found$",
    re.IGNORECASE,
)
"""How servers say that the address is wrong, some of them with status 200."""
ABOUT_IMAGES = re.compile(
    r"image|vision|visual|multi-?modal|modalit|content\b.{0,60}\b(?:string|str|text only|array|list|parts?)\b",
    re.IGNORECASE,
)
"""How servers say that they, or their model, take no images."""
_BRIEF = 300
_LONGEST_TEXT = 5000


@dataclass(frozen=True)
class Complaint:
    """What a server says where it refuses: its words, its codes in lower case, and the parameters they are about."""

    words: str
    codes: frozenset[str] = frozenset()
    parameters: tuple[str, ...] = field(default=())

    @property
    def whole(self) -> str:
        """The words after the names of the parameters."""
        return " ".join((*self.parameters, self.words))


def status_error(status: int, headers: Mapping[str, str], content: bytes, url: str) -> RequestError:
    """The error that a reply with a status other than 2xx is. url: what was asked, for a redirect."""
    if 300 <= status < 400:
        target = urljoin(url, headers.get("location", ""))
        place = urlsplit(target)._replace(query="", fragment="").geturl().removesuffix("/chat/completions")
        return RequestError("redirect", f"{status}: the server redirects to {brief(place)}")
    text = content[: 4 * _LONGEST_TEXT].decode("utf-8", "replace")
    complaint = _complaint(text)
    kind = kind_of(status, complaint)
    told = f"{'access denied: ' * (kind == 'access_denied')}{status}: {brief(complaint.words)}"
    # What a gateway gives up on may have been computed, and charged, behind it.
    lost = status in (408, 500, 502, 504) or 520 <= status <= 527
    return RequestError(kind, told, _retry_after(headers), lost=lost, said=complaint.whole)


def is_error(error: Any) -> bool:
    """Whether the field `error` of a reply holds one: some servers send `ok`, or the code 0, with good replies."""
    if isinstance(error, dict):
        return bool(error) and str(error.get("code")).lower() not in ("0", "200", "ok", "success")
    return bool(error) and str(error).strip().lower() not in ("ok", "none", "null", "success", "0")


def error_inside(error: Any) -> RequestError:
    """An error that a server sends as if all were well, with status 200, alone or in a choice."""
    complaint = _complaint_of(error if isinstance(error, dict) else {"message": str(error)})
    status = next((int(code) for code in complaint.codes if re.fullmatch(r"[45]\d\d", code)), 500)
    message = f"{status}: {brief(complaint.words)}"
    if _NO_ENDPOINT.search(complaint.words):
        return RequestError("unknown_model", brief(complaint.words), said=complaint.whole)
    kind = kind_of(status, complaint)
    return RequestError(kind, message, lost=kind == "server_error", said=complaint.whole)


def kind_of(status: int, complaint: Complaint) -> str:
    """The kind of an error, by its HTTP status, its codes and its words."""
    words, codes = complaint.words, complaint.codes
    if status == 402 or codes & QUOTA or (status in (400, 403, 429, 500) and _NO_CREDIT.search(words)):
        return "quota"
    if status == 429 or codes & RATE_LIMITS:
        return "rate_limit"
    if "model_not_found" in codes:
        return "unknown_model"
    if status == 403 and any(map(_WHO.search, (words, *codes))):
        return "rejected_key" if _KEY_NOT_VALID.search(words) or codes & KEYS else "access_denied"
    if status == 451:
        return "refused"
    if any(map(REFUSAL.search, codes)) or (status in (400, 403, 422) and _REFUSED_TEXT.search(words)):
        return "refused"
    if codes & KEYS or status == 401 or (status in (400, 403) and _KEY_NOT_VALID.search(words)):
        return "rejected_key"
    if status == 403:
        return "rejected_key" if _KEY_WORDS.search(words) else "access_denied"
    if "context_length_exceeded" in codes or status == 413:
        return "context_overflow"
    if _TOO_LONG.search(words) and (not _VALUE_TOO_LARGE.search(words) or re.search("input tokens|got -", words)):
        return "context_overflow"
    if status in (404, 405):
        return "unknown_model"
    return "server_error" if status >= 500 or status in (408, 409, 424, 425, 498) else "bad_request"


def _complaint(text: str) -> Complaint:
    """What the body of an error says: OpenAI's error object, another server's, or the title of a page."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return Complaint(_page(text))
    while isinstance(body, list) and body:  # Gemini puts the object into a list
        body = body[0]
    return _complaint_of(body) if isinstance(body, dict) else Complaint(_page(text))


def _complaint_of(body: Mapping[str, Any]) -> Complaint:
    inner = body.get("error")
    layers: list[Mapping[str, Any]] = [inner, body] if isinstance(inner, dict) else [body]
    layers += [deeper for layer in layers for deeper in (layer.get("innererror"),) if isinstance(deeper, dict)]
    named = [layer.get(name) for layer in layers for name in ("code", "type", "status", "error_code")]
    codes = frozenset(str(value).lower() for value in named if isinstance(value, str | int) and str(value))
    raw = [layer["metadata"].get("raw") for layer in layers if isinstance(layer.get("metadata"), dict)]
    words = next(_words(layers), None) or (inner if isinstance(inner, str) and inner else json.dumps(body))
    parameters = [layer.get("param") for layer in layers]
    words = ": ".join([words, *(str(each) for each in raw if each)])  # OpenRouter wraps a provider's error
    return Complaint(words[:_LONGEST_TEXT], codes, tuple(name for name in parameters if isinstance(name, str)))


def _words(layers: list[Mapping[str, Any]]) -> Iterator[str]:
    for layer in layers:
        for name in ("message", "detail", "msg", "error_msg", "error_message", "status_msg", "errors", "base_resp"):
            value = layer.get(name)
            if isinstance(value, str) and value:
                yield value
            elif isinstance(value, list | dict) and value:  # FastAPI's list of faults, each with its place
                yield json.dumps(value)


def _page(text: str) -> str:
    """The title of a page, or its text without tags."""
    title = re.search(r"<title[^>]{0,100}>([^<]{1,500})</title", text[:_LONGEST_TEXT], re.IGNORECASE)
    return html.unescape(title[1] if title else re.sub(r"<[^>]{0,500}>", " ", text[:_LONGEST_TEXT]))


def _retry_after(headers: Mapping[str, str]) -> float | None:
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
