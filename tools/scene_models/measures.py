"""What is measured of the shipped models, on scenes of content that no training saw."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import torch

from chatir.datasets.scenes.language import QUESTIONS, Question, understood, wordings
from chatir.datasets.scenes.people import captioned, people_dialog
from chatir.datasets.scenes.world import Scene, scenes
from chatir.dialog import Dialog, Round
from chatir.measures.questions import repeats
from tools.scene_models.facts import likelihood, told, truths
from tools.scene_models.players import SmallBlip2, SmallClip, SmallT5, in_batches

ROUNDS = 10
ALL_TRUST = 100.0
"""Facts weigh more than everything else together."""

BEAMS = 8

Figures = dict[str, float]


def held_out_scenes(seed: int, count: int) -> list[Scene]:
    """Scenes to evaluate on, all of contents that are kept from tools.scene_models."""
    return list(islice(scenes(f"evaluation {seed}"), count))


def answer_figures(folder: Path, seed: int, count: int) -> Figures:
    """Percentages of right answers to all questions about `count` scenes, by kind of question and of wording.

    "there": of the questions about a shape, color or place only those whose answer is not that nothing is there.
    """
    answerer, rng = SmallBlip2(folder), random.Random(f"wordings {seed}")
    right: dict[str, list[bool]] = defaultdict(list)
    for some in in_batches(held_out_scenes(seed, count), 4):
        for unseen in (False, True):
            texts = [[rng.choice(wordings(question, unseen=unseen)) for question in QUESTIONS] for _ in some]
            for scene, answers in zip(some, answerer(some, texts), strict=True):
                for question, answer in zip(QUESTIONS, answers, strict=True):
                    good = answer == question.answer(scene)
                    for name in _counted_in(question, scene, unseen):
                        right[name].append(good)
    return {name: 100 * sum(good) / len(good) for name, good in right.items()}


def _counted_in(question: Question, scene: Scene, unseen: bool) -> list[str]:
    if unseen:
        return [f"unseen/{question.kind}", "unseen/all"]
    names = [f"all/{question.kind}", "all/all"]
    if question.about and question.answer(scene) not in ("no", "nothing", f"there is no {question.about}"):
        names += [f"there/{question.kind}", "there/all"]
    return names


def recall_at_10(scores: torch.Tensor) -> float:
    """Percentage of rows i whose column i is among the 10 best; equal scores rank in column order."""
    own = scores.diagonal().unsqueeze(1)
    before = torch.ones_like(scores).tril(-1).bool()
    rank = 1 + ((scores > own) | ((scores == own) & before)).sum(1)
    return 100 * float((rank <= 10).double().mean())


def retrieval_figures(folder: Path, seed: int, count: int) -> Figures:
    """Recall@10 among `count` scenes after each round of people's dialogs, and that of a symbolic reader of them."""
    some = held_out_scenes(seed, count)
    dialogs = [
        people_dialog(scene, str(number), random.Random(f"{seed} {number}")) for number, scene in enumerate(some)
    ]
    retriever, true = SmallClip(folder), truths(some)
    pictures = retriever.images(some).double()
    figures = {}
    for rounds in range(ROUNDS + 1):
        read = likelihood([told(dialog, rounds) for dialog in dialogs], true, ALL_TRUST)
        figures[f"clip/{rounds}"] = recall_at_10(retriever.dialogs(dialogs, rounds).double() @ pictures.T)
        figures[f"reader/{rounds}"] = recall_at_10(read)
    return figures


Answering = Callable[[Sequence[Scene], Sequence[str]], list[str]]


def talk(some: Sequence[Scene], seed: int, questioner: SmallT5, answering: Answering, beams: int) -> list[Dialog]:
    """A dialog of ten rounds about each scene."""
    talked = []
    for part in in_batches(some, 50):
        dialogs = [
            Dialog(scene.content, captioned(scene, random.Random(f"{seed} {scene.content}"))[0]) for scene in part
        ]
        for _ in range(ROUNDS):
            questions = questioner.ask(dialogs, beams)
            answers = answering(part, questions)
            dialogs = [
                Dialog(dialog.image, dialog.caption, (*dialog.rounds, Round(question, answer)))
                for dialog, question, answer in zip(dialogs, questions, answers, strict=True)
            ]
        talked += dialogs
    return talked


def question_figures(folders: dict[str, Path], seed: int, count: int, among: int) -> Figures:
    """Of the T5's dialogs about `count` scenes, greedy and by its beams: its language, its repeats, and its use.

    The shipped BLIP-2 answers; use is Recall@10 of the shipped CLIP among `among` scenes.
    """
    searched = held_out_scenes(seed, among)
    some = searched[:count]
    questioner, answerer, retriever = SmallT5(folders["t5"]), SmallBlip2(folders["blip2"]), SmallClip(folders["clip"])
    pictures = retriever.images(searched).double()

    def seen(part: Sequence[Scene], texts: Sequence[str]) -> list[str]:
        return [answers[0] for answers in answerer(part, [[text] for text in texts])]

    figures: Figures = {}
    for mode, beams in (("greedy", 1), ("unasked", BEAMS)):
        dialogs = talk(some, seed, questioner, seen, beams)
        questions = [turn.question for dialog in dialogs for turn in dialog.rounds]
        figures[f"{mode}/language"] = 100 * sum(map(_of_this_world, questions)) / len(questions)
        repeated = [repeats(turn.question for turn in dialog.rounds) for dialog in dialogs]
        figures[f"{mode}/repeats"] = sum(repeated) / len(dialogs)
        for rounds in (0, 5, ROUNDS):
            figures[f"{mode}/recall {rounds}"] = recall_at_10(retriever.dialogs(dialogs, rounds).double() @ pictures.T)
    return figures


def _of_this_world(text: str) -> bool:
    return understood(text) is not None
