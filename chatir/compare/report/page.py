"""The report's page: one file with its style, its script and its data, that asks for nothing from anywhere."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chatir import __version__
from chatir.compare.comparison import Comparison
from chatir.compare.figures.curves import first_screen_name, retriever_slugs
from chatir.compare.figures.palette import run_styles
from chatir.compare.report.browser_data import browser_data
from chatir.compare.report.inert import data_uri, readable, script_data, security_policy
from chatir.compare.report.provenance import differing_settings, provenance_of
from chatir.compare.report.summary import summary_rows
from chatir.compare.report.thumbnails import Thumbnails, thumbnails_of
from chatir.compare.tables import tables
from chatir.storage.files import atomic_writer

if TYPE_CHECKING:
    from jinja2 import Template

SCRIPTS = ("elements.js", "search.js", "dialog.js", "page.js")
"""The parts of the page's one script, in their order."""

OPEN = ("repetition", "primary", "retrieval")
"""How the keys of those tables begin that are shown at once; the others are shown when they are asked for."""

LEFT_OUT = ("rounds", "summary")
"""The key of a table that nobody reads: the curves show it, CSV and JSON have it."""

NOTES = 3
"""Notes that are shown at once."""

SCREEN = 1.6
"""Pixels for a point of a figure: its text is then as large as the page's smaller text."""

LINE = 1.8
"""Width of the lines of small drawings, in pixels, as the style has it."""


def write_report(
    comparison: Comparison,
    path: Path,
    *,
    figures: Mapping[str, tuple[bytes, bytes]],
    images: Path | None,
    thumbnails: int,
    note: Callable[[str], None],
) -> None:
    """Write a comparison as one HTML file, which appears whole or not at all.

    figures: by name, the SVG for light and for dark surroundings. images: the folder that the runs' images are
    relative to, None for a report without pictures. thumbnails: targets of which there are pictures. note: called with
    a line for what cannot be shown. Raises InputError when the file cannot be written.
    """
    shown = thumbnails_of(comparison, images, thumbnails, note)
    page = render(comparison, figures, shown)
    with atomic_writer(path) as file:
        file.write(page.encode("utf-8"))


def render(comparison: Comparison, figures: Mapping[str, tuple[bytes, bytes]], shown: Thumbnails) -> str:
    """The page. Texts from files are escaped where they stand; scripts' data hold them as JSON."""
    style, script = _part("page.css") + _run_colors(comparison), "\n".join(map(_part, SCRIPTS))
    found = [table for table in tables(comparison) if table.key not in LEFT_OUT]
    slugs = retriever_slugs(comparison)
    drawn = {name: _figure(name, *pair) for name, pair in figures.items()}
    first = {label: drawn.pop(first_screen_name(slug), None) for label, slug in slugs.items()}
    runs = [provenance_of(run) for run in comparison.runs]
    return _template().render(
        comparison=comparison,
        version=__version__,
        names=" and ".join(run.name for run in comparison.runs),
        policy=security_policy(style, script),
        style=style,
        script=script,
        summaries=[(label, summary_rows(comparison, label), first[label]) for label in slugs]
        or [(None, summary_rows(comparison, None), None)],
        corpora={label: found.ranking.images for run in comparison.runs for label, found in run.retrieval.items()},
        places=_places(comparison),
        notes=(comparison.notes[:NOTES], comparison.notes[NOTES:]),
        tables=[table for table in found if table.key.startswith(OPEN)],
        folded=[table for table in found if not table.key.startswith(OPEN)],
        figures=list(drawn.values()),
        provenance=runs,
        differing=differing_settings(runs),
        data=script_data(browser_data(comparison, shown)),
        pictures=script_data(list(shown.pictures.values())),
        pictured=len(shown.targets),
    )


def _places(comparison: Comparison) -> dict[str, int]:
    """The place of each run, and of the first run of each group of seeds, by name."""
    places = {run.name: place for place, run in enumerate(comparison.runs)}
    return places | {group.name: places[group.runs[0]] for group in comparison.groups if group.runs[0] in places}


def _run_colors(comparison: Comparison) -> str:
    """Rules that give each run the color and the dashes that it has in the figures."""
    rules = []
    for place, style in enumerate(run_styles(comparison).values()):
        rules.append(f".run-{place} {{ --run: {style.color}; }}")
        if style.dash:
            dashes = " ".join(f"{LINE * length:g}" for length in style.dash)
            rules.append(f".run-{place} polyline {{ stroke-dasharray: {dashes}; }}")
    return "".join(f"{rule}\n" for rule in rules)


def _figure(name: str, light: bytes, dark: bytes) -> dict[str, Any]:
    """A figure for the template. Its title and its width in pixels (None: as it comes) are those that the SVG tells."""
    title = re.search(rb"<dc:title>(.*?)</dc:title>", light, re.DOTALL)
    width = re.search(rb'<svg[^>]*? width="([0-9.]{1,9})pt"', light)
    return {
        "title": html.unescape(title[1].decode()) if title else name,
        "width": round(SCREEN * float(width[1])) if width else None,
        "light": data_uri("image/svg+xml", light),
        "dark": data_uri("image/svg+xml", dark),
    }


def _part(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_readable
    )
    return environment.from_string(_part("page.html.j2"))


def _readable(value: object) -> object:
    """What the template prints: texts as HTML can hold them; what is marked as safe, or is no text, as it is."""
    return readable(value) if type(value) is str else value
