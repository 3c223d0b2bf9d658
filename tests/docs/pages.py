"""The pages of the documentation, read as GitHub reads them: their blocks, links, anchors and commands in passing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

PROJECT = Path(__file__).resolve().parents[2]
FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block. page: its name. line: of its fence there, from 1. title: None if it has none."""

    page: str
    line: int
    language: str
    title: str | None
    text: str

    @property
    def where(self) -> str:
        """For a person to find it."""
        return f"{self.page}, line {self.line}"


@dataclass(frozen=True)
class Page:
    """A Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        """Its path in the project, or its file name elsewhere."""
        inside = self.path.is_relative_to(PROJECT)
        return self.path.relative_to(PROJECT).as_posix() if inside else self.path.name

    @cached_property
    def text(self) -> str:
        """Without front matter, in whose place are empty lines."""
        return FRONT_MATTER.sub(lambda match: "\n" * match[0].count("\n"), self.path.read_text())

    @cached_property
    def tokens(self) -> list[Token]:
        """What the parser makes of it."""
        return MarkdownIt("commonmark").enable("table").parse(self.text)

    @property
    def blocks(self) -> list[Block]:
        """The fenced blocks, in order."""
        return [self._block(token) for token in self.tokens if token.type == "fence"]

    def plain(self, language: str) -> list[Block]:
        """The blocks of a language that are run."""
        return [block for block in self.blocks if block.language == language and block.title is None]

    @property
    def links(self) -> list[str]:
        """The targets of links and pictures."""
        found = [(token.attrGet("href"), token.attrGet("src")) for token in self.inline]
        return [str(target) for pair in found for target in pair if target]

    @property
    def spans(self) -> list[str]:
        """Code within sentences."""
        return [token.content.strip() for token in self.inline if token.type == "code_inline"]

    @property
    def inline(self) -> Iterator[Token]:
        """What stands in sentences, cells and headings."""
        return (child for token in self.tokens for child in token.children or ())

    @property
    def anchors(self) -> list[str]:
        """Where links into it can lead: its headings, as GitHub names them, but for what it counts (`-1`)."""
        headings = zip(self.tokens, self.tokens[1:], strict=False)
        return [slug(said) for token, said in headings if token.type == "heading_open"]

    def _block(self, token: Token) -> Block:
        language, _, rest = token.info.strip().partition(" ")
        title = re.fullmatch(r'title="([^"]*)"', rest.strip())
        assert title or not rest, f"{self.name}: cannot read the fence ```{token.info}"
        line = 1 + (token.map or [0])[0]
        return Block(self.name, line, language, title[1] if title else None, token.content)


def slug(heading: Token) -> str:
    """The anchor of a heading: `## Hits@K, by round` is at `hitsk-by-round`."""
    text = "".join(child.content for child in heading.children or () if child.type in ("text", "code_inline"))
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def written_pages() -> list[Page]:
    """README, and the pages in docs/."""
    return [Page(PROJECT / "README.md"), *_found("docs/**/*.md")]


def all_pages() -> list[Page]:
    """Every page that people read, model cards included."""
    cards = _found("chatir/models/builtin/*/README.md")
    return [*written_pages(), Page(PROJECT / "CONTRIBUTING.md"), Page(PROJECT / "CHANGELOG.md"), *cards]


def _found(pattern: str) -> list[Page]:
    return [Page(path) for path in sorted(PROJECT.glob(pattern))]
