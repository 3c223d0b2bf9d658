"""A dialog in flight: where it stands, and what comes next for it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import lcm

from chatir.dialog import Dialog, Round
from chatir.measures.questions import normalised_question
from chatir.run.rows import Recorded, Role

STAGES: tuple[Role, ...] = ("observe", "question", "answer")
"""What happens to a dialog between two rounds, in this order."""


@dataclass(slots=True, eq=False)
class Play:
    """A dialog in flight.

    position: in target order, from 0. stage: what it waits for. attempt: unusable replies to that; past `last_attempt`
    the dialog has failed. rounds: those that are complete; question: that of the round under way, None until it is
    asked; asked: all normalised questions. memories: what each player wants to be given back. reserved: US dollars that
    the reply under way may cost. alone: whether it must not share a call. failed: whether an earlier session failed it.
    """

    position: int
    target: Dialog
    stage: Role
    last_attempt: int
    attempt: int = 0
    rounds: list[Round] = field(default_factory=list)
    question: str | None = None
    asked: set[str] = field(default_factory=set)
    memories: dict[Role, str] = field(default_factory=dict)
    reserved: float = 0.0
    alone: bool = False
    failed: bool = False

    @classmethod
    def resumed(cls, position: int, target: Dialog, recorded: Recorded, first: Role, ask_again: int) -> Play:
        """Take a dialog up where the run file has it.

        first: the stage that begins a round. ask_again: how often an unusable reply is asked for once more; one that
        failed for too many of them gets as many again.
        """
        stage = first if recorded.question is None else "answer"
        last = ask_again + (recorded.attempt if recorded.state == "failed" else 0)
        play = cls(position, target, stage, last, recorded.attempt, list(recorded.rounds), recorded.question)
        questions = [turn.question for turn in recorded.rounds]
        if recorded.question is not None:
            questions.append(recorded.question)
        play.asked.update(map(normalised_question, questions))
        play.memories.update(recorded.memories)
        play.failed = recorded.state == "failed"
        return play

    @property
    def number(self) -> int:
        """The round under way, 1-based; 0 while the caption alone is observed."""
        return len(self.rounds) + (self.stage != "observe")

    @property
    def step(self) -> int:
        """Grows by the stages passed, and is the same for any two dialogs at the same point."""
        return len(self.rounds) * len(STAGES) + STAGES.index(self.stage)

    @property
    def repeats(self) -> int:
        """Repeated questions so far."""
        return len(self.rounds) + (self.stage == "answer") - len(self.asked)

    def shown(self, seed: int, *, said: bool) -> Dialog:
        """The dialog as a player may see it, with the player's seed for this request."""
        target = self.target
        return Dialog(
            target.image,
            target.caption,
            tuple(self.rounds),
            target.said if said else (),
            target.id,
            derived_seed(seed, target.id, self.number, self.attempt),
            self.memories.get(self.stage),
        )


def derived_seed(seed: int, id_: str, number: int, attempt: int) -> int:
    """A player's seed, from 0 to below 2^63: a function of the request, never of the order of requests.

    seed: of the run. `id_`: of the dialog. number: of the round. attempt: unusable replies before.
    """
    digest = hashlib.sha256(f"{seed}/{number}/{attempt}/{id_}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class FixedBatches:
    """Batches that depend on nothing but the targets' order: consecutive targets, at the same point.

    A group of `sizes[stage]` consecutive targets goes through a stage together. Dialogs that ended leave
    their group; one whose reply was unusable is asked again before the others of its group go on.
    """

    def __init__(self, sizes: dict[Role, int]) -> None:
        self.block = lcm(*sizes.values())
        """Targets that have to be in flight together."""
        self._sizes = sizes
        self._alive: dict[int, Play] = {}
        self._waiting: set[int] = set()

    def ready(self, arrived: Iterable[Play], ended: Iterable[Play]) -> Iterator[list[Play]]:
        """The batches that are complete now that plays have `arrived` before their stage and others `ended`."""
        arrived, ended = list(arrived), list(ended)
        for play in arrived:
            self._alive[play.position] = play
            self._waiting.add(play.position)
        for play in ended:
            self._alive.pop(play.position, None)
        touched = [play.position for play in (*arrived, *ended)]
        for stage, size in self._sizes.items():
            for group in sorted({position // size for position in touched}):
                members = range(group * size, (group + 1) * size)
                plays = [self._alive[position] for position in members if position in self._alive]
                step = min((play.step for play in plays), default=-1)
                batch = [play for play in plays if play.step == step]
                if batch and batch[0].stage == stage and self._waiting.issuperset(play.position for play in batch):
                    self._waiting.difference_update(play.position for play in batch)
                    yield batch
