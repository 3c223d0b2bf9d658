"""From a model's reply that lists questions to the list: first as JSON, else by its lines and their markers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from chatir.prompts.cleaning import MARK, TURN, clean_question
from chatir.prompts.cleaning.quotes import quoted
from chatir.prompts.cleaning.thoughts import all_questions

LONGEST = 500
"""Characters of one question, at most. A longer item is a model caught in a loop."""

_BORDER = re.compile(rf"(?<!{MARK.pattern}){MARK.pattern}++(?P<closing>[\"'\u201d\u2019\u300d)\]*_`,;]*+)\s*+(?=\S)")
"""Where one question on a line may end and the next begin."""
_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u2060\ufeff]")
"""What is not seen and would hide a marker: a byte order mark, zero-width spaces."""

_LABEL = r"(?:question|q)(?:\s?#?\d{1,3}\s?(?:[.:)\uff1a]|[-\u2013\u2014]\s|(?=[*_]*$))|\s?[:\uff1a])"  # Question 1:
_POINT = r"[(\[#\uff08]{0,2}\d{1,3}(?:[.:)\]\uff0e\uff1a\uff09\u3001]{1,2}|\ufe0f?\u20e3)(?!\d)"  # 1. 1) (1) #1:
_DASHED = r"#\d{1,3}\s|\d{1,3}\s?[-\u2013\u2014]\s(?=[^\W\d])"  # #1 or `1 - What`, but neither 2-door nor 3 - 4
_LETTER = r"[(\uff08]?(?:[a-z]|[ivx]{2,5})[.)\uff09](?=[*_`]*\s)"  # a) (b) C. iv.
_BULLET = r"(?:[-+*\u2013\u2014](?=\s)|[\u2022\u2023\u25e6\u25aa\u25cf\u00b7\u2460-\u2473])(?:\s\[[ x]\])?"
_MARKER = re.compile(
    rf"(?i)(?:(?<!\S)|(?<=[?\uff1f]))[*_`]{{0,3}}(?:(?P<label>{_LABEL})|(?P<number>{_POINT}|{_DASHED})"
    rf"|(?P<letter>{_LETTER})|(?P<bullet>{_BULLET}|[-\u2013\u2014](?=[^\W\d])))[*_`]{{0,3}}"
)
"""What may begin an item, bold or not. Whether it does, `_begins` tells."""
_QUOTED = re.compile(r"\A(?:\s*(?:>|#{1,6}(?=\s)))*\s*")
"""Markdown's signs of a quotation or a heading before a line."""
_TOPIC = re.compile(r"\A\s*(?:\*\*|__)?[^*_?]{1,40}(?::\s?(?:\*\*|__)|(?:\*\*|__)\s?[:\uff1a])\s*(?=[^\W_a-z])")
"""A bold topic that a chat model puts before a question: `**Color**: What ...`."""
_WORD = re.compile(r"\W{0,8}(\w{1,20})")
_OFFER = re.compile(
    r"(?i)(?:would you like|do you (?:want|need)|(?:shall|should|can) i|is there anything else)\b"
    r".*\b(?:more|me to|help|questions?|you)\b"
)
"""What a chat model asks last, and not about the image."""

_JSON = re.compile(r"(?m)(?:^|[:=\uff1a`]|\bjson\b)[^\S\n]*[\[{]\s*(?=[\"\[{])")
"""Where JSON begins: with its line, or after a colon or the like."""
_STRING = re.compile(r'(?s)"(?P<said>(?:[^"\\]|\\.?|"(?!\s*(?:[,:\]}\n]|\Z)))*+)(?P<closed>"?)\s*(?P<colon>:?)')
"""A string of JSON, also one with bare quotes in it or cut off by the end; a colon after it makes it a key."""
_QUESTION_KEY = re.compile(r"(?i)(?:\w*[_ ])?questions?[_ -]?(?:text|list|\d+)?|q\d*|text|\d*")
"""The key of an object that holds a question or questions; a bare list has none."""


@dataclass(frozen=True, slots=True)
class _Item:
    marker: str  # as it was written; empty for text without one
    text: str


def question_list(raw: str) -> list[str]:
    """The questions in a reply that lists several, in their order and with repeats; empty if it asks nothing.

    Each is one line that `clean_question` leaves as it is. It takes lists with numbers, letters, bullets or
    labels, on lines of their own or all on one, table rows, JSON (also cut off), and plain lines. An item stays
    whole, two sentences or not; a lone line without markers is split after its question marks. Nothing is ever
    split at a hyphen. Beside a list, text without a marker (a preamble, an offer of more) is no question.
    """
    for turn in TURN.split(_INVISIBLE.sub("", all_questions(raw))):
        if questions := _from_json(turn) or _from_lines(turn):
            return questions
    return []


def _from_json(turn: str) -> list[str]:
    """Read string by string, not by a JSON parser: nothing nests too deep and a cut-off reply gives what it has."""
    start = _JSON.search(turn)
    if not start or MARK.search(turn, 0, start.start()):
        return []
    key, named, others = "", [], []
    for string in _STRING.finditer(turn, start.end()):
        said = string["said"]
        with suppress(ValueError):
            said = str(json.loads(f'"{said}"', strict=False))
        if string["colon"]:
            key = said
        elif string["closed"] or MARK.search(said):
            if _QUESTION_KEY.fullmatch(key):
                named += _from_lines(said) if "\n" in said else _cleaned([said])
            elif MARK.search(said):
                others.append(said)
    return named or _cleaned(others)


def _from_lines(turn: str) -> list[str]:
    items = _items(turn)
    listed = _cleaned([item.text for item in items if item.marker])
    if listed and len(listed) >= sum(not item.marker and _may_ask(item.text) for item in items):
        return listed
    texts = [item.text for item in items if _may_ask(item.text)]
    questions = _cleaned([part for text in texts for part in _sentences(text, alone=len(texts) == 1)])
    return questions[:-1] if questions and _OFFER.match(questions[-1]) else questions


def _items(turn: str) -> list[_Item]:
    """The items of a reply, and the lines beside them, with what is wrapped put together again."""
    items = [_Item("", "")]
    number, apart = 0, False
    for row in turn.splitlines():
        line = _cell(row) if row.lstrip().startswith("|") else _QUOTED.sub("", row).strip()
        for item in _split(line, number):
            marker, text = items[-1].marker, items[-1].text
            if _goes_on(items[-1], item, apart):
                gap = "" if text[-1:] == "-" and text[-2:-1].isalnum() else " "
                items[-1] = _Item(marker, f"{text}{gap}{f'{item.marker} {item.text}'.strip()}".strip())
            elif item.marker or item.text:
                if number == 0 and _number(item.marker) == 2 and MARK.search(text):
                    items[-1] = _Item("1.", text)  # the prompt ended in `1.`
                number = _number(item.marker) or number
                items.append(item)
        apart = not line
    return items


def _cell(row: str) -> str:
    """The cell of a table's row that asks, as a list's item; empty if none does."""
    return next((f"- {cell.strip()}" for cell in row.split("|") if MARK.search(cell)), "")


def _split(line: str, number: int) -> Iterator[_Item]:
    """A line's text before its first marker, if any, then item by item. `number` is that of the item before."""
    start, marker = 0, ""
    markers = [*_MARKER.finditer(line)]
    inside = quoted(line) if any(found["label"] for found in markers) else b""
    for found in markers:
        if not (found["label"] and inside[found.start("label")]) and _begins(line, found, number):
            yield _Item(marker, line[start : found.start()].strip())
            start, marker = found.end(), found[0]
            number = _number(marker) or number
    yield _Item(marker, line[start:].strip())


def _number(marker: str) -> int:
    digits = re.search(r"\d+", marker)
    return int(digits[0]) if digits else 0


def _begins(line: str, found: re.Match[str], number: int) -> bool:
    """Whether a marker begins an item: always where a line or a label does, else by what stands around it."""
    if found.start() == 0 or (found["label"] or "").endswith((":", "\uff1a")):
        return True
    before = line[max(0, found.start() - 9) : found.start()].rstrip("\"'\u201d\u2019)]*_` ")
    asked, next_in_order = bool(MARK.match(before[-1:])), _number(found[0]) == number + 1
    if found["letter"]:
        return asked and _opens(line, found.end())
    if found["bullet"]:
        return asked and line.startswith(found[0]) and _asks(_word(line, found.end()))
    if next_in_order:
        return asked or before.endswith((":", "\uff1a")) or _asks(_word(line, found.end()))
    return asked and _opens(line, found.end())


def _goes_on(before: _Item, item: _Item, apart: bool) -> bool:
    """Whether an item is the rest of the one before: that is still without its mark, and this is no beginning."""
    if not before.text:
        return not item.marker
    if apart or len(before.text) > LONGEST or MARK.search(before.text):
        return False
    if not _opens(item.text):
        return bool(before.marker and not item.marker) or _clean(before.text) is not None
    if item.marker or not before.marker:
        return False
    small = item.text[:1].islower()
    return small or bool(MARK.search(item.text) and not _asks(_word(item.text)) and _clean(before.text))


def _sentences(text: str, alone: bool) -> Iterator[str]:
    """The questions of a text; it is kept whole where it stands beside others, as an item of a plain list."""
    start = 0
    for border in _BORDER.finditer(text) if alone or len(text) > LONGEST else ():
        word = _word(text, border.end())
        if word.lower() != "or" and not (border["closing"] and not _opens(text, border.end())):
            yield text[start : border.end()]
            start = border.end()
    yield text[start:]


def _word(text: str, start: int = 0) -> str:
    found = _WORD.match(text, start)
    return found[1] if found else ""


def _opens(text: str, start: int = 0) -> bool:
    """Whether a sentence may begin here: with a capital, a digit, a script without cases, or a word that asks."""
    word = _word(text, start)
    return not word[:1].islower() or _asks(word)


@lru_cache(maxsize=4096)
def _asks(word: str) -> bool:
    return clean_question(word) is not None


def _may_ask(text: str) -> bool:
    return not text.endswith((":", "\uff1a")) and bool(MARK.search(text) or _clean(text))


def _cleaned(texts: list[str]) -> list[str]:
    return [question for text in texts if (question := _clean(text))]


@lru_cache(maxsize=4096)
def _clean(text: str) -> str | None:
    """Cached, for a model caught in a loop says the same thousands of times."""
    if len(text) > LONGEST or not any(c.isalnum() for c in text):
        return None
    return clean_question(_TOPIC.sub("", text))
