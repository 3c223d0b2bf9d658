"""The language of the small world: what can be asked about a scene, in which words, and the true answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from chatir.datasets.scenes.world import COLORS, PLACES, SHAPES, Scene, Thing
from chatir.measures.questions import normalised_question

NUMBERS = ("none", "one", "two", "three", "four")


@dataclass(frozen=True, slots=True)
class Question:
    """Something that can be asked: a kind (`KINDS`) and what it is about (a shape, a color, a place, or nothing)."""

    kind: str
    about: str = ""

    def answer(self, scene: Scene) -> str:
        """The true answer, short, as a model is trained to give it."""
        return KINDS[self.kind].answer(scene, self.about)


@dataclass(frozen=True)
class Kind:
    """A kind of question: the wordings that people use, others that no model was trained on, and its true answer.

    subjects: what it can be about. `{}` in wordings and unseen_wordings stands for that.
    """

    subjects: Sequence[str]
    wordings: Sequence[str]
    unseen_wordings: Sequence[str]
    answer: Callable[[Scene, str], str]


def _count(scene: Scene, about: str) -> str:
    return NUMBERS[len(scene.things)]


def _background(scene: Scene, about: str) -> str:
    return scene.background


def _present(scene: Scene, shape: str) -> str:
    return "yes" if scene.thing(shape) else "no"


def _anything(scene: Scene, color: str) -> str:
    return "yes" if any(thing.color == color for thing in scene.things) else "no"


def _color(scene: Scene, shape: str) -> str:
    return thing.color if (thing := scene.thing(shape)) else f"there is no {shape}"


def _size(scene: Scene, shape: str) -> str:
    return thing.size if (thing := scene.thing(shape)) else f"there is no {shape}"


def _place(scene: Scene, shape: str) -> str:
    return thing.place if (thing := scene.thing(shape)) else f"there is no {shape}"


def _content(scene: Scene, place: str) -> str:
    return described(thing) if (thing := scene.at(place)) else "nothing"


def described(thing: Thing) -> str:
    """A thing as people name it."""
    return f"a {thing.size} {thing.color} {thing.shape}"


KINDS: dict[str, Kind] = {
    "count": Kind(
        [""],
        [
            "how many shapes are there?",
            "how many shapes do you see?",
            "how many shapes are in the picture?",
            "can you count the shapes?",
        ],
        ["how many shapes can you see?", "how many shapes does the picture have?"],
        _count,
    ),
    "background": Kind(
        [""],
        [
            "what color is the background?",
            "what is the color of the background?",
            "which color is behind the shapes?",
            "what color do you see behind the shapes?",
        ],
        ["which color is the background?", "what color is behind the shapes?"],
        _background,
    ),
    "shape": Kind(
        SHAPES,
        ["is there a {}?", "do you see a {}?", "can you see a {}?", "is one of the shapes a {}?"],
        ["is there a {} in the picture?", "can you see a {} there?"],
        _present,
    ),
    "any color": Kind(
        COLORS,
        ["is anything {}?", "do you see anything {}?", "is there anything {}?", "are any of the shapes {}?"],
        ["can you see anything {}?", "is one of the shapes {}?"],
        _anything,
    ),
    "color": Kind(
        SHAPES,
        [
            "what color is the {}?",
            "what is the color of the {}?",
            "which color is the {}?",
            "which color does the {} have?",
        ],
        ["what color does the {} have?", "can you see what color the {} is?"],
        _color,
    ),
    "size": Kind(
        SHAPES,
        ["is the {} big or small?", "how big is the {}?", "what size is the {}?", "what is the size of the {}?"],
        ["is the {} small or big?", "which size is the {}?"],
        _size,
    ),
    "place": Kind(
        SHAPES,
        ["where is the {}?", "where do you see the {}?", "where in the picture is the {}?", "in which part is the {}?"],
        ["where can you see the {}?", "in which part of the picture is the {}?"],
        _place,
    ),
    "content": Kind(
        PLACES,
        [
            "what is in the {}?",
            "what do you see in the {}?",
            "what is there in the {}?",
            "which shape is in the {}?",
        ],
        ["what can you see in the {}?", "which shape do you see in the {}?"],
        _content,
    ),
}

QUESTIONS = tuple(Question(kind, about) for kind, known in KINDS.items() for about in known.subjects)
"""All that can be asked, in a fixed order."""


def wordings(question: Question, *, unseen: bool = False) -> list[str]:
    """The question in all wordings of its kind, or in those that no model was trained on."""
    kind = KINDS[question.kind]
    return [text.format(question.about) for text in (kind.unseen_wordings if unseen else kind.wordings)]


def _known_texts() -> Iterator[tuple[str, Question]]:
    for question in QUESTIONS:
        for text in wordings(question) + wordings(question, unseen=True):
            yield normalised_question(text), question


_BY_TEXT = dict(_known_texts())


def understood(text: str) -> Question | None:
    """The question that a text asks, or None if it is not of this language."""
    return _BY_TEXT.get(normalised_question(text))
