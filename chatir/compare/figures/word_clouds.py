"""Word clouds of a run's questions and of its answers: what its dialogs are about, at a glance."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from chatir.compare.comparison import ComparedRun, Comparison
from chatir.compare.figures.look import PAGE, SMALL, Drawn, Look, characters, font_file, fonts, new_figure
from chatir.compare.figures.palette import mixed
from chatir.measures.questions import LEAKED_LABEL, normalised_question

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.path import Path
    from matplotlib.textpath import TextPath

Side = Literal["questions", "answers"]
Words = Mapping[str, int]

COLUMNS = 3
SHAPE = 0.62
"""Height of a cloud for a width of one."""
MOST_WORDS = 60
MANY_RUNS = 12
FEWER_WORDS = 25
"""Words of a cloud where there are more than MANY_RUNS."""
GREATEST = 30.0
"""Size of the most frequent word at most, points."""
DOTS = 2
"""Dots a point in which words are laid out."""
LONGEST = 40
"""Characters of a word at most: what is longer fits into no cloud, and takes minutes to find that out."""
SEED = 1
TELLING = frozenset({"no", "not", "yes"})
"""Words that say nothing in a text, but all in an answer."""


def word_cloud_figures(comparison: Comparison, look: Look) -> Iterator[Drawn]:
    """The questions of all runs that ask, then their answers: a cloud for each run, in its color."""
    runs = [run for run in comparison.runs if run.asks]
    if not runs:
        return
    for side in ("questions", "answers"):
        columns = min(COLUMNS, len(runs))
        rows = math.ceil(len(runs) / columns)
        width = PAGE / COLUMNS
        figure = new_figure(width * columns, rows * (width * SHAPE + 0.22))
        grid = list(figure.subplots(rows, columns, squeeze=False).flat)
        most = MOST_WORDS if len(runs) <= MANY_RUNS else FEWER_WORDS
        for axes, run in zip(grid, runs, strict=False):
            axes.set_title(look.labels[run.name])
            _draw(axes, telling_words(run, side), look.styles[run.name].color, look, most)
        for axes in grid[len(runs) :]:
            axes.set_visible(False)
        yield Drawn(f"word_clouds_{side}", f"Most frequent words of {side}", figure)


def telling_words(run: ComparedRun, side: Side) -> dict[str, int]:
    """How often each word stands in a run's questions or answers, most frequent first, equal ones by the alphabet.

    Words are the white-space tokens of the normalised texts without leaked labels; English words that say nothing
    (is, the, there) are left out, unless there is nothing else. So are words that nobody can read: those without a
    visible character, and those longer than `LONGEST`.
    """
    texts = Counter(one.question if side == "questions" else one.answer for d in run.dialogs for one in d.rounds)
    counts: Counter[str] = Counter()
    for text, times in texts.items():
        for word in filter(_readable, _words(text)):
            counts[word] += times
    idle = idle_words() - (TELLING if side == "answers" else frozenset())
    telling = {word: times for word, times in counts.items() if word not in idle} or counts
    return dict(sorted(telling.items(), key=lambda item: (-item[1], item[0])))


def _words(text: str) -> list[str]:
    """The normalised words of what stands between a text's leading label, if it has one, and the next."""
    leading = LEAKED_LABEL.match(text.strip())
    return normalised_question(text.strip()[leading.end() :] if leading else text).split()


def _readable(word: str) -> bool:
    return len(word) <= LONGEST and not all(unicodedata.category(c) in ("Cc", "Cf", "Mn") for c in word)


@lru_cache(maxsize=1)
def idle_words() -> frozenset[str]:
    """English words that say nothing, as normalised texts have them."""
    from wordcloud import STOPWORDS

    return frozenset(normalised_question(word) for word in STOPWORDS)


def _draw(axes: Axes, words: Words, color: str, look: Look, most: int) -> None:
    """The words as outlines, so that they stay sharp at any size and need no font where they are read."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    axes.set(xlim=(0, 1), ylim=(SHAPE, 0), aspect="equal")
    axes.set_axis_off()
    font = _best_font(words)
    drawn = {word: times for word, times in words.items() if _covers(font, word)}
    if not drawn:
        missing = "no words that a font here can draw" if words else "no words"
        axes.text(0.5, SHAPE / 2, missing, ha="center", va="center", fontsize=SMALL, style="italic")
        return
    large, small = outlines(drawn, font, most)
    for paths, share in ((large, 1.0), (small, 0.6)):
        if paths:
            # Small words are mixed with the color of the text: thin strokes of a light color could not be read.
            shade = mixed(color, look.theme.text, share)
            patch = PathPatch(Path.make_compound_path(*paths), facecolor=shade, linewidth=0)
            patch.set_in_layout(False)  # a cloud never leaves its axes: to measure it would only take time
            axes.add_artist(patch)


def _best_font(words: Words) -> str:
    """The font that can draw most of the words; a cloud has one."""
    return max(fonts(), key=lambda font: sum(times for word, times in words.items() if _covers(font, word)))


def _covers(font: str, word: str) -> bool:
    known = characters(font)
    return all(ord(c) in known for c in word)


def outlines(words: Words, font: str, most: int) -> tuple[list[Path], list[Path]]:
    """The words' outlines where they belong in a cloud of width 1: large ones and small ones."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath, text_to_path
    from matplotlib.transforms import Affine2D
    from wordcloud import WordCloud

    width = PAGE / COLUMNS * 72 * DOTS
    cloud = WordCloud(
        font_path=font_file(font),
        width=round(width),
        height=round(width * SHAPE),
        max_words=most,
        min_font_size=round(SMALL * DOTS),
        max_font_size=round(GREATEST * DOTS),
        prefer_horizontal=1.0,
        relative_scaling=0.4,
        margin=5,
        random_state=SEED,
        color_func=lambda *_, **__: "black",
    ).generate_from_frequencies(dict(list(words.items())[:most]))
    large: list[Path] = []
    small: list[Path] = []
    properties = FontProperties(fname=font_file(font))
    for (word, _), size, (top, left), _, _ in cloud.layout_:
        if not len(text_to_path.get_text_path(properties, word)[0]):  # letters that are blank, as Hangul fillers are
            continue
        outline: TextPath = TextPath((0, 0), word, size=size, prop=properties, usetex=False)
        upper = outline.get_extents().y1
        place = Affine2D().scale(1, -1).translate(left, top + upper).scale(1 / width)
        (large if size > 1.6 * SMALL * DOTS else small).append(outline.transformed(place))
    return large, small
