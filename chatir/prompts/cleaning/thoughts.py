"""What of a model's reply is spoken: a reply without the thoughts that were put down before it."""

from __future__ import annotations

import re

from chatir.prompts.cleaning.thought_channels import final_channel
from chatir.prompts.cleaning.thought_marks import Part, spoken_parts
from chatir.prompts.cleaning.thought_names import Kind, read_mark

_BEFORE_HEADING = r"[ \t#>*_\-]*+"
_AFTER_HEADING = r"[*_ \t]*+(?:[:\uff1a][*_ \t]*+|(?P<bare>$))"
_THOUGHT_HEADING = re.compile(
    rf"\s*+{_BEFORE_HEADING}(?:(?:my|the|initial|internal|inner|brief|detailed|step[- ]by[- ]step|visual)[ \t]+){{0,2}}"
    r"(?:(?P<explicit>thinking|thoughts?|reasoning|chain[- ]of[- ]thoughts?)|analysis|rationale|reflection"
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
    r"^[ \t#>*_]*+(?:\w{1,20}+[!.,] )?here(?:['\u2019]s| is| are) (?:my|the|a) (?:\w{1,20} )?"
    r"(?:thoughts?|thinking|reasoning)(?: process| steps)?[*_ ]*+:",
    re.IGNORECASE | re.MULTILINE,
)
_RESULT = re.compile(
    r"here(?:['\u2019]s| is) (?:my|the|a) (?:\w{1,20} )?(?:response|answer|question|reply|result)[*_ ]*+:[*_]*+",
    re.IGNORECASE,
)
_SESSION = re.compile(r"\s*+thinking(?:\.\.\.|\u2026)[^\S\n]*+\n", re.IGNORECASE)
_DONE = re.compile(r"^(?:\.\.\.|\u2026) ?done thinking\b\.?", re.IGNORECASE | re.MULTILINE)
"""How Ollama's terminal shows a thought: `Thinking...`, then `...done thinking.`."""
_ASIDE = re.compile(
    r"\s*+(?:>[ \t#>*_\-]*+"
    r"(?:thought for[^\n]{1,40}|(?:thinking|thoughts?|reasoning|analysis)(?: process)?)[*_:. \t]*+\n"
    r"(?:[ \t]*+>[^\n]*+(?:\n|\Z))++"
    r"|\[(?:thinking|thoughts?|reasoning|analysis)(?: process)?:[^\[\]]*+\][^\S\n]*+\n)",
    re.IGNORECASE,
)
"""A thought at the beginning that is a quotation, or stands in brackets with its heading."""
_ESCAPED = re.compile(r"&lt;(?P<body>/?\w{1,40})&gt;")

_BOX = re.compile(
    r"(?:(?P<math>\$\$?|\\[(\[]) ?)?\\boxed ?\{(?P<said>(?:[^{}]++|\{[^{}]*+\})*+)\}(?(math)(?: ?(?:\$\$?|\\[)\]]))?)"
)
_TEXT = re.compile(r"\\(?:text|mathrm|textbf|mathbf) ?\{([^{}]*+)\}")


def without_thoughts(raw: str, role: Kind = "") -> str:
    """The part of a model's reply that is spoken; empty if it holds thoughts only, closed or not.

    Thoughts are known by marks in any brackets, by channels and by headings. Where a response is marked, the last one
    that is not blank counts. role: what is looked for, "question" or "answer", in a reply that marks both.
    """
    parts = _parts(raw)
    marked = [part for part in parts if part.kind]
    wanted = [part for part in marked if part.kind == role] or marked or parts
    return _after_headings(_unboxed(wanted[-1].text), role).strip() if wanted else ""


def all_questions(raw: str) -> str:
    """A reply without its thoughts, as `without_thoughts` has it, but with all that is spoken between them.

    Each of several marked questions is a line.
    """
    parts = _parts(raw)
    questions = [part.text for part in parts if part.kind == "question"]
    if len(questions) > 1:
        return "\n".join(questions)
    if len(parts) < 2 or any(part.kind for part in parts):
        return without_thoughts(raw, "question")
    return _after_headings(_unboxed("\n".join(part.text for part in parts)), "question").strip()


def _parts(raw: str) -> list[Part]:
    text = raw
    if "<!--" in text:
        pieces = text.split("-->")
        text = "".join([*(_before_comment(piece) for piece in pieces[:-1]), pieces[-1]])
    if "&lt;" in text:
        text = _ESCAPED.sub(lambda found: f"<{found['body']}>" if read_mark(found["body"])[0] else found[0], text)
    if session := _SESSION.match(text):
        done = _DONE.search(text, session.end())
        text = text[done.end() :] if done else ""
    if aside := _ASIDE.match(text):
        text = text[aside.end() :]
    return spoken_parts(final_channel(text))


def _before_comment(text: str) -> str:
    """A text that ended in `-->` without the comment that this closes."""
    spoken, opened, _ = text.partition("<!--")
    return spoken if opened else f"{text}-->"


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
    first, _, rest = text[heading.end() :].partition("\n")
    if heading["explicit"] and heading["bare"] is None and (not rest.strip() or _is_single(first, rest)):
        return ""
    return rest.strip() or text


def _is_single(first: str, rest: str) -> bool:
    """Whether all that stands below a heading is one line."""
    return not first.strip() and "\n" not in rest.strip()


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
