"""What dialogs tell and scenes hold, as numbers: the symbolic reader that teaches the retriever and is its ceiling."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from chatir.datasets.scenes.language import QUESTIONS, Question, described, understood
from chatir.datasets.scenes.people import TONES, heard
from chatir.datasets.scenes.world import COLORS, PLACES, SHAPES, SIZES, Scene, Thing
from chatir.dialog import Dialog

ALONE = Question("alone")
TONE = Question("tone")
ASKED = (*QUESTIONS, ALONE, TONE)
"""All questions, and the two facts that only captions tell."""

_COLUMN = {question: column for column, question in enumerate(ASKED)}


def _possible_answers(question: Question) -> list[str]:
    absent = f"there is no {question.about}"
    match question.kind:
        case "count":
            return ["one", "two", "three", "four"]
        case "background":
            return list(TONES)
        case "color":
            return [*COLORS, absent]
        case "size":
            return [*SIZES, absent]
        case "place":
            return [*PLACES, absent]
        case "content":
            things = [Thing(shape, color, size, "") for shape in SHAPES for color in COLORS for size in SIZES]
            return [*map(described, things), "nothing"]
        case "tone":
            return ["dark", "light"]
        case _:
            return ["no", "yes"]


ANSWERS = [_possible_answers(question) for question in ASKED]
"""What can be answered to each question of `ASKED`."""

_NUMBER = [{answer: number for number, answer in enumerate(possible)} for possible in ANSWERS]

Fact = tuple[int, int]
"""A question's number in `ASKED` and its answer's number in `ANSWERS`."""


def truths(some: Iterable[Scene]) -> torch.Tensor:
    """The true answer's number to each question [scenes, questions]."""
    rows = []
    for scene in some:
        answers = [question.answer(scene) for question in QUESTIONS]
        answers += ["yes" if len(scene.things) == 1 else "no", TONES[scene.background]]
        rows.append([numbers[answer] for numbers, answer in zip(_NUMBER, answers, strict=True)])
    return torch.tensor(rows)


def told_by_caption(caption: str) -> list[Fact]:
    """The facts of a caption of the small world: a shape that is there, whether it is alone, how dark it is behind."""
    words = caption.replace(",", "").split()
    (shape,) = (word for word in words if word in SHAPES)
    (tone,) = (word for word in words if word in ("dark", "light"))
    alone = "yes" if {"single", "just", "nothing"} & set(words) else "no"
    named = Question("shape", shape)
    return [_fact(named, "yes"), _fact(ALONE, alone), _fact(TONE, tone)]


def told(dialog: Dialog, rounds: int) -> list[Fact]:
    """The facts of a caption and the first `rounds` rounds; what is no question of this world tells nothing."""
    facts = told_by_caption(dialog.caption)
    for turn in dialog.rounds[:rounds]:
        if (question := understood(turn.question)) and heard(turn.answer) in _NUMBER[_COLUMN[question]]:
            facts.append(_fact(question, heard(turn.answer)))
    return facts


def likelihood(facts: Sequence[Sequence[Fact]], true: torch.Tensor, trust: float) -> torch.Tensor:
    """How likely each dialog is of each scene, a logarithm but for a constant [dialogs, scenes].

    Each fact that holds makes a scene likelier by `trust`. A caption names one thing of its scene, so the fewer
    there are, the likelier is just this one. With all trust in the facts nobody can rank people's dialogs better.
    """
    number_of_things = true[:, _COLUMN[Question("count")]] + 1
    return trust * agreement(facts, true) - number_of_things.log()


def agreement(facts: Sequence[Sequence[Fact]], true: torch.Tensor) -> torch.Tensor:
    """How many facts of each dialog hold in each scene [dialogs, scenes]; `true` as `truths` gives it."""
    scores = torch.zeros(len(facts), len(true))
    for row, some in enumerate(facts):
        columns, answers = torch.tensor(some).unbind(1)
        scores[row] = (true[:, columns] == answers).sum(1).float()
    return scores


def _fact(question: Question, answer: str) -> Fact:
    column = _COLUMN[question]
    return column, _NUMBER[column][answer]
