"""Where a reply repeats the question that it was asked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import accumulate

from chatir.prompts.cleaning.labels import ASKS

_WORD = re.compile("(?:[^\\W_]|[\u0300-\u036f])+")
_LONG = 3
"""Words of a question that is an echo without its question mark too, if it asks; another one may be an answer."""
_NO_SPACES = re.compile("[\u3040-\u30ff\u3400-\u9fff]{6}")
"""A question in a script that puts no spaces between words is one word."""

_MARKED = re.compile(r"\s?[^\w\s?]{0,3}\s?\?+[\"'\u201d\u2019\u00bb\u300d\u300f)\]]*")
_ENDED = re.compile(r"(?![-'\u2019.,:/]\w)\s?(?=[^\w\s]|\Z)[\"'\u201d\u2019\u00bb\u300d\u300f)\]]*")
_NEAR = 80
"""Characters before an echo that are looked at, at most."""
_LEAD = re.compile(
    r"(?:[:\uff1a]|\b(?:asked|asking|asks|you ask|(?:ask|asked) me|want(?:ed)? to know|wonder(?:ed|ing)"
    r"|question(?:\s(?:is|was))?|here(?:['\u2019]s| is)))[\W\d]*\Z"
    r"|\b(?:regarding|as for|as to|to answer|in answer to|in response to|concerning)\b[^.!?]*\Z"
    r"|\A\W*\d{1,2}[.)]\W*\Z"
    r"|\A\W*(?:(?:so|okay|ok|sure|well|h+m+|um+|uh+|oh|ah|now|right|alright)\b\W*+)++\Z",
    re.IGNORECASE,
)
"""What leads to an echo: `You asked:`, `So,`."""


class Echo:
    """A question, to be found again in a reply: the same words, whatever case, punctuation and white space."""

    def __init__(self, question: str) -> None:
        words = [_folded(found[0]) for found in _WORD.finditer(question)]
        self._needle = _joined(words) if words else ""
        self._long = len(words) >= _LONG or bool(_NO_SPACES.search(question))
        first = _WORD.search(question)
        self._asks = bool(_NO_SPACES.search(question) or (first and ASKS.match(question, first.start())))

    def places(self, line: str) -> Iterator[tuple[int, int]]:
        """Where echoes begin and end in a line, with the marks that end them.

        An echo without its question mark counts only if it is long, asks by its first word, begins the line or
        follows a lead, and ends at punctuation.
        """
        done = 0
        for start, end in self._same_words(line):
            if whole := self._end(line, start, end, done):
                yield start, whole
                done = whole

    def cut_off(self, text: str) -> bool:
        """Whether a text is the beginning of the question and nothing else: of an echo that breaks off."""
        if not self._asks or len(text) > 2 * len(self._needle):
            return False
        words = [_folded(found[0]) for found in _WORD.finditer(text)]
        return len(words) >= _LONG and self._needle.startswith(_joined(words))

    def unwrapped(self, lines: Iterable[str]) -> list[str]:
        """The lines, with those put together over which an echo is spread."""
        text, done = "\n".join(lines), 0
        pieces = []
        for start, end in self._same_words(text):
            pieces += [text[done:start], text[start:end].replace("\n", " ")]
            done = end
        return "".join([*pieces, text[done:]]).split("\n")

    def _same_words(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the words of the question begin and end in a text."""
        words = [*_WORD.finditer(text)] if self._needle else []
        folded = [_folded(word[0]) for word in words]
        places = [*accumulate((len(word) + 1 for word in folded), initial=0)]
        number = {place: index for index, place in enumerate(places)}  # of the word that begins there
        joined = _joined(folded)
        found = joined.find(self._needle) if words else -1
        while found >= 0:
            following = found + len(self._needle) - 1
            yield words[number[found]].start(), words[number[following] - 1].end()
            found = joined.find(self._needle, following)

    def _end(self, line: str, start: int, end: int, done: int) -> int:
        """Where an echo ends with what ends it; 0 if it is none. done: where the echo before it ends."""
        before = line[max(done, start - _NEAR) : start]
        begins = start - _NEAR <= done and not _WORD.search(before)
        if marked := _MARKED.match(line, end):
            own = self._long or begins or is_lead(before) or not before.rstrip()[-1:].isalnum()
            return marked.end() if own else 0
        ended = _ENDED.match(line, end) if self._long and self._asks and (begins or is_lead(before)) else None
        return ended.end() if ended else 0


def is_lead(text: str) -> bool:
    """Whether a text before an echo only leads to it, and is no answer."""
    return _LEAD.search(text[-_NEAR:]) is not None


def _joined(words: list[str]) -> str:
    return "\0".join(["", *words, ""])


def _folded(word: str) -> str:
    return word.lower() if word.isascii() else unicodedata.normalize("NFKC", word).casefold()
