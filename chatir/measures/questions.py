"""When two questions are the same question: the normalised form that repeats are counted by."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

LEAKED_LABEL = re.compile(r"\b(?:answer|question)\s*:", re.IGNORECASE)
"""An `Answer:` or `Question:` label that a model copied from its prompt."""

_ASCII_PUNCTUATION = dict.fromkeys(code for code in range(128) if unicodedata.category(chr(code))[0] == "P")


@lru_cache(maxsize=2**16)
def normalised_question(question: str) -> str:
    """A question as it is compared with others.

    Unicode NFKC, casefold, cut before the first leaked `answer:` / `question:` label that does not start
    the text, punctuation dropped, white space collapsed.
    """
    text = folded(question).strip()
    for label in LEAKED_LABEL.finditer(text):
        if label.start() > 0:
            text = text[: label.start()]
            break
    return bare(text)


def folded(text: str) -> str:
    """The text in Unicode NFKC and case-folded, so that it can be compared."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def bare(text: str) -> str:
    """The text with its punctuation dropped and its white space collapsed."""
    if text.isascii():
        return " ".join(text.translate(_ASCII_PUNCTUATION).split())
    return " ".join("".join(c for c in text if unicodedata.category(c)[0] != "P").split())


def repeated(questions: Iterable[str]) -> list[int]:
    """For each question the number, from 1, of the first that is the same once normalised; 0 for that one itself."""
    first: dict[str, int] = {}
    numbers = (first.setdefault(normalised_question(text), place) for place, text in enumerate(questions, start=1))
    return [number if number < place else 0 for place, number in enumerate(numbers, start=1)]


def repeats(questions: Iterable[str]) -> int:
    """Questions minus distinct questions, over normalised questions."""
    return sum(map(bool, repeated(questions)))
