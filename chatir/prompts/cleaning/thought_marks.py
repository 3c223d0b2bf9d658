"""The marks around thoughts and responses in a reply: `<think>`, `[/THINK]`, `<answer>`, and where they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from chatir.prompts.cleaning.thought_names import Kind, read_mark, speaks_of_thoughts

_PAIRS = dict(
    zip(
        "<[{(\u25c1\u3010\u00ab\u2039\u3008\u27e8\uff1c\u300a\uff3b\uff5b\uff08\u3014",
        ">]})\u25b7\u3011\u00bb\u203a\u3009\u27e9\uff1e\u300b\uff3d\uff5d\uff09\u3015",
        strict=True,
    )
)
_OPENING, _CLOSING = re.escape("".join(_PAIRS)), re.escape("".join(_PAIRS.values()))
_MARK = re.compile(
    r"(?P<details><details\b[^<>]{0,200}+>)(?=\s{0,20}+<summary>(?P<summary>[^<>]{0,100}+))"
    r"|(?P<fence>`{3,}+|~{3,}+)(?=(?P<info>[^\n`~]{0,60}+)(?P<line>\n?))"
    rf"|(?P<open>[{_OPENING}])(?P=open){{0,2}}+(?P<bar>[|\uff5c]?+)(?P<body>[^{_OPENING}{_CLOSING}|\uff5c\n]{{1,120}}+)"
    rf"[|\uff5c]?+(?P<close>[{_CLOSING}])(?P=close){{0,2}}+"
)
"""What may be a mark. No body holds a bracket, so that no text is read twice."""

_TOKENS = {"unused94": "", "unused95": "/", "ctrl94": "", "ctrl95": "/", "inner_prefix": "", "inner_suffix": "/"}
"""Control tokens around thoughts, and their slashes: those of MedGemma and Apertus."""
_SPEAKERS = ("content", "assistant")
"""Elements that hold the response."""

_PARENTHESES = "(\uff08"
_WEAK = "[{\uff3b\uff5b\u00ab\u2039"
"""Brackets that stand around ordinary words too."""
_QUOTES = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019", "\u201e": "\u201c", "\u00ab": "\u00bb"}
_QUOTES |= {"\u300c": "\u300d", "\u300e": "\u300f"}
_SENTENCE_ENDS = ".!?\u2026\u3002\uff01\uff1f"
_NEAR = 40
"""Characters before a mark that are looked at, at most."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of what is spoken; its kind is empty unless marks around it say that it is the response."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class _Mark:
    kind: Kind
    slash: str  # "/" closes, "." ends in a slash, empty opens
    start: int
    end: int
    bracket: str = ""  # empty for a fence, a control token or an element with an attribute: never a word in a sentence


def spoken_parts(text: str) -> list[Part]:
    """What is spoken, part by part, without thoughts and without the marks.

    A closing mark that nothing opened makes a thought of all before it; an opening mark that nothing closes, of all
    after it, unless a whole response ends the text.
    """
    parts: list[Part] = []
    inside: Part | None = None  # the last response within the open thought
    thinking, start = False, 0
    kind: Kind = ""
    for mark in _counting([*_marks(text)], text):
        if thinking and mark.kind == "thought" and not mark.slash:
            continue
        said = text[start : mark.start]
        start = mark.end
        if mark.kind != "thought":
            inside = Part(mark.kind, said) if mark.slash and kind else None
            parts += [] if thinking else [Part(kind or (mark.kind if mark.slash else ""), said)]
            kind = "" if mark.slash else mark.kind
        elif thinking or mark.slash == "/":
            parts = parts if thinking else []
            thinking, kind, inside = False, "", None
        else:
            parts.append(Part(kind, said))
            thinking = not mark.slash
            kind = "" if thinking else kind
    if not thinking:
        parts.append(Part(kind, text[start:]))
    elif inside and not text[start:].strip():
        parts.append(inside)
    return [part for part in parts if part.text.strip()]


def _counting(marks: list[_Mark], text: str) -> Iterator[_Mark]:
    """The marks that are no ordinary words, by where they stand and whether a closing mark comes after them."""
    opened = {mark.kind for mark in marks if mark.bracket in _PARENTHESES and mark.bracket and not mark.slash}
    closed: set[tuple[Kind, bool]] = set()
    kept: list[_Mark] = []
    said = len(text.rstrip())
    for mark in reversed(marks):
        parenthesis = bool(mark.bracket) and mark.bracket in _PARENTHESES
        if mark.slash:
            if not parenthesis or mark.kind in opened or "/" in text[mark.start : mark.end]:
                closed.add((mark.kind, parenthesis))
                kept.append(mark)
        elif (mark.kind, parenthesis) in closed or (not parenthesis and _stands_alone(text, mark, said)):
            kept.append(mark)
    return reversed(kept)


def _stands_alone(text: str, mark: _Mark, said: int) -> bool:
    """Whether an opening mark that nothing closes is one, and not a word in a sentence. said: where the text ends."""
    if not mark.bracket:
        return True
    line = text[max(0, mark.start - _NEAR) : mark.start].rpartition("\n")[2]
    before, after = line.rstrip(), text[mark.end : mark.end + 1]
    if not before.strip("*_#>- "):
        return mark.bracket not in "\u00ab\u2039" or not after.isspace() or after == "\n"
    if mark.bracket in _WEAK:
        return False
    word_before = before != line and before[-1] not in _SENTENCE_ENDS
    return not word_before or not (mark.end >= said or after in " \t.,;:!?)]'\"\u2019\u201d\u2026")


def _marks(text: str) -> Iterator[_Mark]:
    elements: set[str] = set()
    fences: list[Kind] = []
    for found in _MARK.finditer(text):
        if found["fence"]:
            yield from _fence(found, fences)
        elif _QUOTES.get(text[found.start() - 1 : found.start()]) == (text[found.end() : found.end() + 1] or "end"):
            continue
        elif found["details"]:
            if speaks_of_thoughts(found["summary"]) or read_mark(found["details"][1:-1])[0]:
                elements.add("details")
                yield _Mark("thought", "", *found.span("details"))
        elif _PAIRS[found["open"]] == found["close"]:
            yield from _bracketed(found, elements)


def _bracketed(found: re.Match[str], elements: set[str]) -> Iterator[_Mark]:
    """A name in brackets. elements: names of elements that an attribute made thoughts, to which one is added."""
    start, end = found.span()
    kind, slash, element = read_mark(found["body"])
    if found["body"] in _TOKENS:
        yield _Mark("thought", _TOKENS[found["body"]], start, end)
    elif found["open"] == "<" and not found["bar"] and found["body"].lower().strip("/") in _SPEAKERS:
        yield _Mark("answer", "/" * found["body"].startswith("/"), start, end, "<")
    elif element:
        if kind and not slash:
            elements.add(element)
        if kind or (slash == "/" and element in elements):
            yield _Mark("thought", slash, start, end)
    elif kind:
        yield _Mark(kind, slash, start, end, "" if found["bar"] else found["open"])


def _fence(found: re.Match[str], fences: list[Kind]) -> Iterator[_Mark]:
    """A code fence named after a thought or a response, or its end. fences: what is open, outermost first."""
    start, end = found.span("fence")
    info = found["info"].strip(" \t{}")
    if fences:
        if info and found["line"] and re.fullmatch(r"\w+", info):
            fences.append("")
        elif kind := fences.pop():
            yield _Mark(kind, "/", start, end)
    elif not found.string[max(0, start - _NEAR) : start].rpartition("\n")[2].strip():
        for name in (found["info"], found["info"].partition(" ")[0]):  # ```thinking Two boats.
            kind, slash, element = read_mark(name.strip("{}"))
            if kind and not slash and not element:
                fences.append(kind)
                yield _Mark(kind, "", start, end + len(name))
                break
