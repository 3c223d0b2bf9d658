"""What a server's refusal asks to change: parameters that it does not take, roles that its template does not know."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from chatir.models.chat.body import arranged, tokens_field
from chatir.models.chat.options import AUTO, ChatOptions
from chatir.models.completion import Request

_REFUSES = re.compile(
    r"unsupported|unrecogni[sz]ed|unknown|unexpected|extra[ _](?:inputs?|fields?|forbidden)|deprecated|no longer"
    r"|\bnot (?:be |an? |currently |yet |one of )?(?:\w+ )?"
    r"(?:support\w*|permitted|allowed|accepted|recogni[sz]ed|known"
    r"|valid|enabled|available|implemented|parameter|argument|field|property)"
    r"|(?:n['\u2019]t|not|no) (?:\w+ )?(?:support|accept|allow|recogni[sz]e|know|take|permit|have)\b"
    r"|(?:use|try|replaced by|favou?r of|did you mean) ['\"`]?max_|only (?:the )?default"
    r"|only .{1,40} (?:is|are) (?:allowed|supported)|invalid value at|cannot unmarshal|only be set to"
    r"|fixed (?:at|to) \d|must be (?:omitted|unset|removed)|strictly (?:positive|greater)"
    r"|(?:remove|omit) |cannot be (?:set|used|specified)|invalid (?:parameter|argument|field|key|role|value: 'system')"
    r"|no such (?:parameter|argument|field)|bad role",
    re.IGNORECASE,
)
"""How servers say that they do not take a parameter or a role, in any form."""
_NOT_ZERO = re.compile(r"\btemperature\b.{0,80}(?:> ?0|\(0|greater than 0|above 0|positive|non-?zero)", re.IGNORECASE)
"""How servers refuse a temperature of 0 where they take others."""
_TOO_MUCH = re.compile(r"too (?:large|long|high|big)|exceed|at (?:most|least)|less than|context length", re.IGNORECASE)
"""How servers refuse a value of a parameter that they take."""
_ALTERNATE = re.compile(
    r"\balternat(?:e|ing|ion)\b|consecutive (?:user|assistant|messages|turns|roles)"
    r"|(?:first|initial) (?:\w+ ){0,3}(?:message|turn|role)\b.{0,60}\buser\b"
    r"|(?:start|begin) with (?:a |the )?['\"`]?user"
    r"|same role|after role|successive (?:user|assistant)",
    re.IGNORECASE,
)
_SYSTEM = re.compile(
    r"\b(?:system|developer)['\"`]? (?:role|message|prompt|instruction|content)s?\b"
    r"|\brole['\"`]?s?\b.{0,60}\b(?:system|developer)\b|\bonly (?:the )?['\"`]?(?:user|assistant)['\"`]? (?:and|or|,)"
    r"|['\"`](?:system|developer)['\"`].{0,60}\brole",
    re.IGNORECASE,
)


def lesson(said: str, request: Request, options: ChatOptions, *, official: bool) -> dict[str, Any]:
    """The options to change, by name, after a server refused a request; empty if its words name none that can be.

    said: the server's words, with the names of the parameters they are about. A changed option changes the request.
    """
    return next(_lessons(said, request, options, official=official), {})


def _lessons(said: str, request: Request, options: ChatOptions, *, official: bool) -> Iterator[dict[str, Any]]:
    refused = _REFUSES.search(said) is not None or (options.temperature == 0 and _NOT_ZERO.search(said) is not None)
    if _ALTERNATE.search(said):
        yield from _rearranged(request, options, {"alternate": True}, {"system": "merge"})
    if refused and _SYSTEM.search(said):
        yield from _rearranged(request, options, {"system": "merge"})
    if not refused:
        return
    now = tokens_field(options, official=official)
    if options.tokens_field == AUTO and _names(now, said) and not _TOO_MUCH.search(said):
        yield {"tokens_field": "max_tokens" if now == "max_completion_tokens" else "max_completion_tokens"}
    if options.temperature is not None and _names("temperature", said):
        yield {"temperature": None}
    if options.seed != "none" and _names("seed", said):
        yield {"seed": "none"}


def _rearranged(request: Request, options: ChatOptions, *changes: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The first of the changes that makes other messages of a request, else all together."""
    now = arranged(request.messages, options)
    everything = {name: value for change in changes for name, value in change.items()}
    for change in (*changes, everything):
        if arranged(request.messages, options.model_copy(update=change)) != now:
            yield change
            return


def _names(field: str, said: str) -> bool:
    return re.search(rf"(?<![\w-]){field}(?![\w-])", said, re.IGNORECASE) is not None
