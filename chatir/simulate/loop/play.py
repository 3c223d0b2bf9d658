"""A dialog in flight: where it stands, and what comes next for it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from chatir.dialog import Dialog, Round
from chatir.measures.questions import normalised_question
from chatir.run.rows import Recorded, Role
from chatir.simulate.player import Player

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

    def asked_of(self, player: Player, seed: int) -> tuple[Any, ...]:
        """What the player that it waits for is called with, for this dialog alone."""
        dialog = self.shown(seed, said=player.uses_said)
        return (dialog, self.question) if self.stage == "answer" else (dialog,)


def derived_seed(seed: int, id_: str, number: int, attempt: int) -> int:
    """A player's seed, from 0 to below 2^63: a function of the request, never of the order of requests.

    seed: of the run. `id_`: of the dialog. number: of the round. attempt: unusable replies before.
    """
    digest = hashlib.sha256(f"{seed}/{number}/{attempt}/{id_}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
