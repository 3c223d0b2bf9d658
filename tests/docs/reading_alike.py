"""Markdown that GitHub and the site's parser read differently: where the latter wants an empty line or four spaces."""

from __future__ import annotations

from collections.abc import Iterator

from docs.pages import Page


def read_differently(page: Page) -> Iterator[str]:
    """Lists and tables that follow text without an empty line, and lists that are nested by fewer than four spaces."""
    lines = page.text.splitlines()
    depth = 0
    for token in page.tokens:
        if token.type in ("bullet_list_close", "ordered_list_close"):
            depth -= 1
        if token.type not in ("bullet_list_open", "ordered_list_open", "table_open"):
            continue
        first = (token.map or [0])[0]
        where = f"{page.name}, line {first + 1}"
        indent = len(lines[first]) - len(lines[first].lstrip())
        before = lines[first - 1].strip() if first else ""
        if not depth and before and not before.startswith("<!--"):
            yield f"{where}: an empty line is wanted before it"
        if token.type != "table_open":
            if indent < 4 * depth:
                yield f"{where}: a list in a list is indented by four spaces"
            depth += 1
