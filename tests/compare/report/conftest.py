"""A real browser for the report's page, and what it must never do."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@dataclass
class Troubles:
    """What a page did that it must not: dialogs, requests, errors."""

    seen: list[str] = field(default_factory=list)

    def watch(self, page: Any) -> None:
        page.on("dialog", lambda dialog: (self.seen.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("console", lambda said: self.seen.append(f"console: {said.text}") if said.type == "error" else None)
        page.on("pageerror", lambda error: self.seen.append(f"error: {error}"))
        page.on("popup", lambda other: self.seen.append(f"popup: {other.url}"))
        page.on("request", self._asked)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(("file:", "data:")):
            self.seen.append(f"request: {request.url}")


Open = Callable[..., Any]


# Not for the whole session: while it is open, its event loop counts as running, and asyncio.run fails in other tests.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    binary = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if binary is None:
        pytest.skip("no Chromium is in PATH")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def troubles() -> Troubles:
    return Troubles()


@pytest.fixture
def open_page(chromium: Any, troubles: Troubles) -> Iterator[Open]:
    """Open a file from disk; whatever else the test looks at, the page must have done nothing that it must not."""
    contexts = []

    def open_(path: Path, width: int = 1200, fragment: str = "", **options: Any) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": 900}, reduced_motion="reduce", **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(5000)
        troubles.watch(page)
        page.goto(path.as_uri() + fragment)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert troubles.seen == []
