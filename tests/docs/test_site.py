"""The site: built from the pages, it is whole on disk and needs no other host. Skipped without the extra `docs`."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from docs.pages import PROJECT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built without `--strict`: what that refuses, other tests and `make docs` tell."""
    for package in ("mkdocs", "material", "nbconvert"):
        pytest.importorskip(package, reason="pip install '.[docs]' brings it")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    subprocess.run(command, cwd=PROJECT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, check=True)
    return folder


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=\"([^\"]*)\"", page.read_text())
        assert loaded
        assert [url for url in loaded if "//" in url] == [], page
    for sheet in site.rglob("*.css"):
        assert "url(http" not in sheet.read_text().replace('"', ""), sheet


def test_pages_from_outside_docs_are_there_and_links_lead_to_them(site: Path) -> None:
    for name in ("contributing", "changelog", "models/blip2", "models/clip", "models/t5"):
        assert (site / f"{name}.html").is_file()
    assert 'href="../models/t5.html"' in (site / "explanation" / "scenes.html").read_text()
    card = (site / "models" / "t5.html").read_text()
    assert "<table>" in card
    assert "library_name" not in card


@pytest.mark.parametrize(
    ("page", "link", "led"),
    [
        ("contributing.md", "docs/how-to/compare.md#formats", "how-to/compare.md#formats"),
        ("contributing.md", "CHANGELOG.md", "changelog.md"),
        ("models/t5.md", "../../../../docs/explanation/scenes.md", "../explanation/scenes.md"),
        ("models/t5.md", "../clip/README.md", "clip.md"),
        ("explanation/scenes.md", "../../chatir/models/builtin/t5/README.md#training", "../models/t5.md#training"),
        ("explanation/scenes.md", "../../README.md", "../index.md"),
        ("explanation/scenes.md", "../../examples/everyday_scenes.json", "../examples/everyday_scenes.json"),
        ("explanation/scenes.md", "../reference/files.md", "../reference/files.md"),
        ("explanation/scenes.md", "../../chatir/cli.py", "../../chatir/cli.py"),
        ("explanation/scenes.md", "https://example.org/docs/x.md", "https://example.org/docs/x.md"),
    ],
)
def test_a_link_leads_to_the_same_page_on_github_and_on_the_site(page: str, link: str, led: str) -> None:
    pytest.importorskip("mkdocs", reason="pip install '.[docs]' brings it")
    hook = runpy.run_path(str(PROJECT / "docs" / "outside_pages.py"))["on_page_markdown"]
    at = SimpleNamespace(file=SimpleNamespace(src_uri=page))
    assert hook(f"[a]({link}) and `b`", at, None, None) == f"[a]({led}) and `b`"


def test_the_python_page_shows_signatures_with_their_types(site: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (site / "reference" / "python.html").read_text())
    assert "rounds: int = 10" in text
    assert ") -&gt; RunSummary" in text


def test_search_has_what_it_needs_where_a_page_is_opened_from_disk(site: Path) -> None:
    assert (site / "search" / "search_index.js").is_file()
    assert 'src="iframe-worker.js"' in (site / "index.html").read_text()
    assert (site / "iframe-worker.js").is_file()
