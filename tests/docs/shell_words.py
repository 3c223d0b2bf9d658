"""Takes a shell script apart into the commands that it calls, as far as documentation goes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

BEFORE = {"!", "{", "time", "if", "elif", "while", "until", "then", "do", "else", "env", "exec", "command"}
HEREDOC = re.compile(r"<<-?\s*[\"']?(\w+)[\"']?")
SUBSTITUTION = re.compile(r"\$\((.*?)\)", re.DOTALL)


def called(script: str) -> Iterator[list[str]]:
    """Each command with its words: of lists, pipes, subshells and substitutions; not of texts that it writes."""
    for tokens in _logical_lines(script):
        yield from _commands(tokens)
        for token in tokens:
            for inner in SUBSTITUTION.findall(token):
                yield from called(inner)


def _logical_lines(script: str) -> Iterator[list[str]]:
    lines = iter(script.splitlines())
    for first in lines:
        line = first
        while (tokens := _tokens(line)) is None:
            following = next(lines, None)
            if following is None:
                raise ValueError(f"a quotation or a line that goes on never ends: {line}")
            line = f"{line.removesuffix(chr(92))} {following}" if line.endswith("\\") else f"{line}\n{following}"
        for end in HEREDOC.findall(line):
            for text in lines:
                if text.strip() == end:
                    break
        yield tokens


def _tokens(line: str) -> list[str] | None:
    """The words of a line; None if it goes on in the next one."""
    if line.endswith("\\"):
        return None
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|()<>")
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError:
        return None


def _commands(tokens: list[str]) -> Iterator[list[str]]:
    words: list[str] = []
    skipped = False
    for token in [*tokens, ";"]:
        if skipped:
            skipped = False
        elif set(token) <= set("<>&") and set(token) & set("<>"):
            words = words[:-1] if words and words[-1].isdigit() else words
            skipped = True
        elif set(token) <= set(";&|()"):
            yield from _bare(words)
            words = []
        else:
            words.append(token)


def _bare(words: list[str]) -> Iterator[list[str]]:
    """Without what may stand before a command: assignments, `if`, `timeout 5`."""
    while words and (words[0] in BEFORE or re.match(r"\w+=", words[0])):
        words = words[1:]
    if words and words[0] == "timeout":
        arguments = [position for position, word in enumerate(words[1:], 1) if not word.startswith("-")]
        words = words[arguments[0] + 1 :]
    if words:
        yield words
