"""The loop: dialogs waiting for a question, for an answer, for being seen; each queue drained by its player."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from chatir.dialog import Dialog
from chatir.errors import ChatirError, InterruptedRunError
from chatir.run.file import RunFile
from chatir.run.rows import Learnt, Role
from chatir.simulate.loop.budget import Budget
from chatir.simulate.loop.exceptions import PlayerExceptions
from chatir.simulate.loop.fixed_batches import FixedBatches
from chatir.simulate.loop.intake import Intake
from chatir.simulate.loop.lane import Done, Lane
from chatir.simulate.loop.play import Play
from chatir.simulate.loop.soft_refusals import SoftRefusalCheck, SoftRefusals
from chatir.simulate.loop.stages import Stages, Step
from chatir.simulate.player import Player
from chatir.simulate.progress import Progress

WINDOW = 256
"""Dialogs in flight, at least: enough to keep batches full and commits few."""
GRACE_SECONDS = 10.0
"""How long an interrupted run waits for replies that are under way, and perhaps paid for."""


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
        self._ask_again = ask_again
        self._progress = progress
        self._report = report
        self._note = note
        self._fixed = FixedBatches({r: p.batch_size for r, p in players.items()}) if deterministic else None
        self._budget = Budget(cost_limit, players, seed, lambda: progress.cost or 0.0, run_file.untold)
        self._exceptions = PlayerExceptions(players, progress, run_file.path, note)
        self._stages = Stages(
            players,
            rounds=rounds,
            seed=seed,
            ask_again=ask_again,
            alone=not deterministic,
            budget=self._budget,
            soft_refusals=SoftRefusalCheck(soft_refusals, note),
            exceptions=self._exceptions,
            progress=progress,
        )
        self._config = config
        self._adapted: dict[Role, dict[str, Any]] = {}
        self._adapted_config: dict[str, Any] = {}
        self._window = max(WINDOW, 4 * sum(p.batch_size * p.concurrency for p in players.values()))
        self._inbox: SimpleQueue[Done[Play] | None] = SimpleQueue()
        self._in_flight = 0
        self._came = 0
        self._interrupted = False
        self._started = time.monotonic()

    def interrupt(self) -> None:
        """Stop soon, with everything saved; may be called from a signal handler."""
        self._interrupted = True
        self._inbox.put(None)

    def run(self, targets: Iterator[Dialog]) -> int:
        """Play the targets; returns how many there are when each has ended, well or by a failure.

        Raises what a player raised to stop the run, InputError for a target that is not the one the run file has in its
        place, for a player that does not give a reply for each dialog and for one that only raises exceptions (the last
        one is its cause), StoppedRunError before the cost limit would be passed, and InterruptedRunError after
        `interrupt`; everything committed is kept.
        """
        intake = Intake(
            self._run_file,
            targets,
            first=self._stages.first,
            ask_again=self._ask_again,
            block=self._fixed.block if self._fixed else 1,
            window=self._window,
            progress=self._progress,
        )
        lanes = {role: Lane(self._stages.work(role), self._inbox) for role in self._players}
        try:
            step = self._turn([], intake)
            while self._in_flight:
                self._send(step, lanes)
                step = self._turn(self._collect(), intake)
        except BaseException:
            try:
                self._leave(lanes)
            finally:
                self._take_in_last()
            raise
        self._leave(lanes)
        return intake.given

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

    def _turn(self, calls: list[Done[Play]], intake: Intake | None) -> Step:
        """Take in what came back, let new targets in, and commit it all in one transaction."""
        step = Step()
        for call in calls:
            self._stages.take_in(call, step)
        self._in_flight -= len(step.ended)
        try:
            if step.error is None and intake is not None:
                self._in_flight += intake.let_in(step, self._in_flight)
        finally:
            self._came += len(step.replies)
            seconds = time.monotonic() - self._started
            self._run_file.commit(step.targets, step.replies, step.states, seconds, self._learnt())
            self._progress.session_seconds = seconds
            self._report(self._progress)
        ended = None if self._in_flight or intake is None else intake.given
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

    def _send(self, step: Step, lanes: dict[Role, Lane[Play]]) -> None:
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
