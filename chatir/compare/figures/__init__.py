"""The figures of a comparison, as files for a paper (PDF, SVG, PNG) and as SVG for a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from chatir.compare.comparison import Comparison
from chatir.compare.figures.bars import repeats_figures, unique_tokens_figures
from chatir.compare.figures.curves import (
    atr_figures,
    first_screen_figures,
    hits_figures,
    onset_figures,
    truncation_figures,
)
from chatir.compare.figures.intervals import difference_figures
from chatir.compare.figures.look import PAPER, THEMES, Drawn, Look, Theme, ThemeName, drawing, look_of, rendered
from chatir.compare.figures.word_clouds import word_cloud_figures
from chatir.errors import InputError
from chatir.storage.files import atomic_writer, os_error

FORMATS = ("pdf", "svg", "png")

Drawing = Callable[[Comparison, Look], Iterator[Drawn]]

FIGURES = (
    hits_figures,
    atr_figures,
    difference_figures,
    repeats_figures,
    onset_figures,
    unique_tokens_figures,
    truncation_figures,
    word_cloud_figures,
)
"""In the order in which they are shown. Each draws nothing where a comparison has nothing for it."""


REPORT_FIGURES = (
    first_screen_figures,
    difference_figures,
    onset_figures,
    hits_figures,
    atr_figures,
    truncation_figures,
)
"""Those of a report: what its tables tell as well is left to them."""


def save_figures(comparison: Comparison, folder: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write every figure to a folder, in every format, each file whole or not at all; the files, in order.

    The same comparison gives the same bytes. Raises InputError where the folder or a file cannot be written, and for a
    format that is not one of FORMATS.
    """
    if unknown := [name for name in formats if name not in FORMATS]:
        raise InputError(f"figures: there is no format {unknown[0]!r}; there are {', '.join(FORMATS)}")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file, but figures need a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise os_error(folder, error) from None
    written = []
    with drawing(PAPER):
        for drawn in _figures(comparison, PAPER, FIGURES):
            for name in formats:
                path = folder / f"{drawn.name}.{name}"
                with atomic_writer(path) as file:
                    file.write(rendered(drawn, name))
                written.append(path)
    return written


def svg_figures(comparison: Comparison, theme: ThemeName) -> dict[str, bytes]:
    """A report's figures as SVG that needs nothing else, by name, on nothing (transparent), with its title inside.

    theme: `light` or `dark`, what it is to be read on. The same comparison gives the same bytes.
    """
    with drawing(THEMES[theme]):
        return {drawn.name: rendered(drawn, "svg") for drawn in _figures(comparison, THEMES[theme], REPORT_FIGURES)}


def _figures(comparison: Comparison, theme: Theme, kinds: Sequence[Drawing]) -> Iterator[Drawn]:
    look = look_of(comparison, theme)
    for figures in kinds:
        yield from figures(comparison, look)
