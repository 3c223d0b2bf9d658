"""From a model's raw text to one line, one function a role. Who calls them keeps the raw text beside it."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Literal

from chatir.prompts.cleaning.echoes import Echo
from chatir.prompts.cleaning.heard import heard_answer
from chatir.prompts.cleaning.labels import ASKS, HEADING, LABEL, LEAD, QUESTIONS, has_label, labels, unwrapped
from chatir.prompts.cleaning.quotes import CLOSING, Edges, closed_by, quoted
from chatir.prompts.cleaning.thoughts import without_thoughts

TURN = re.compile(
    r"<\|(?:(?:im_start|start_header_id)\|>|turn>)\s*\w*|<start_of_turn>\s*\w*|<[|\uff5c][^<>|\uff5c\s]+[|\uff5c]>|<turn\|>"
    r"|<(?:/s|eos|end_of_turn|extra_id_\d+)>|\[/?INST\]",
    re.IGNORECASE,
)
"""A control token with which a model, or its chat template, begins or ends a turn."""
_FILLING = re.compile(r"<(?:s|bos|pad|unk)>", re.IGNORECASE)

_FENCED = re.compile(r"\s*+```+[^\S\n]*+(?:\w++[^\S\n]*+\n|\n)(?P<inside>[^`]*+)```+\s*+")
"""A reply that is all in a code fence."""
_KEYS = {
    "question": ("question", "next_question", "final_question", "text"),
    "answer": ("final_answer", "answer", "response", "reply", "text"),
}
"""The keys of a JSON object under which the text may stand."""
_TAG = re.compile(r"</?(?:b|i|u|em|strong|(?P<breaks>br|p))\s?/?>", re.IGNORECASE)
_MARKDOWN = re.compile(r"[*_`]+")
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
MARK = re.compile(r"[?\uff1f\ufe56\u061f\u037e]")
"""The question marks of several scripts."""
_MARKS = re.compile(rf"\s*{MARK.pattern}(?:\s*{MARK.pattern})*")
"""Some of them, with the space before them."""

_ASKERS = QUESTIONS | {"", "assistant", "response", "reply"}
_NEXT_ITEM = re.compile(r"(?<=\?)\s*\(?\d{1,2}[.)]\s")
_PREAMBLE = re.compile(
    r"(?:sure|certainly|of course|okay|ok|absolutely|great|alright)\b[^\w\s?]+\s+"
    r"|[^?:\uff1a]{0,200}?\bquestions?\b[^?:\uff1a]{0,100}[:\uff1a]",
    re.IGNORECASE,
)
"""How a chat model starts: `Sure!`, `Here's a question for you:`."""
_PASSES = 16
"""How often a text is cleaned again before a model is taken to be caught in a loop."""


def clean_question(raw: str) -> str | None:
    """The question in a model's reply, as one line that ends in `?`; None if there is none.

    The first line that asks something, without label, numbering, markdown and quotes, cut after its last
    question mark and where the model goes on to other roles. A question without its mark is given one. A
    repeated question is left as it is: repeats are what chatir measures.
    """
    return _settled(_question, raw)


def clean_answer(raw: str, question: str | None = None) -> str | None:
    """The answer in a model's reply, as one line; None if it says nothing.

    What a label introduces as the answer, else the first line that says something, without numbering,
    markdown and quotes, cut where the model goes on to other roles. A lead-in that ends in a colon is no
    answer, nor is a question that the reply copies. Question marks go: in a dialogue file they would move
    the border between question and answer.

    question: what was asked. An echo of it, the same words again, is no answer either.
    """
    echo = None if question is None else Echo(question)
    return _settled(lambda text: _answer(text, echo), raw)


def _settled(clean: Callable[[str], str | None], raw: str) -> str | None:
    text = clean(raw)
    for _ in range(_PASSES):
        if text is None or (again := clean(text)) == text:
            return text
        text = again
    return None


def _question(raw: str) -> str | None:
    spoken = _unpacked(without_thoughts(raw, "question"), "question")
    for line in _lines(_FILLING.sub(" ", TURN.sub("\n", spoken))):
        if HEADING.fullmatch(line):
            continue
        for place, (role, said) in enumerate(_turns(unwrapped(line, QUESTIONS))):
            if role not in _ASKERS:
                if place == 0:
                    return None
                break
            if (text := _asked(said)) and _speaks(text):
                return text
    return None


def _answer(raw: str, echo: Echo | None) -> str | None:
    turns = TURN.split(_FILLING.sub(" ", _unpacked(without_thoughts(raw, "answer"), "answer")))
    return next((text for turn in turns if (text := heard_answer(_lines(turn), echo))), None)


def _unpacked(spoken: str, role: Literal["question", "answer"]) -> str:
    """A reply out of the code fence around it, and out of the JSON object that it is."""
    bare = TURN.sub(" ", spoken).strip() if "{" in spoken or "```" in spoken else spoken
    text = found["inside"].strip() if (found := _FENCED.fullmatch(bare)) else bare
    if text.startswith("{") and text.endswith("}"):
        with suppress(ValueError, RecursionError):
            told = {key.casefold().replace(" ", "_"): said for key, said in json.loads(text, strict=False).items()}
            said = [told[key] for key in _KEYS[role] if isinstance(told.get(key), str | int)]
            return str(said[0]) if said else spoken
    return text if found else spoken


def _lines(spoken: str) -> Iterator[str]:
    """The lines of a text that are not blank, printable, with question marks of one kind and without markdown."""
    for line in spoken.splitlines():
        seen = "".join(c if c.isprintable() else " " for c in line if unicodedata.category(c) != "Cf")
        if "`" in seen:
            seen = _CODE.sub(lambda code: f'"{code[1]}"' if LABEL.search(code[1]) else code[0], seen)
        seen = _TAG.sub(lambda tag: " " * bool(tag["breaks"]), seen)
        text = _MARKS.sub("?", " ".join(_MARKDOWN.sub(_kept, seen).split()))
        if text:
            yield text


def _kept(marks: re.Match[str]) -> str:
    """What stays of markdown's marks: one within a word, and all of an identifier's underscores."""
    text, start, end = marks.string, *marks.span()
    within = _is_word(text[start - 1 : start]) and _is_word(text[end : end + 1])
    return marks[0] if within and (end - start == 1 or not marks[0].strip("_")) else ""


def _is_word(character: str) -> bool:
    return character.isalnum()


def _turns(line: str) -> Iterator[tuple[str, str]]:
    """The parts of a line by who speaks; the role is empty before the first label."""
    role, start = "", 0
    for place, end, following in labels(line):
        if said := line[start:place].strip():
            yield role, said
        role, start = following, end
    yield role, line[start:].strip()


def _asked(text: str) -> str | None:
    edges = Edges(text, LEAD, has_label)
    start, end = edges.bare(0, len(text))
    inside = quoted(text)
    while not ASKS.match(text, start, end) and (preamble := _PREAMBLE.match(text, start, end)):
        if inside[preamble.end() - 1]:
            break
        start, end = edges.bare(preamble.end(), end)
    text = text[start:end]
    head, mark, rest = _NEXT_ITEM.split(text, maxsplit=1)[0].rpartition("?")
    if mark:
        closing = rest[: len(rest) - len(rest.lstrip(CLOSING))]
        head, _, closing = _unquoted(head + mark + closing).rpartition("?")
        closers = closed_by(head)
        return _unquoted(head + "".join(c for c in closing if c in closers)) + "?"
    if ASKS.match(text) and not text.endswith((":", "\uff1a", "!")):
        return text.rstrip(" .,;") + "?"
    return None


def _unquoted(text: str) -> str:
    start, end = Edges(text, LEAD, has_label).unquoted(0, len(text))
    return text[start:end]


def _speaks(text: str) -> bool:
    return any(c.isalnum() for c in text)
