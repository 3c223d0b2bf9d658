"""The loop: dialogs waiting for a question, for an answer, for being seen; each queue drained by its player."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any

from chatir.dialog import UNUSABLE, Dialog, Reply, Round
from chatir.errors import ChatirError, InputError, InterruptedRunError
from chatir.measures.questions import normalised_question
from chatir.run.file import RunFile
from chatir.run.rows import Learnt, ReplyRow, Role, State, StateRow, target_digest
from chatir.simulate.budget import Budget
from chatir.simulate.exceptions import PlayerExceptions
from chatir.simulate.lane import Done, Lane, Work
from chatir.simulate.play import FixedBatches, Play
from chatir.simulate.player import Player
from chatir.simulate.progress import Progress
from chatir.simulate.replies import checked, raised
from chatir.simulate.soft_refusals import SoftRefusalCheck, SoftRefusals

WINDOW = 256
"""Dialogs in flight, at least: enough to keep batches full and commits few."""
LAST = 2**40
"""More than any position."""
GRACE_SECONDS = 10.0
"""How long an interrupted run waits for replies that are under way, and perhaps paid for."""


@dataclass
class _Step:
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


class Loop:
    """Plays targets to their end. Every reply is committed before its dialog moves on."""

    def __init__(
        self,
        run_file: RunFile,
        players: dict[Role, Player],
        *,
        rounds: int,
        seed: int,
        ask_again: int,
        deterministic: bool,
        cost_limit: float | None,
        soft_refusals: SoftRefusals,
        config: Callable[[dict[Role, Player]], dict[str, Any]],
        progress: Progress,
        report: Callable[[Progress], None],
        note: Callable[[str], None],
    ) -> None:
        """Players by the stage that they serve: "question", "answer", and "observe" where there is an observer.

        rounds: per dialog. ask_again: how often a model that said nothing usable is asked once more. deterministic:
        fixed batches in target order. cost_limit: US dollars that all sessions together may cost. soft_refusals: what
        becomes of answers in which a model says that it cannot answer. config: gives the run's configuration with
        what its players declare by now. progress: counted up as the run goes on; report: called with it after each
        commit. note: called with a line for the user.
        """
        self._run_file = run_file
        self._players = players
        self._rounds = rounds
        self._seed = seed
        self._ask_again = ask_again
        self._progress = progress
        self._report = report
        self._note = note
        self._first: Role = "observe" if "observe" in players else "question"
        self._fixed = FixedBatches({r: p.batch_size for r, p in players.items()}) if deterministic else None
        dearest = {role: run_file.dearest(role) for role in players}
        self._budget = Budget(
            cost_limit, players, self._arguments, lambda: progress.cost or 0.0, dearest, run_file.untold
        )
        self._soft_refusals = SoftRefusalCheck(soft_refusals, note)
        self._exceptions = PlayerExceptions(players, progress, run_file.path, note)
        self._config = config
        self._adapted: dict[Role, dict[str, Any]] = {}
        self._adapted_config: dict[str, Any] = {}
        self._window = max(WINDOW, 4 * sum(p.batch_size * p.concurrency for p in players.values()))
        self._looks = any(player.needs_images for player in players.values())
        self._known = sum(run_file.states().values())
        self._inbox: SimpleQueue[Done[Play] | None] = SimpleQueue()
        self._in_flight = 0
        self._came = 0
        self.given = 0
        """Targets that were let in, or passed by, so far; all of them once `run` has returned."""
        self._interrupted = False
        self._started = time.monotonic()

    def interrupt(self) -> None:
        """Stop soon, with everything saved; may be called from a signal handler."""
        self._interrupted = True
        self._inbox.put(None)

    def run(self, targets: Iterator[Dialog]) -> None:
        """Play the targets; returns when each has ended, well or by a failure.

        Raises what a player raised to stop the run, InputError for a target that is not the one the run file has in its
        place, for a player that does not give a reply for each dialog and for one that only raises exceptions (the last
        one is its cause), StoppedRunError before the cost limit would be passed, and InterruptedRunError after
        `interrupt`; everything committed is kept.
        """
        numbered = enumerate(targets)
        lanes = {role: Lane(self._work(role), self._inbox) for role in self._players}
        try:
            step = self._turn([], numbered)
            while self._in_flight:
                self._send(step, lanes)
                step = self._turn(self._collect(), numbered)
        except BaseException:
            try:
                self._leave(lanes)
            finally:
                self._take_in_last()
            raise
        self._leave(lanes)

    def _take_in_last(self) -> None:
        """Commit what came back while the run was ending; say how much of all that came could not be saved."""
        with suppress(ChatirError):
            self._turn(self._returned(), None)
        with suppress(ChatirError):
            if lost := self._came - self._run_file.new_replies():
                self._note(f"{lost} replies that came could not be saved")

    def _leave(self, lanes: dict[Role, Lane[Play]]) -> None:
        """Wait for the calls under way: perhaps they are paid for. An interrupt bounds the wait."""
        for lane in lanes.values():
            lane.stop()
        deadline: float | None = None
        told = time.monotonic() + 0.5
        while not all(lane.join(0.05) for lane in lanes.values()):
            now = time.monotonic()
            if self._interrupted:
                deadline = deadline or now + GRACE_SECONDS
                if now > deadline:
                    return
            if now > told:
                told = math.inf
                self._note("waiting for replies under way; Ctrl-C again stops at once")

    def _collect(self) -> list[Done[Play]]:
        """Wait for a call to come back, and take all that have."""
        calls = [call] if (call := self._inbox.get()) else []
        calls += self._returned()
        if self._interrupted:
            for call in calls:
                self._inbox.put(call)
            raise InterruptedRunError("interrupted")
        return calls

    def _returned(self) -> list[Done[Play]]:
        """The calls that have come back by now."""
        calls: list[Done[Play]] = []
        with suppress(Empty):
            while True:
                if (call := self._inbox.get_nowait()) is not None:
                    calls.append(call)
        return calls

    def _turn(self, calls: list[Done[Play]], targets: Iterator[tuple[int, Dialog]] | None) -> _Step:
        """Take in what came back, let new targets in, and commit it all in one transaction."""
        step = _Step()
        for call in calls:
            self._take_in(call, step)
        self._in_flight -= len(step.ended)
        try:
            if step.error is None and targets is not None:
                self._let_in(targets, step)
        finally:
            self._came += len(step.replies)
            seconds = time.monotonic() - self._started
            self._run_file.commit(step.targets, step.replies, step.states, seconds, self._learnt())
            self._progress.session_seconds = seconds
            self._report(self._progress)
        ended = None if self._in_flight else self.given
        if (error := step.error or self._exceptions.stopping(ended)) is not None:
            raise error
        return step

    def _learnt(self) -> Learnt:
        """What the players have found out so far, to be committed with the replies that came of it."""
        adapted = {role: changes for role, player in self._players.items() if (changes := player.adapted)}
        if adapted != self._adapted:
            self._adapted, self._adapted_config = adapted, self._config(self._players)
        provenance = {role: told for role, player in self._players.items() if (told := player.provenance)}
        return Learnt(self._adapted, self._adapted_config, provenance, self._budget.untold)

    def _send(self, step: _Step, lanes: dict[Role, Lane[Play]]) -> None:
        """Queue the dialogs that go on for the player that they wait for."""
        if self._fixed is not None:
            for batch in self._budget.affordable(self._fixed.ready(step.going_on, step.ended)):
                lanes[batch[0].stage].put_batch(batch)
            return
        for play in step.alone:
            play.alone = True
        sent: dict[Role, list[Play]] = {role: [] for role in lanes}
        for (play,) in self._budget.affordable([play] for play in (*step.alone, *step.going_on)):
            if play.alone:
                lanes[play.stage].put_batch([play])
            else:
                sent[play.stage].append(play)
        for role, plays in sent.items():
            if plays:
                lanes[role].put(plays)

    def _let_in(self, targets: Iterator[tuple[int, Dialog]], step: _Step) -> None:
        """Let targets in while there is room; those that ended well in an earlier session pass by."""
        block = self._fixed.block if self._fixed else 1
        while self._in_flight + block <= max(self._window, block):
            chunk = list(islice(targets, block))
            if not chunk:
                return
            self.given += len(chunk)
            if len(chunk) < block:
                self._check_cut(block)
            for position, target in chunk:
                if (play := self._play(position, target, step)) is not None:
                    self._in_flight += 1
                    step.going_on.append(play)

    def _check_cut(self, block: int) -> None:
        """Raise InputError where targets that are not given now would belong to the last of the fixed batches."""

        def waiting(*positions: int) -> bool:
            return any(not self._run_file.is_done(position) for position in range(*positions))

        end = min(self.given - self.given % block + block, self._known)
        if waiting(self.given - self.given % block, min(self.given, end)) and waiting(self.given, end):
            raise InputError(
                f"{self._run_file.path}: with --deterministic its last batch would have been another one: give a "
                f"multiple of {block} of its {self._known} targets"
            )

    def _play(self, position: int, target: Dialog, step: _Step) -> Play | None:
        if position >= self._known:
            if self._fixed and self._known % self._fixed.block:
                raise InputError(
                    f"{self._run_file.path}: with --deterministic its {self._known} targets cannot become more: their "
                    f"last batch would have been another one (grow by multiples of {self._fixed.block}, or use --fresh)"
                )
            step.targets.append((position, target))
            return Play(position, target, self._first, self._ask_again)
        recorded = self._run_file.recorded(position)
        if recorded is None or recorded.digest != target_digest(target):
            raise InputError(
                f"{self._run_file.path}: its target {position} is not {target.id!r} as it is now; use --fresh"
            )
        if recorded.state in ("done", "stopped"):
            return None
        play = Play.resumed(position, target, recorded, self._first, self._ask_again)
        self._progress.repeats += play.repeats
        self._progress.failed -= recorded.state == "failed"
        return play

    def _work(self, role: Role) -> Work[Play]:
        """What a stage's lane does with a batch of plays."""
        player = self._players[role]

        def arguments(plays: list[Play]) -> tuple[Any, ...]:
            dialogs = [self._shown(play) for play in plays]
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

    def _shown(self, play: Play) -> Dialog:
        return play.shown(self._seed, said=self._players[play.stage].uses_said)

    def _arguments(self, play: Play) -> tuple[Any, ...]:
        """What the player that a play waits for is asked about it."""
        dialog = self._shown(play)
        return (dialog, play.question) if play.stage == "answer" else (dialog,)

    def _take_in(self, call: Done[Play], step: _Step) -> None:
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
            alone = len(call.items) > 1 and self._fixed is None
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

    def _replied(self, play: Play, reply: Reply, seconds: float, step: _Step) -> None:
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
        play.question, play.stage = None, self._first
        progress.rounds += 1
        progress.session_rounds += 1
        if len(play.rounds) == self._rounds and self._first == "question":
            self._end(play, "done", step)
        else:
            step.going_on.append(play)

    def _seen(self, play: Play, step: _Step, *, stop: bool) -> None:
        if stop or len(play.rounds) == self._rounds:
            self._end(play, "stopped" if stop else "done", step)
        else:
            play.stage = "question"
            step.going_on.append(play)

    def _end(self, play: Play, state: State, step: _Step) -> None:
        step.states.append(StateRow(play.position, state, None if state == "failed" else play.repeats))
        step.ended.append(play)
        self._progress.cut += self._rounds - len(play.rounds)
        if state == "failed":
            self._progress.failed += 1
        else:
            self._progress.dialogs += 1
