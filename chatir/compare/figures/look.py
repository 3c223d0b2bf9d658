"""What all figures share: widths, theme, fonts, labels; and how a figure becomes a file's bytes."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from chatir.compare.comparison import Comparison
from chatir.compare.figures.labels import short_labels
from chatir.compare.figures.palette import Style, run_styles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMN = 3.4
"""Width of a paper's column, inches."""
PAGE = 7.0
"""Width of both columns, inches."""
TEXT = 8.0
SMALL = 7.0
"""Sizes of text, points."""
DPI = 300
LINE = 0.16
"""Height of a line of text, inches."""

FONT = "DejaVu Sans"
"""Comes with matplotlib: figures are the same on every machine."""
FURTHER_FONTS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans", "WenQuanYi Micro Hei", "Droid Sans Fallback"),
    *("Arial Unicode MS", "PingFang SC", "Hiragino Sans", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic"),
    *("Noto Sans Devanagari", "Noto Sans Bengali", "Noto Sans Tamil", "Noto Sans Thai", "Noto Emoji"),
)
"""For what the font above lacks, as far as the machine has them."""


@dataclass(frozen=True)
class Theme:
    """The colors of all that is no run. behind: what the figure stands on; drawn: whether it is painted.

    chance: of what targets drawn at random would give.
    """

    text: str
    grid: str
    chance: str
    behind: str
    drawn: bool


ThemeName = Literal["light", "dark"]

PAPER = Theme(text="#222222", grid="#dddddd", chance="#757575", behind="#ffffff", drawn=True)
THEMES: dict[ThemeName, Theme] = {
    "light": Theme(text="#222222", grid="#dddddd", chance="#757575", behind="#ffffff", drawn=False),
    "dark": Theme(text="#e4e6ea", grid="#3d424b", chance="#a3a9b1", behind="#16181d", drawn=False),
}


@dataclass(frozen=True)
class Look:
    """How runs look in the figures of one comparison: by name, a style and a label, also for groups of runs."""

    theme: Theme
    styles: Mapping[str, Style]
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Drawn:
    """A figure. name: of its file, without an ending. title: what it shows, in a line."""

    name: str
    title: str
    figure: Figure


def look_of(comparison: Comparison, theme: Theme) -> Look:
    """The look of a comparison's runs; a group of runs has the style of its first one."""
    styles = run_styles(comparison)
    grouped = {group.name: styles[group.runs[0]] for group in comparison.groups if group.runs[0] in styles}
    styles = grouped | styles
    return Look(theme, styles, short_labels(styles, drawable))


_DRAWING = threading.RLock()


@contextmanager
def drawing(theme: Theme) -> Iterator[None]:
    """The settings under which a figure is built and rendered, one thread at a time; then all is as it was.

    Nothing of the machine's own settings counts: the same comparison gives the same bytes.
    """
    import matplotlib as mpl
    import seaborn as sns

    with _DRAWING, mpl.rc_context():
        mpl.rcdefaults()
        settings: Any = {**sns.axes_style("ticks"), **_settings(theme)}
        mpl.rcParams.update(settings)
        yield


def _settings(theme: Theme) -> dict[str, Any]:
    colors = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    small = ("xtick.labelsize", "ytick.labelsize", "legend.fontsize", "axes.labelsize")
    return {
        **dict.fromkeys(colors, theme.text),
        **dict.fromkeys(small, SMALL),
        "font.family": list(fonts()),
        "font.size": TEXT,
        "axes.titlesize": TEXT,
        "axes.titlelocation": "left",
        "axes.titlepad": 5.0,
        "axes.facecolor": "none",
        "axes.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.unicode_minus": True,
        "grid.color": theme.grid,
        "grid.linewidth": 0.5,
        "figure.facecolor": theme.behind if theme.drawn else "none",
        "figure.constrained_layout.use": True,
        "savefig.facecolor": "auto",
        "hatch.linewidth": 0.6,
        "legend.frameon": False,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        # Names come from files: nothing in them is a formula.
        "text.usetex": False,
        "text.parse_math": False,
        "svg.hashsalt": "chatir",
        "svg.fonttype": "path",
        "pdf.fonttype": 42,  # journals refuse type 3 fonts
    }


@lru_cache(maxsize=1)
def fonts() -> tuple[str, ...]:
    """The fonts of figures that this machine has, in the order in which they are asked for a character."""
    from matplotlib.font_manager import fontManager

    here = {font.name for font in fontManager.ttflist}
    return (FONT, *(name for name in FURTHER_FONTS if name in here))


@lru_cache(maxsize=32)
def font_file(name: str) -> str:
    """The file of an installed font."""
    from matplotlib.font_manager import findfont

    return str(findfont(name))


@lru_cache(maxsize=32)
def characters(name: str) -> frozenset[int]:
    """The code points that a font can draw."""
    from matplotlib.font_manager import get_font

    return frozenset(get_font(font_file(name)).get_charmap())


def drawable(text: str) -> str:
    """The text, with an escape for each character that is not printable or that no font here can draw."""
    known = [characters(name) for name in fonts()]
    return "".join(c if c.isprintable() and any(ord(c) in some for some in known) else ascii(c)[1:-1] for c in text)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that no other part of the process knows of."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def rendered(drawn: Drawn, file_format: str) -> bytes:
    """A figure as the bytes of a file, without a date or version in it, so that they are the same every time."""
    metadata: dict[str, dict[str, str | None]] = {
        "pdf": {"Title": drawn.title, "Creator": "chatir", "Producer": None, "CreationDate": None},
        "svg": {"Title": drawn.title, "Creator": None, "Date": None, "Format": None, "Type": None},
        "png": {"Title": drawn.title, "Software": None},
    }
    if drawn.figure.get_layout_engine() is not None:
        drawn.figure.draw_without_rendering()
        drawn.figure.set_layout_engine("none")  # laid out once, it is the same in all formats
    file = io.BytesIO()
    drawn.figure.savefig(file, format=file_format, dpi=DPI, metadata=metadata[file_format])
    content = file.getvalue()
    return _standalone(content) if file_format == "svg" else content


def _standalone(svg: bytes) -> bytes:
    """SVG without its document type, which names an address elsewhere."""
    start = svg.index(b"<!DOCTYPE")
    return svg[:start] + svg[svg.index(b"<svg", start) :]
