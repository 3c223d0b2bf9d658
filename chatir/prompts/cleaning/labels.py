"""Labels in a line of a reply: where a role begins to speak, as in the prompt that the model goes on with."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chatir.prompts.cleaning.quotes import Edges, quoted

LABEL = re.compile(
    r"(?:\b(?:the|my|an?|new|next|final|short|correct|best)\s+){0,3}"
    r"\b(questioner|question|answerer|answer|response|reply|assistant|caption|system|human|user)"
    r"(?:\s+(?:to|for)\s+[^:\uff1a]{1,120}?(?=\s+(?:is|would\sbe)\s*[:\uff1a])"
    r"|\s+to\s+(?:your|the|this|that)\s+(?:question|query))?"
    r"\s*#?\d{0,2}(?:\s+of\s+\d+|\s+(?:is|(?:would|should|will|must|could|might)\s+be))?\s*[:\uff1a]"
    r"|\b((?-i:[QA]))\d{0,2}[:\uff1a]"
    r"|(\u7b54\u6848|\u56de\u7b54|\u7b54\u3048|\u7b54|\u95ee\u9898|\u554f\u984c|\u8cea\u554f|\u95ee|\u554f)[\u662f\u4e3a]?\s*[:\uff1a]",
    re.IGNORECASE,
)
HEADING = re.compile(r"(?:(?:short|final)\s+)?(?:question|answer|response|assistant)", re.IGNORECASE)
"""What stands alone on a line above the text."""
LEAD = re.compile(
    r"(?:\(?\d{1,2}[.)](?=\s*[^\W\d])|\(?(?:\d{1,2}|[a-h])\s*[.):]\s|[qa]\s*\d{0,2}[.)]\s"
    r"|[-\u2013\u2014]++(?=[^\W\d])|[-#>\u2013\u2014]++\s|[\u2022\u2023\u25e6\u25aa\u25cf\u00b7\u2026:;,!)\]]|\.(?!\d))\s*",
    re.IGNORECASE,
)
"""A number, a letter, a bullet or a stray sign before the text."""

QUESTIONS = frozenset(["question", "questioner", "q", "问题", "問題", "質問", "问", "問"])
ANSWERS = frozenset(["answer", "answerer", "a", "response", "reply", "答案", "回答", "答え", "答"])


def labels(line: str) -> Iterator[tuple[int, int, str]]:
    """Where labels begin and end, and their roles in lower case; none between quotation marks.

    A label may hold a question mark, `Answer?:`.
    """
    found = [*LABEL.finditer(line.replace("?", " "))]
    inside = quoted(line) if found else b""
    for label in found:
        if not inside[label.start()]:
            yield label.start(), label.end(), _role(label)


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
