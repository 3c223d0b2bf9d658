"""The stages: what each player is asked about a dialog, and what its reply means for that dialog."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chatir.dialog import UNUSABLE, Dialog, Reply, Round
from chatir.errors import ChatirError, InputError
from chatir.measures.questions import normalised_question
from chatir.run.rows import ReplyRow, Role, State, StateRow
from chatir.simulate.loop.budget import Budget
from chatir.simulate.loop.exceptions import PlayerExceptions
from chatir.simulate.loop.lane import Done, Work
from chatir.simulate.loop.play import Play
from chatir.simulate.loop.replies import checked, raised
from chatir.simulate.loop.soft_refusals import SoftRefusalCheck
from chatir.simulate.player import Player
from chatir.simulate.progress import Progress

LAST = 2**40
"""More than any position."""


@dataclass
class Step:
    """What one turn of the loop commits, and where it sends the dialogs after that."""

    targets: list[tuple[int, Dialog]] = field(default_factory=list)
    replies: list[ReplyRow] = field(default_factory=list)
    states: list[StateRow] = field(default_factory=list)
    going_on: list[Play] = field(default_factory=list)
    ended: list[Play] = field(default_factory=list)
    alone: list[Play] = field(default_factory=list)
    error: ChatirError | None = None

    def stop(self, error: ChatirError) -> None:
        """Stop the run with the first error; what else came back is still taken in."""
        self.error = self.error or error


class Stages:
    """Asks the players about dialogs, and sorts out what they reply.

    players: by the stage that they serve. rounds: per dialog. ask_again: how often a model that said nothing usable is
    asked once more. alone: whether the dialogs of a call that raised an exception are tried once more, each on its own.
    """

    def __init__(
        self,
        players: dict[Role, Player],
        *,
        rounds: int,
        seed: int,
        ask_again: int,
        alone: bool,
        budget: Budget,
        soft_refusals: SoftRefusalCheck,
        exceptions: PlayerExceptions,
        progress: Progress,
    ) -> None:
        self._players = players
        self._rounds = rounds
        self._seed = seed
        self._ask_again = ask_again
        self._alone = alone
        self._soft_refusals = soft_refusals
        self._exceptions = exceptions
        self._progress = progress
        self._looks = any(player.needs_images for player in players.values())
        self._budget = budget
        self.first: Role = "observe" if "observe" in players else "question"
        """The stage that begins a round."""

    def work(self, role: Role) -> Work[Play]:
        """What the lane of a role does with a batch of plays."""
        player = self._players[role]

        def arguments(plays: list[Play]) -> tuple[Any, ...]:
            dialogs = [play.shown(self._seed, said=player.uses_said) for play in plays]
            return (dialogs, [play.question for play in plays]) if role == "answer" else (dialogs,)

        def call(plays: list[Play]) -> Any:
            return player.call(*arguments(plays))

        async def call_async(plays: list[Play]) -> Any:
            return await player.call(*arguments(plays))

        return Work(
            name=player.shown,
            call=call_async if player.is_async else call,
            batch_size=player.batch_size,
            concurrency=player.concurrency,
            order=self._order,
            close=player.close,
        )

    def _order(self, play: Play) -> int:
        """What goes first, the least of all: the first targets, so that few images are in play at once.

        Dialogs that failed in an earlier session come last, since what fails them may stop the run.
        """
        return (play.position if self._looks else 0) + (LAST if play.failed else 0)

    def take_in(self, call: Done[Play], step: Step) -> None:
        """Sort out one call: rows to commit, and where each of its dialogs goes."""
        self._budget.settle(call.items)
        for play in call.items:
            play.alone = False
        if isinstance(call.error, ChatirError):
            step.stop(call.error)
            return
        if not call.items:
            step.stop(InputError(f"{call.lane.work.name}: its workers have ended ({call.error}); it cancels itself?"))
            return
        stage = call.items[0].stage
        name = self._players[stage].shown
        results = call.result
        if call.error is not None:
            alone = len(call.items) > 1 and self._alone
            self._exceptions.raised(stage, call.error, call.items, final=not alone)
            if alone:  # one dialog may have spoiled it for all: each is tried once more on its own
                self._budget.lost(call.items)
                step.alone += call.items
                return
            results = [raised(call.error)] * len(call.items)
        elif isinstance(results, Sequence) and len(results) == len(call.items):
            self._exceptions.replied(stage, call.items)
        else:
            count = f"{len(results)} replies" if isinstance(results, Sequence) else f"a {type(results).__name__}"
            step.stop(
                InputError(f"{name}: gave {count}, but must give a list of {len(call.items)}, one for each dialog")
            )
            return
        for play, result in zip(call.items, results, strict=True):
            if isinstance(result, Reply) and (stage != "observe" or result.failure):
                self._replied(play, checked(result), call.seconds / len(call.items), step)
            elif stage == "observe" and not isinstance(result, Reply | str | None):
                self._seen(play, step, stop=bool(result))
            else:
                must = "True or False" if stage == "observe" else "a Reply"
                step.stop(InputError(f"{name}: gave {type(result).__name__}, but must give {must}"))

    def _replied(self, play: Play, reply: Reply, seconds: float, step: Step) -> None:
        progress = self._progress
        if play.stage == "answer":
            reply = self._soft_refusals.settled(reply, play.target.id, self._players["answer"].shown)
        step.replies.append(ReplyRow(play.position, play.number, play.stage, reply, seconds))
        progress.spend(reply.tokens_in, reply.tokens_out, cost=reply.cost)
        self._budget.note(play, reply)
        if reply.failure is not None:
            if reply.failure.kind in UNUSABLE and play.attempt < play.last_attempt:
                play.attempt += 1
                step.going_on.append(play)
            else:
                self._end(play, "failed", step)
            return
        play.attempt, play.last_attempt = 0, self._ask_again
        text = reply.text or ""
        if reply.memory is not None:
            play.memories[play.stage] = reply.memory
        if play.stage == "question":
            repeats = play.repeats
            play.question, play.stage = text, "answer"
            play.asked.add(normalised_question(text))
            progress.repeats += play.repeats - repeats
            step.going_on.append(play)
            return
        play.rounds.append(Round(play.question or "", text))
        play.question, play.stage = None, self.first
        progress.rounds += 1
        progress.session_rounds += 1
        if len(play.rounds) == self._rounds and self.first == "question":
            self._end(play, "done", step)
        else:
            step.going_on.append(play)

    def _seen(self, play: Play, step: Step, *, stop: bool) -> None:
        if stop or len(play.rounds) == self._rounds:
            self._end(play, "stopped" if stop else "done", step)
        else:
            play.stage = "question"
            step.going_on.append(play)

    def _end(self, play: Play, state: State, step: Step) -> None:
        step.states.append(StateRow(play.position, state, None if state == "failed" else play.repeats))
        step.ended.append(play)
        self._progress.cut += self._rounds - len(play.rounds)
        if state == "failed":
            self._progress.failed += 1
        else:
            self._progress.dialogs += 1
