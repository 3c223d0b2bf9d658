"""The page about the released files shows what chatir prints of them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from docs.pages import PROJECT, Page


def test_the_comparisons_on_the_page_are_what_a_terminal_of_118_columns_shows(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chatir.compare import compare
    from chatir.compare.tables.terminal import as_text

    names = ["ChatGPT_BLIP2.json", "FLAN_ALPACA_XXL_BLIP2.json", "VisDial_v1.0_queries_val.json"]
    for name in names:
        shutil.copy(shared / "data" / "chatir" / "dialogues" / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    made = compare(names)
    page = Page(PROJECT / "docs" / "explanation" / "released-files.md")
    texts = [block.text for block in page.plain("text")]
    for everything in (False, True):
        shown = re.sub(r"\x1b\[[0-9;]*m", "", as_text(made, width=118, color=True, everything=everything))
        assert "\n".join(line.rstrip() for line in f"{shown.rstrip()}\n".split("\n")) in texts
