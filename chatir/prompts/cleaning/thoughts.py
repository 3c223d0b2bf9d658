"""What of a model's reply is spoken: a reply without the thoughts that were put down before it."""

from __future__ import annotations

import re

from chatir.prompts.cleaning.thought_channels import final_channel
from chatir.prompts.cleaning.thought_marks import spoken_parts
from chatir.prompts.cleaning.thought_names import Kind

_BEFORE_HEADING = r"[ \t#>*_\-]*+"
_AFTER_HEADING = r"[*_ \t]*+(?:[:\uff1a][*_ \t]*+|(?P<bare>$))"
_THOUGHT_HEADING = re.compile(
    rf"\s*+{_BEFORE_HEADING}(?:(?:my|the|initial|internal|inner|brief|detailed|step[- ]by[- ]step|visual)[ \t]+){{0,2}}"
    r"(?:thinking|thoughts?|reasoning|analysis|rationale|reflection|chain[- ]of[- ]thoughts?"
    r"|\u601d\u8003|\u63a8\u7406|\u5206\u6790|\u601d\u8def)(?:[ \t]*(?:process|steps?|\u8fc7\u7a0b|\u904e\u7a0b))?"
    rf"{_AFTER_HEADING}",
    re.IGNORECASE | re.MULTILINE,
)
"""What a reply begins with that thinks before it speaks: `Reasoning:`, `**Thought:**`, `## Analysis`."""
_RESULT_HEADING = re.compile(
    rf"(?:^{_BEFORE_HEADING}|(?<=[.!?] )[*_]*+)"
    r"(?:(?:so|my|the|final|next|new|short|best|follow[- ]?up|\u6700\u7ec8|\u6700\u7d42)[ \t]*){0,3}"
    r"(?:(?P<question>questions?|\u95ee\u9898|\u8cea\u554f)|answer|response|reply|conclusion|result|output"
    r"|\u7b54\u6848|\u56de\u7b54|\u7b54\u3048|\u7ed3\u8bba)"
    rf"(?:[ \t]*#?\d{{1,2}})?(?:[ \t]+is|\u662f)?{_AFTER_HEADING}",
    re.IGNORECASE | re.MULTILINE,
)
_PROCESS = re.compile(
    r"^[ \t#>*_]*+(?:\w{1,20}+[!.,] )?here(?:['\u2019]s| is) (?:my|the|a) (?:\w{1,20} )?"
    r"(?:thought|thinking|reasoning)(?: process)?[*_ ]*+:",
    re.IGNORECASE | re.MULTILINE,
)
_RESULT = re.compile(
    r"here(?:['\u2019]s| is) (?:my|the|a) (?:\w{1,20} )?(?:response|answer|question|reply|result)[*_ ]*+:[*_]*+",
    re.IGNORECASE,
)
_BOX = re.compile(
    r"(?:(?P<math>\$\$?|\\[(\[]) ?)?\\boxed ?\{(?P<said>(?:[^{}]++|\{[^{}]*+\})*+)\}(?(math)(?: ?(?:\$\$?|\\[)\]]))?)"
)
_TEXT = re.compile(r"\\(?:text|mathrm|textbf|mathbf) ?\{([^{}]*+)\}")


def without_thoughts(raw: str, role: Kind = "") -> str:
    """The part of a model's reply that is spoken; empty if it holds thoughts only, closed or not.

    Thoughts are known by marks in any brackets, by channels and by headings. Where a response is marked, the last one
    that is not blank counts. role: what is looked for, "question" or "answer", in a reply that marks both.
    """
    parts = spoken_parts(final_channel(raw))
    marked = [part for part in parts if part.kind]
    wanted = [part for part in marked if part.kind == role] or marked or parts
    return _after_headings(_unboxed(wanted[-1].text), role).strip() if wanted else ""


def all_questions(raw: str) -> str:
    """A reply without its thoughts, as `without_thoughts` has it, but with each of several marked questions a line."""
    questions = [part.text for part in spoken_parts(final_channel(raw)) if part.kind == "question"]
    return "\n".join(questions) if len(questions) > 1 else without_thoughts(raw, "question")


def _unboxed(text: str) -> str:
    r"""The text with the content of each `\boxed{...}` in its place; one alone on the last line is all that counts."""
    boxes = [*_BOX.finditer(text)]
    if not boxes:
        return text
    last = boxes[-1]
    alone = not text[last.end() :].strip(" \t\r\n.") and not text[: last.start()].rpartition("\n")[2].strip()
    said = last["said"] if alone else _BOX.sub(lambda box: box["said"], text)
    return _TEXT.sub(r"\1", said)


def _after_headings(text: str, role: Kind) -> str:
    """What a reply that begins with a heading for a thought says under its heading for the result."""
    if process := _PROCESS.search(text):
        results = [*_RESULT.finditer(text, process.end())]
        return text[results[-1].end() :] if results else ""
    heading = _THOUGHT_HEADING.match(text)
    if not heading:
        return text
    if under := _under(text, heading.end(), role):
        return next((said for said in reversed(under) if said.strip()), "")
    return text[heading.end() :].partition("\n")[2].strip() or text


def _under(text: str, start: int, role: Kind) -> list[str]:
    """What stands under each heading for a result; with a role, under those of the first of its kind in a row."""
    found = [*_RESULT_HEADING.finditer(text, start)]
    if role and found:
        of_role = [(one["question"] is not None) == (role == "question") for one in found]
        if role == "answer" and not any(of_role):
            return [""]
        first = of_role.index(True) if any(of_role) else 0
        others = [place for place in range(first, len(found)) if of_role[place] != of_role[first]]
        found = found[first : others[0] if others else None]
    ends = [one.start() for one in found[1:]] + [len(text)]
    return [text[one.end() : end] for one, end in zip(found, ends, strict=False)]
