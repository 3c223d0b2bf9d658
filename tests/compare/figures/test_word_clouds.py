"""Word clouds: what a run's questions and answers are about."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import combinations

import pytest
from compare.comparisons import compared, side_by_side
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from chatir import Dialog, Round
from chatir.compare.comparison import ComparedRun
from chatir.compare.figures.look import FONT, PAPER, Drawn, drawing, look_of
from chatir.compare.figures.palette import run_styles
from chatir.compare.figures.word_clouds import SHAPE, Side, outlines, telling_words, word_cloud_figures


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    with drawing(PAPER), warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def run(*rounds: tuple[str, str], name: str = "run") -> ComparedRun:
    return compared(name, dialogs=[Dialog("1.jpg", "a picture", tuple(Round(*each) for each in rounds))], labels=())


def clouds(*runs: ComparedRun) -> dict[str, Figure]:
    comparison = side_by_side(*runs)
    found: list[Drawn] = list(word_cloud_figures(comparison, look_of(comparison, PAPER)))
    return {one.name: one.figure for one in found}


def patches(figure: Figure) -> list[PathPatch]:
    return [patch for patch in figure.findobj(PathPatch) if isinstance(patch, PathPatch)]


def said(figure: Figure) -> set[str]:
    return {text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)}


def test_words_are_counted_over_all_dialogs_most_frequent_first() -> None:
    found = telling_words(run(("is the dog red?", ""), ("is the dog big?", ""), ("a zebra?", "")), "questions")
    assert list(found.items()) == [("dog", 2), ("big", 1), ("red", 1), ("zebra", 1)]


def test_yes_and_no_are_words_of_answers_but_not_of_questions() -> None:
    talk = run(("no dog?", "no"), ("is there not a cat?", "yes"))
    assert telling_words(talk, "answers") == {"no": 1, "yes": 1}
    assert telling_words(talk, "questions") == {"cat": 1, "dog": 1}


def test_a_run_that_says_only_idle_words_has_these() -> None:
    assert telling_words(run(("is it?", "it is")), "questions") == {"is": 1, "it": 1}


@pytest.mark.parametrize("side", ["questions", "answers"])
def test_leaked_labels_are_no_words(side: Side) -> None:
    talk = run(
        ("Question: what color is the dog? Answer: brown", "Answer: brown Question: what size"),
        ("answer : the cat", "question: grey"),
    )
    assert set(telling_words(talk, side)) == ({"color", "dog", "cat"} if side == "questions" else {"brown", "grey"})


def test_idle_words_are_known_without_their_apostrophes() -> None:
    assert telling_words(run(("isn't the dog's ball red?", "")), "questions") == {"ball": 1, "dogs": 1, "red": 1}


def test_a_cloud_has_the_color_of_its_run() -> None:
    runs = [run(("red dog?", "a dog"), name="one"), run(("big cat?", "a cat"), name="two")]
    styles = run_styles(side_by_side(*runs))
    figure = clouds(*runs)["word_clouds_questions"]
    for axes, name in zip(figure.axes, ("one", "two"), strict=True):
        (patch, *_) = axes.findobj(PathPatch)
        assert to_hex(patch.get_facecolor()) == styles[name].color.lower()
        assert axes.get_title(loc="left") == name


def test_small_words_are_darker_than_their_run_s_color_so_that_they_can_be_read() -> None:
    words = ("dog", "cat", "sky", "red", "bus", "car", "man", "toy")
    talk = [(f"{word}?", "") for place, word in enumerate(words) for _ in range(2 ** (8 - place))]
    large, small = patches(clouds(run(*talk))["word_clouds_questions"])
    assert sum(small.get_facecolor()[:3]) < sum(large.get_facecolor()[:3])


def laid_out(words: dict[str, int]) -> list[Bbox]:
    return [path.get_extents() for kind in outlines(words, FONT, 50) for path in kind]


def test_words_stay_in_their_panel_and_apart() -> None:
    boxes = laid_out({"oxen": 9, "waves": 8, "sea": 5, "zoo": 3, "man": 2, "sun": 1})
    assert len(boxes) == 6
    for one, other in combinations(boxes, 2):
        assert not one.overlaps(other)
    for box in boxes:
        assert box.x0 >= 0
        assert box.x1 <= 1
        assert box.y0 >= 0
        assert box.y1 <= SHAPE


def test_a_more_frequent_word_is_larger() -> None:
    often, rarely = laid_out({"oxen": 20, "noun": 1})
    assert often.height > 1.3 * rarely.height


@pytest.mark.parametrize("texts", [[], [("?", "")], [("...?", "!")]])
def test_a_run_without_words_says_so(texts: list[tuple[str, str]]) -> None:
    figures = clouds(run(*texts), run(("dog?", "yes"), name="talks"))
    for figure in figures.values():
        assert "no words" in said(figure)
        assert patches(figure)


def test_scripts_that_the_font_has_are_drawn() -> None:
    talk = run(("какого цвета собака?", "שלום"), ("τι χρώμα;", "مرحبا"))
    for figure in clouds(talk).values():
        assert "no words" not in said(figure)
        assert patches(figure)


def test_words_that_no_font_here_has_are_left_out_and_others_stay() -> None:
    figures = clouds(run(("\U0001f408\U0001f408 dog?", "\U0010fffd"), ("\U0010fffd?", "")))
    assert patches(figures["word_clouds_questions"])
    assert "no words that a font here can draw" in said(figures["word_clouds_answers"])


def test_a_word_longer_than_its_panel_is_survived() -> None:
    assert clouds(run((f"{'a' * 5000}?", "yes")))


def test_clouds_of_the_same_dialogs_are_the_same_in_any_order_of_dialogs() -> None:
    words = [(f"{word}?", "") for word in ("dog", "cat", "hat", "red", "sky", "car")]
    first, second = (clouds(run(*order))["word_clouds_questions"] for order in (words, words[::-1]))
    one, other = patches(first)[0].get_path(), patches(second)[0].get_path()
    assert one.vertices.tolist() == other.vertices.tolist()


@pytest.mark.parametrize(
    "word",
    ["\u200b\u200d", "\u00ad\u200e", "\ufeff", "\u3164", "\u115f\u2800", "\u202e\u2060", "x" * 41, "x" * 100_000],
    ids=lambda word: ascii(word[:3]),
)
def test_a_word_that_nobody_can_read_is_left_out(word: str) -> None:
    """The longest one took half a minute a cloud, and invisible ones an error."""
    for figure in clouds(run((f"is {word} red?", f"{word} blue"), (f"{word}?", word))).values():
        assert len(figure.axes) == 1
    assert "red" in telling_words(run((f"is {word} red?", "")), "questions")
    assert not telling_words(run((f"{'y' * 41}?", "")), "questions")
    clouds(run((f"{word}?", word)))
