"""Links of a page that lead nowhere, on GitHub or on the site."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from docs.pages import Page


def dead_links(page: Page) -> Iterator[str]:
    """Relative links to files that are not there, or to headings that are not there or there twice."""
    for link in page.links:
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        path = page.path.parent / target if target else page.path
        if not path.exists():
            yield f"{page.name}: {link}: there is no such file"
        elif anchor and (times := Counter(Page(path).anchors)[anchor]) != 1:
            yield f"{page.name}: {link}: there are {times} headings of that name"
