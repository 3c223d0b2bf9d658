"""Replies in channels, as Harmony and Gemma write them, with their control tokens or without."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"<[|\uff5c](?:(?P<token>start|channel|message|end|return|call|constrain)[|\uff5c]|(?P<opens>channel))>"
    r"|<(?P<closes>channel)[|\uff5c]>"
)
_HEADER = re.compile(
    r"\s*+(?:assistant\b)?\s*+(?P<name>analysis|commentary|final|)\s*+(?:to=\S{1,80}+)?\s*+(?:code|json)?\s*+"
)
"""The rest of a header whose beginning was in the prompt."""
_NAME = re.compile(r"\s*+(?P<name>[a-z]*+)(?:\s++to=\S++)?")
_THOUGHTS = ("analysis", "commentary", "thought", "thoughts", "thinking", "think", "reasoning")
_RESPONSES = ("final", "response", "answer")
_OTHER_ROLES = ("user", "human", "system", "developer", "tool")

_BARE = re.compile(r"\s*+(?:assistant\s*+)?(?:analysis|commentary)(?P<begins>[^\S\n]*+\n|[^\W_a-z])?")
"""The name of a channel at the beginning of a reply whose control tokens were removed."""
_FINAL = re.compile(r"assistant(?P<gap>\s*+)final")
_NEXT_CHANNEL = re.compile(r"assistant(?:analysis|commentary)")


def final_channel(text: str) -> str:
    """What is spoken of a reply in channels; the text itself if it has none."""
    tokens = [*_TOKEN.finditer(text)]
    if any(not token["token"] or token["token"] in ("channel", "message") for token in tokens):
        return _last_spoken(text, tokens)
    finals = [found for found in _FINAL.finditer(text) if not found["gap"] or "\n" in found["gap"]]
    begun = _BARE.match(text)
    if finals and (begun or any(not found["gap"] for found in finals)):
        return _NEXT_CHANNEL.split(text[finals[-1].end() :], maxsplit=1)[0]
    return "" if begun and begun["begins"] else text


def _last_spoken(text: str, tokens: list[re.Match[str]]) -> str:
    """The last text that is not blank on the final channel, else outside the channels.

    Another speaker's turn after it ends the reply.
    """
    spoken = {"final": "", "outside": ""}
    name, start = "", 0
    for token, following in zip([None, *tokens], [*tokens, None], strict=True):
        said = text[start : following.start() if following else len(text)]
        start = following.end() if following else start
        in_header = following is not None and following["token"] in ("channel", "message", "constrain")
        name, channel, said = _read(token, said, name, in_header)
        if name in _OTHER_ROLES and spoken["final"]:
            break
        if token and token["closes"]:
            spoken["outside"] = ""
        if channel in spoken and said.strip():
            spoken[channel] = said
    return spoken["final"] or spoken["outside"]


def _read(token: re.Match[str] | None, said: str, name: str, in_header: bool) -> tuple[str, str, str]:
    """What follows a token: the name of the channel or role in the header that goes on, where it is said, and the text.

    name: that of the header so far. in_header: whether the next token belongs to a header.
    """
    kind = token["token"] if token else None
    if token is None:
        header = _HEADER.fullmatch(said) if in_header else None
        return (header["name"], "header", "") if header else ("", "outside", said)
    if token["closes"] or kind in ("end", "return", "call"):
        return "", "outside", said
    if kind == "message":
        return "", _channel(name, "final"), said
    if kind == "constrain":
        return name, "header", ""
    found = _NAME.match(said)
    word, rest = (found["name"], said[found.end() :]) if found else ("", said)
    if kind == "start" or (kind == "channel" and in_header):
        return (name if name in _OTHER_ROLES else word), "header", ""
    if token["opens"] and word not in _THOUGHTS + _RESPONSES:
        return "", "outside", said
    return "", _channel(word, "outside"), rest


def _channel(name: str, other: str) -> str:
    """Where a channel of this name is heard; `other` for a name that is no channel's."""
    if name in _THOUGHTS or name in _OTHER_ROLES:
        return "thought"
    return "final" if name in _RESPONSES else other
