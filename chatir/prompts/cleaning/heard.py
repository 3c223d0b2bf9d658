"""The answer that a turn of a reply gives: after a label, after an echo of the question, else its first line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from chatir.prompts.cleaning.echoes import Echo, is_lead
from chatir.prompts.cleaning.labels import (
    ANSWERS,
    HEADING,
    LEAD,
    LONG_HEADING,
    answer_labels,
    has_label,
    unwrapped,
)
from chatir.prompts.cleaning.quotes import CLOSING, Edges

_MARK = re.compile(rf"\s?\?(?=\s?[{re.escape(CLOSING)}])")
"""A question mark before a closing quote, which stays at its word."""
_COURTESY = re.compile(
    r"(?:(?:(?:that(?:['\u2019]s| is) |what )?(?:an? )?(?:great|good|excellent|interesting|nice) (?:question|one)"
    r"|sure(?: thing)?|certainly|of course|absolutely|okay|ok|alright|great|no problem|got it|understood|gladly"
    r"|hello|hi|thanks|thank you(?: for (?:your|the|asking|sharing)(?: \w+){0,3})?"
    r"|(?:i(?:['\u2019]m| am|['\u2019]d be| would be) )?(?:happy|glad) to help(?: you)?(?: with (?:that|this))?"
    r"|let me (?:see|think|check|look|take a (?:closer )?look)(?: at (?:the|this) \w+)?)\W*+)++",
    re.IGNORECASE,
)
"""What a chat model says before it answers, on a line of its own."""
_LONGEST_COURTESY = 120
_LEAD_IN = re.compile(
    r"(?:(?:based on|looking at|according to|judging by|from) (?:the|this|your) (?:\w{1,20} )?(?:image|picture|photo)"
    r"|here(?:['\u2019]s| is) what i (?:can )?see(?: in (?:the|this) (?:image|picture|photo))?)\s?[:\uff1a]\s*",
    re.IGNORECASE,
)
"""What leads to the answer on its line."""

_COLONS = ":\uff1a"

_NOTHING, _COURTEOUS, _BEFORE_ECHO, _SAID, _LABELLED = range(5)
"""The rank of a text as the answer, the lowest first."""


class _Answer:
    """The answer so far, and how much it counts."""

    def __init__(self) -> None:
        self.text, self.weight = "", _NOTHING

    def hear(self, role: str, text: str, following: str) -> bool:
        """Take what a role says, and the role after it; False where the answer is complete, for the model goes on.

        The role is empty before the first label, and `echo` after an echo.
        """
        if role and role not in ANSWERS and self.weight >= _SAID:
            return False
        if not text or (role and role not in ANSWERS and role not in ("assistant", "echo")):
            return True
        weight = _LABELLED if role in ANSWERS else _SAID
        if role == "" and following:
            text, weight = _before(text, following)
        elif weight == _SAID and _is_courtesy(text):
            weight = _COURTEOUS
        if weight > self.weight or (weight == self.weight == _LABELLED):
            self.text, self.weight = text, weight
        return True


def heard_answer(lines: Iterable[str], echo: Echo | None) -> str | None:
    """The answer in the lines of one turn, None if they give none.

    A text after a label that introduces an answer wins over what stands before it, as long as no other role speaks
    between them.
    """
    answer, role = _Answer(), ""
    rows = echo.unwrapped(lines) if echo else [*lines]
    for place, row in enumerate(rows):
        heads = HEADING.fullmatch(row) or (place + 1 < len(rows) and LONG_HEADING.fullmatch(row))
        line = _heading(row) if heads else unwrapped(row, ANSWERS)
        for speaker, text, following in _pieces(line, role, echo):
            said = "" if echo and echo.cut_off(text) else text
            role = speaker if not said.strip() and not following else ""
            if not answer.hear(speaker, _said(said), following):
                return answer.text
        if answer.weight == _BEFORE_ECHO:
            answer.weight = _SAID
    return answer.text or None


def _heading(line: str) -> str:
    """A heading as the label that it is."""
    return f"{line.rstrip(_COLONS)}:"


def _pieces(line: str, role: str, echo: Echo | None) -> Iterator[tuple[str, str, str]]:
    """The parts of a line: who speaks, what is said, and the role that speaks after it. role: who speaks first."""
    cuts = [*answer_labels(line)]
    if echo:
        cuts = sorted([*cuts, *((start, end, "echo") for start, end in echo.places(line))])
    done = 0
    for start, end, following in cuts:
        if start >= done:
            yield role, line[done:start], following
            role, done = following, end
    yield role, line[done:], ""


def _said(text: str) -> str:
    """A text on its own without question marks, bullets and quotes; empty if it says nothing, or only leads in."""
    text = " ".join(_MARK.sub("", text).replace("?", " ").split())
    start, end = Edges(text, LEAD, has_label).bare(0, len(text))
    if lead_in := _LEAD_IN.match(text, start, end):
        start, end = Edges(text, LEAD, has_label).bare(lead_in.end(), end)
    text = text[start:end]
    return "" if text.endswith(tuple(_COLONS)) or not any(c.isalnum() for c in text) else text


def _before(text: str, following: str) -> tuple[str, int]:
    """A text before a label or an echo, without the signs that lead to an echo, and how much it counts."""
    if following not in ANSWERS and is_lead(text):
        return "", _NOTHING
    if _is_courtesy(text):
        return text, _COURTEOUS
    if following == "echo":
        return text.rstrip(" \"'\u201c\u2018(-\u2013\u2014,;"), _BEFORE_ECHO
    return text, _SAID


def _is_courtesy(text: str) -> bool:
    return len(text) <= _LONGEST_COURTESY and _COURTESY.fullmatch(text) is not None
