"""From a model's raw text to one line, one function a role. Who calls them keeps the raw text beside it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator

TURN = re.compile(
    r"<\|(?:im_start|start_header_id)\|>\s*\w*|<start_of_turn>\s*\w*|<\|[^<>|\s]+\|>"
    r"|<(?:/s|eos|end_of_turn|extra_id_\d+)>|\[/?INST\]",
    re.IGNORECASE,
)
"""A control token with which a model, or its chat template, begins or ends a turn."""
_FILLING = re.compile(r"<(?:s|bos|pad|unk)>", re.IGNORECASE)
_HEADING = re.compile(r"(?:short\s+)?(?:question|answer|assistant)", re.IGNORECASE)
"""What stands alone on a line above the text."""

_MARKDOWN = re.compile(r"(?<!\w)[*_`]+|[*_`]+(?!\w)")
MARK = re.compile(r"[?\uff1f\ufe56\u061f\u037e]")
"""The question marks of several scripts."""
_MARKS = re.compile(rf"\s*{MARK.pattern}(?:\s*{MARK.pattern})*")
"""Some of them, with the space before them."""

_LABEL = re.compile(
    r"(?:\b(?:the|my|an?|new|next|final|short|correct|best)\s+){0,3}"
    r"\b(questioner|question|answerer|answer|assistant|caption|system|human|user)"
    r"\s*#?\d{0,2}(?:\s+of\s+\d+|\s+is)?\s*[:\uff1a]"
    r"|\b((?-i:[QA]))\d{0,2}[:\uff1a]",
    re.IGNORECASE,
)
"""Where a role begins to speak, as in the prompt that the model goes on with."""
_QUESTIONER = frozenset({"", "question", "questioner", "q", "assistant"})
_ANSWERER = frozenset({"", "answer", "answerer", "a", "assistant"})

_LEAD = re.compile(
    r"^(?:\(?\d{1,2}[.)](?=\s*[^\W\d])|\(?(?:\d{1,2}|[a-h])\s*[.):]\s|[qa]\s*\d{0,2}[.)]\s"
    r"|[-\u2013\u2014]+(?=[^\W\d])|[-#>\u2013\u2014]+\s|[\u2022\u2023\u25e6\u25aa\u25cf\u00b7\u2026:;,!)\]]|\.(?!\d))\s*",
    re.IGNORECASE,
)
"""A number, a letter, a bullet or a stray sign before the text."""
_NEXT_ITEM = re.compile(r"(?<=\?)\s*\(?\d{1,2}[.)]\s")
_PREAMBLE = re.compile(
    r"(?:sure|certainly|of course|okay|ok|absolutely|great|alright)\b[^\w\s?]+\s+"
    r"|[^?:\uff1a]{0,200}?\bquestions?\b[^?:\uff1a]{0,100}[:\uff1a]",
    re.IGNORECASE,
)
"""How a chat model starts: `Sure!`, `Here's a question for you:`."""
_ASKS = re.compile(
    r"(?:what(?!\s+an?\b)|whats|which|who|whom|whose|where|when|why|how|is|are|am|was|were|do(?!\s*n['\u2019o]t)|does|did"
    r"|can|could|will|would|should|shall|has|have|had|may|might|must|any)(?:n['\u2019]t|['\u2019](?:s|re))?\b",
    re.IGNORECASE,
)

_QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019", "\u201e": "\u201c\u201d", "\u00ab": "\u00bb"}
_QUOTES |= {"\u300c": "\u300d", "\u300e": "\u300f", "(": ")", "[": "]"}
_CLOSING = "".join(_QUOTES.values())
_APOSTROPHE = re.compile(r"(?<=\w)['\u2019](?=\w)")


def clean_question(raw: str) -> str | None:
    """The question in a model's reply, as one line that ends in `?`; None if there is none.

    The first line that asks something, without label, numbering, markdown and quotes, cut after its last
    question mark and where the model goes on to other roles. A question without its mark is given one. A
    repeated question is left as it is: repeats are what chatir measures.
    """
    return _settled(_question, raw)


def clean_answer(raw: str) -> str | None:
    """The answer in a model's reply, as one line; None if it says nothing.

    The first line that says something, without label, numbering, markdown and quotes, cut where the model
    goes on to other roles; a question that it copies first is no answer. Question marks go: in a dialogue
    file they would move the border between question and answer.
    """
    return _settled(_answer, raw)


def _settled(clean: Callable[[str], str | None], raw: str) -> str | None:
    text = clean(raw)
    while text is not None and (again := clean(text)) != text:
        text = again
    return text


def _question(raw: str) -> str | None:
    for line in _lines(raw):
        for place, (role, said) in enumerate(_turns(line)):
            if role not in _QUESTIONER:
                if place == 0:
                    return None
                break
            if (text := _asked(said)) and _speaks(text):
                return text
    return None


def _answer(raw: str) -> str | None:
    for line in _lines(raw):
        for role, said in _turns(" ".join(line.replace("?", " ").split())):
            if role in _ANSWERER and _speaks(text := _bare(said)):
                return text
    return None


def _lines(raw: str) -> Iterator[str]:
    """The lines of a reply that are not blank, printable, without what a model thinks before it speaks."""
    spoken = raw.rpartition("</think>")[2].partition("<think>")[0]
    for line in TURN.sub("\n", _FILLING.sub(" ", spoken)).splitlines():
        seen = (c if c.isprintable() else " " for c in line if unicodedata.category(c) != "Cf")
        text = _MARKS.sub("?", " ".join(_MARKDOWN.sub("", "".join(seen)).split()))
        if text and not _HEADING.fullmatch(text):
            yield text


def _turns(line: str) -> Iterator[tuple[str, str]]:
    """The parts of a line by who speaks; the role is empty before the first label."""
    role, start = "", 0
    for label in _LABEL.finditer(line):
        if said := line[start : label.start()].strip():
            yield role, said
        role, start = (label[1] or label[2]).lower(), label.end()
    yield role, line[start:].strip()


def _asked(text: str) -> str | None:
    text = _bare(text)
    while not _ASKS.match(text) and (preamble := _PREAMBLE.match(text)):
        text = _bare(text[preamble.end() :])
    head, mark, rest = _NEXT_ITEM.split(text, maxsplit=1)[0].rpartition("?")
    if mark:
        closing = rest[: len(rest) - len(rest.lstrip(_CLOSING))]
        head, _, closing = _unquoted(head + mark + closing).rpartition("?")
        opened = _APOSTROPHE.sub("", head)
        kept = (c for c in closing if any(c in _QUOTES[o] for o in opened if o in _QUOTES))
        return _unquoted(head + "".join(kept)) + "?"
    if _ASKS.match(text) and not text.endswith((":", "\uff1a", "!")):
        return text.rstrip(" .,;") + "?"
    return None


def _bare(text: str) -> str:
    while (shorter := _unquoted(_LEAD.sub("", text))) != text:
        text = shorter
    return text


def _unquoted(text: str) -> str:
    """Text without quotes or brackets around it, and without one that is opened and never closed."""
    while text and (closing := _QUOTES.get(text[0])):
        inside = _APOSTROPHE.sub("", text[1:])
        if not set(closing) & set(inside):
            text = text.lstrip(text[0])  # all of them at once: a model that loops may have given thousands
        elif inside[-1] in closing and not {text[0], *closing} & set(inside[:-1]):
            text = text[1:-1]
        else:
            break
        text = text.strip()
    return text


def _speaks(text: str) -> bool:
    return any(c.isalnum() for c in text)
