"""What a run looks like in every figure: a color for its questioner, dashes and a marker that are its own."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import cycle

from chatir.compare.comparison import Comparison
from chatir.run.runs import Run

PALETTE = ("#005A9C", "#E8A400", "#008763", "#4BA8DE", "#AE4500", "#BE6F9E")
"""Blue, orange, green, sky, vermilion, purple: the hues of Okabe and Ito (2008), which colour-blind readers tell apart.

Their lightness is moved to six even steps, dark and light in turn, so that they differ on paper printed in grey too;
none is so light or so dark that it is lost on a white or a black page.
"""

SECOND = ("#347FEF", "#A3965B", "#98BC9C", "#41C3E5", "#734032", "#961770")
"""A second tone of each color, for every other run of its questioner: of the same hue, and unlike all other colors."""

KNOWN = ("human", "chatgpt", "flanalpacaxxl", "unansweredchatgpt", "flant5xxl", "flanalpacaxl")
"""Questioners of the paper: each has the color in its place, whatever it is compared with."""

Dash = tuple[float, ...]

DASHES: tuple[Dash, ...] = ((), (4, 1.5), (1, 1), (5, 1.2, 1, 1.2), (7, 1.2, 2.5, 1.2))
MARKERS = ("o", "s", "^", "D", "v", "X", "P", "<", ">")


@dataclass(frozen=True)
class Style:
    """How a run is drawn.

    color: `#RRGGBB`. dash: lengths of dashes and gaps in line widths, empty for an unbroken line. marker: as matplotlib
    calls it.
    """

    color: str
    marker: str
    dash: Dash


def run_styles(comparison: Comparison) -> dict[str, Style]:
    """The style of each run, by name, whatever the order of the runs.

    Runs with the same questioner (name and configuration) have its color, in two tones in turn; where nobody tells who
    asked, a run is its own. No two runs are alike until a color is shared by more than `len(DASHES) * len(MARKERS)`.
    """
    questioners = {run.name: _questioner(run.run) for run in comparison.runs}
    colors = _colors(set(questioners.values()))
    used: Counter[int] = Counter()
    styles: dict[str, Style] = {}
    for name, questioner in sorted(questioners.items(), key=lambda item: (item[1], item[0])):
        color = colors[questioner]
        # Each color begins with dashes and a marker of its own, for where all colors are grey.
        place = color + used[color]
        tones = PALETTE if used[color] % 2 == 0 else SECOND
        used[color] += 1
        styles[name] = Style(tones[color], MARKERS[place % len(MARKERS)], DASHES[place % len(DASHES)])
    return {run.name: styles[run.name] for run in comparison.runs}


Questioner = tuple[str, str]


def _questioner(run: Run) -> Questioner:
    if run.questioner is None:
        return run.name, ""
    return run.questioner.name, json.dumps(run.questioner.config, sort_keys=True, default=str)


def _colors(questioners: set[Questioner]) -> Mapping[Questioner, int]:
    """The place of each one's color in the palette: known names first, then the others, over the colors left."""
    found: dict[Questioner, int] = {}
    others: list[Questioner] = []
    for questioner in sorted(questioners):
        plain = re.sub(r"[\W_]", "", questioner[0].casefold())
        if plain in KNOWN and KNOWN.index(plain) not in found.values():
            found[questioner] = KNOWN.index(plain)
        else:
            others.append(questioner)
    free = [color for color in range(len(PALETTE)) if color not in found.values()]
    again = cycle(range(len(PALETTE)))
    for place, questioner in enumerate(others):
        found[questioner] = free[place] if place < len(free) else next(again)
    return found


def mixed(color: str, other: str, share: float) -> str:
    """A color between two, with a share of the first one."""
    parts = zip(_parts(color), _parts(other), strict=True)
    return "#" + "".join(f"{round(share * one + (1 - share) * two):02x}" for one, two in parts)


def _parts(color: str) -> Iterable[int]:
    return (int(color[at : at + 2], 16) for at in (1, 3, 5))
