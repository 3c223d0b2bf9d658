"""People of the small world: a vague caption of a scene, and a dialog that tells what it shows."""

from __future__ import annotations

import random
from collections.abc import Iterator

from chatir.datasets.scenes.language import NUMBERS, QUESTIONS, Question, wordings
from chatir.datasets.scenes.world import BACKGROUNDS, COLORS, DARK_BACKGROUNDS, LIGHT_BACKGROUNDS, PLACES, SIZES, Scene
from chatir.dialog import Dialog, Round

CAPTIONS_OF_ONE = (
    "a single {} on a {} background",
    "just a {} against a {} background",
    "a picture of a {}, nothing else, on a {} background",
)
CAPTIONS_OF_MORE = (
    "a {} and something else on a {} background",
    "some shapes, one of them a {}, on a {} background",
    "a picture with a {} in it and a {} background",
)
TONES = {**dict.fromkeys(LIGHT_BACKGROUNDS, "light"), **dict.fromkeys(DARK_BACKGROUNDS, "dark")}

LONGER = {
    "yes": "yes, there is",
    "no": "no, there is not",
    **{number: f"i see {number}" for number in NUMBERS},
    **{word: f"it is {word}" for word in (*COLORS, *SIZES, *BACKGROUNDS)},
    **{place: f"in the {place}" for place in PLACES},
}
_SHORTER = {longer: answer for answer, longer in LONGER.items()}


def captioned(scene: Scene, rng: random.Random) -> tuple[str, str]:
    """A vague caption, and the shape that it names, by chance from `rng`."""
    named = rng.choice(scene.things).shape
    templates = CAPTIONS_OF_ONE if len(scene.things) == 1 else CAPTIONS_OF_MORE
    return rng.choice(templates).format(named, TONES[scene.background]), named


def people_dialog(scene: Scene, image: str, rng: random.Random, rounds: int = 10) -> Dialog:
    """A dialog of people about a scene: `rounds` distinct questions, each with its true answer.

    image: its path, below the image root. The same for the same scene and the same state of `rng`.
    """
    caption, named = captioned(scene, rng)
    said = (
        Round(rng.choice(wordings(question)), spoken(question.answer(scene), rng))
        for question in _asked(scene, named, rng, rounds)
    )
    return Dialog(image, caption, tuple(said))


def spoken(answer: str, rng: random.Random) -> str:
    """A short answer as people give it: as it is, or in a few words more."""
    return rng.choice([answer, answer, LONGER[answer]]) if answer in LONGER else answer


def heard(answer: str) -> str:
    """The short answer that people meant; what nobody of this world says is given back as it is."""
    return _SHORTER.get(answer, answer)


def _asked(scene: Scene, named: str, rng: random.Random, rounds: int) -> Iterator[Question]:
    """Questions in the order in which somebody curious asks them: what is there first, then what it is like."""
    known = {named}
    absent: set[str] = set()
    asked: set[Question] = set()
    for _ in range(rounds):
        possible = [question for question in QUESTIONS if question not in asked]
        weights = [_interest(question, known, absent) for question in possible]
        (question,) = rng.choices(possible, weights)
        asked.add(question)
        yield question
        if question.kind == "shape":
            (known if scene.thing(question.about) else absent).add(question.about)
        elif question.kind == "content" and (thing := scene.at(question.about)):
            known.add(thing.shape)


def _interest(question: Question, known: set[str], absent: set[str]) -> float:
    """How much somebody wants to ask this who knows of some shapes whether they are there."""
    match question.kind:
        case "count" | "background":
            return 3.0
        case "shape":
            return 0.0 if question.about in known | absent else 2.0
        case "color" | "size" | "place":
            return 2.0 if question.about in known else 0.0
        case _:
            return 0.5
