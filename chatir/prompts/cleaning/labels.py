"""Labels in a line of a reply: where a role begins to speak, as in the prompt that the model goes on with."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chatir.prompts.cleaning.quotes import Edges, quoted

LABEL = re.compile(
    r"(?:\b(?:the|my|an?|new|next|final|short|correct|best)\s+){0,3}"
    r"\b(questioner|question|answerer|answer|response|reply|assistant|caption|system|human|user)"
    r"(?:\s+(?:to|for)\s+[^:\uff1a]{1,120}?(?=\s+(?:is|would\sbe)\s*[:\uff1a])"
    r"|\s+to\s+(?:(?:your|the|this|that)\s+)?(?:question|query))?"
    r"\s*#?\d{0,2}(?:\s?\([^():\uff1a]{1,30}\)|\s?\[\d{1,3}\])?(?:\s+of\s+\d+|\s+(?:is|(?:would|should|will|must|could|might)\s+be))?\s*[:\uff1a]"
    r"|\b((?-i:[QA]))\d{0,2}[:\uff1a]"
    r"|(\u7b54\u6848|\u56de\u7b54|\u7b54\u3048|\u7b54|\u95ee\u9898|\u554f\u984c|\u8cea\u554f|\u95ee|\u554f)[\u662f\u4e3a]?\s*[:\uff1a]",
    re.IGNORECASE,
)
HEADING = re.compile(r"[\W\d_]*+(?:(?:short|final)\s+)?(?:question|answer|response|assistant)\W*+", re.IGNORECASE)
"""What stands alone on a line above the text, or below it: `## Answer`."""
LONG_HEADING = re.compile(
    r"[\W\d_]*+(?:(?:the|my|your)\s+)(?:(?:short|final)\s+)?(?:answer|response)\W*+", re.IGNORECASE
)
"""What may be such a line, or all of an answer: `The Answer`."""
ASKS = re.compile(
    r"(?:what(?!\s+an?\b)|whats|which|who|whom|whose|where|when|why|how|is|are|am|was|were|do(?!\s*n['\u2019o]t)|does|did"
    r"|can|could|will|would|should|shall|has|have|had|may|might|must|any)(?:n['\u2019]t|['\u2019](?:s|re))?\b",
    re.IGNORECASE,
)
"""A word that begins a question."""
LEAD = re.compile(
    r"(?:\(?\d{1,2}[.)](?=\s*[^\W\d])|\(?(?:\d{1,2}|[a-h])\s*[.):]\s|[qa]\s*\d{0,2}[.)]\s"
    r"|[-\u2013\u2014]++(?=[^\W\d])|[-#>\u2013\u2014]++\s|[\u2022\u2023\u25e6\u25aa\u25cf\u00b7\u2026:;,!)\]]|\.(?!\d))\s*",
    re.IGNORECASE,
)
"""A number, a letter, a bullet or a stray sign before the text."""

QUESTIONS = frozenset(["question", "questioner", "q", "问题", "問題", "質問", "问", "問"])
ANSWERS = frozenset(["answer", "answerer", "a", "response", "reply", "答案", "回答", "答え", "答"])
_WORDS = frozenset(["a", "q", "caption", "human", "system", "user"])
"""Labels that are ordinary words of an answer too: `vitamin A: 10%`, `It says System: off`."""
_BEGINS = re.compile(r"[.?!;\u2026\u3002\uff01]\W*\Z")
_NEAR = 12
"""Characters before a label that are looked at, at most."""


def labels(line: str) -> Iterator[tuple[int, int, str]]:
    """Where labels begin and end, and their roles in lower case; none between quotation marks.

    A label may hold a question mark, `Answer?:`.
    """
    found = [*LABEL.finditer(line.replace("?", " "))]
    inside = quoted(line) if found else b""
    for label in found:
        if not inside[label.start()]:
            yield label.start(), label.end(), _role(label)


def answer_labels(line: str) -> Iterator[tuple[int, int, str]]:
    """The labels in a line of an answer, as `labels` has them, without the ordinary words: `Gate A: closed`.

    A letter or another speaker's name is a label only where a line, a sentence or a label's text begins.
    """
    done, asked = 0, False
    for start, end, role in labels(line):
        before = line[max(done, start - _NEAR) : start]
        begins = bool(_BEGINS.search(before)) or (start - _NEAR <= done and not any(map(str.isalpha, before)))
        if not begins and role == "q":
            begins = bool(ASKS.match(line[end : end + _NEAR].lstrip()))
        if begins or role not in _WORDS or (role == "a" and asked):
            yield start, end, role
            done, asked = end, asked or role in QUESTIONS


def has_label(text: str) -> bool:
    """Whether a text holds a label that is not between quotation marks."""
    return any(True for _ in labels(text))


def unwrapped(line: str, roles: frozenset[str]) -> str:
    """A line without quotes around all of it where a label begins them and one of the roles is inside."""
    if not LABEL.search(line):
        return line
    start, end = Edges(line, LEAD).bare(0, len(line))
    first = LABEL.match(line, start, end)
    if (
        first
        and (start, end) != (0, len(line))
        and any(_role(one) in roles for one in LABEL.finditer(line, start, end))
    ):
        return line[start:end]
    return line


def _role(label: re.Match[str]) -> str:
    return (label[1] or label[2] or label[3]).lower()
