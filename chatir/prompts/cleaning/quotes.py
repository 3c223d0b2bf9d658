"""Quotation marks in one line: what stands between two of them, and a text without those around it."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable

_AROUND = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019", "\u201e": "\u201c\u201d", "\u00ab": "\u00bb"}
_AROUND |= {"\u300c": "\u300d", "\u300e": "\u300f", "(": ")", "[": "]"}
"""What opens at the beginning of a text, and what closes it at the end."""
CLOSING = "".join(_AROUND.values())
_PLACES = re.compile(rf"(?<!\w)['\u2019]|['\u2019](?!\w)|[{re.escape(''.join(_AROUND) + CLOSING)}](?<!['\u2019])")
"""The characters of `_AROUND`, but no apostrophe within a word."""

_STRAIGHT = "\"'\uff02"
_DIRECTED = {"\u201c": "\u201d", "\u2018": "\u2019", "\u201e": "\u201c\u201d", "\u201a": "\u2018\u2019"}
_DIRECTED |= {"\u201d": "\u201d", "\u00ab": "\u00bb", "\u00bb": "\u00ab", "\u2039": "\u203a", "\u203a": "\u2039"}
_DIRECTED |= {"\u300c": "\u300d", "\u300e": "\u300f"}
_MARK = re.compile(rf"[{re.escape(_STRAIGHT + ''.join(_DIRECTED) + ''.join(_DIRECTED.values()))}]")


def quoted(line: str) -> bytearray:
    """For each character of a line, and one more, 1 where it stands between quotation marks, else 0.

    An apostrophe is no quotation mark: a straight or single mark opens before a word and after none, and closes after
    one and before none. A mark without its partner is none.
    """
    inside = bytearray(len(line) + 1)
    open_at: dict[str, int] = {}  # by what closes
    for found in _MARK.finditer(line):
        mark, place = found[0], found.start()
        before, after = line[place - 1 : place] if place else "", line[place + 1 : place + 2]
        single = mark in "'\u2018\u2019"
        closes = mark in open_at and not (mark in _STRAIGHT and before.isspace())
        if closes and not ((single or mark in _STRAIGHT) and (after.isalnum() or after == "_")):
            start = open_at.pop(mark)
            inside[start : place + 1] = b"\1" * (place + 1 - start)
        elif mark in _STRAIGHT:
            if after and not (after.isspace() or before.isalnum()):
                open_at[mark] = place
        elif mark in _DIRECTED and not (single and before.isalnum()):
            open_at |= dict.fromkeys(_DIRECTED[mark], place)
    return inside


class Edges:
    """A text whose beginning and end are taken off step by step, by places, so that no step copies the text."""

    def __init__(self, text: str, lead: re.Pattern[str], keep: Callable[[str], bool] = lambda _: False) -> None:
        """lead: what may stand before the text. keep: whether a text keeps the quotes that are around it."""
        self.text = text
        self._lead, self._keep = lead, keep
        self._places: dict[str, list[int]] = defaultdict(list)
        for found in _PLACES.finditer(text):
            self._places[found[0]].append(found.start())

    def bare(self, start: int, end: int) -> tuple[int, int]:
        """Where the text between two places begins and ends without bullets, numbers, quotes and brackets."""
        before = None
        while before != (start, end):
            before = start, end
            if lead := self._lead.match(self.text, start, end):
                start = lead.end()
            start, end = self.unquoted(start, end)
        return start, end

    def unquoted(self, start: int, end: int) -> tuple[int, int]:
        """Without quotes or brackets around it, and without one that is opened and never closed."""
        text = self.text
        while start < end and (closing := _AROUND.get(opening := text[start])):
            if not self._any(closing, start + 1, end):
                while start < end and text[start] == opening:
                    start += 1
            elif (
                text[end - 1] in closing
                and not self._any(opening + closing, start + 1, end - 1)
                and not self._keep(text[start + 1 : end - 1])
            ):
                start, end = start + 1, end - 1
            else:
                break
            while start < end and text[start].isspace():
                start += 1
            while start < end and text[end - 1].isspace():
                end -= 1
        return start, end

    def _any(self, characters: str, start: int, end: int) -> bool:
        """Whether one of the characters stands between two places."""
        for character in characters:
            places = self._places.get(character, ())
            following = bisect_left(places, start)
            if following < len(places) and places[following] < end:
                return True
        return False


def closed_by(text: str) -> set[str]:
    """What may close the quotes and brackets that a text opens."""
    opened = {text[found.start()] for found in _PLACES.finditer(text)}
    return {closing for opening in opened for closing in _AROUND.get(opening, "")}
