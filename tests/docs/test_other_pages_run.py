"""What README, tutorial, reference and explanation tell to type works, in their order."""

from __future__ import annotations

from pathlib import Path

import pytest
from docs.page_runs import run_or_skip, runnable
from docs.pages import Page, other_pages


@pytest.mark.slow
@runnable(other_pages())
def test_the_page_can_be_typed_as_it_stands(page: Page, tmp_path: Path, data: Path) -> None:
    run_or_skip(page, tmp_path, data)
