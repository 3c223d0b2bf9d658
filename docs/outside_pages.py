"""A hook of the site: pages that lie outside docs/ become pages of it, and links to and from them are led there."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

PROJECT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)\s#]+)")


def taken_in() -> dict[str, str]:
    """The files outside docs/ that are part of the site: path in the project -> path among the pages."""
    pages = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
    for card in sorted(PROJECT.glob("chatir/models/builtin/*/README.md")):
        pages[card.relative_to(PROJECT).as_posix()] = f"models/{card.parent.name}.md"
    for example in sorted(path for path in (PROJECT / "examples").iterdir() if path.is_file()):
        name = f"examples/{example.name}"
        pages[name] = name.replace(".ipynb", ".md")
    return pages


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add them; a notebook as Markdown, with its pictures beside it."""
    for origin, uri in taken_in().items():
        if origin.endswith(".ipynb"):
            for name, content in rendered(PROJECT / origin).items():
                files.append(File.generated(config, f"examples/{name}", content=content))
        elif files.get_file_from_path(uri) is None:  # README stands behind the home page, which docs/ has
            files.append(File.generated(config, uri, abs_src_path=str(PROJECT / origin)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links between docs/ and what is taken in to where it lies in the site; all others stay, and are checked."""
    pages = taken_in()
    origins = {uri: origin for origin, uri in pages.items() if uri != "index.md"}
    here = PurePosixPath(origins.get(page.file.src_uri, f"docs/{page.file.src_uri}")).parent

    def led(match: re.Match[str]) -> str:
        there = os.path.normpath(here / match[1])
        uri = pages.get(there) or there.removeprefix("docs/")
        if there not in pages and (uri == there or page.file.src_uri not in origins):
            return match[0]
        return os.path.relpath(uri, PurePosixPath(page.file.src_uri).parent)

    return LINK.sub(led, markdown)


def rendered(notebook: Path) -> dict[str, str | bytes]:
    """A notebook's page and its pictures, by file name."""
    from nbconvert import MarkdownExporter
    from nbconvert.filters import strip_ansi

    exporter = MarkdownExporter()  # type: ignore[no-untyped-call]
    body, resources = exporter.from_filename(str(notebook), resources={"unique_key": notebook.stem})
    return {f"{notebook.stem}.md": strip_ansi(body), **resources["outputs"]}
