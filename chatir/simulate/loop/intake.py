"""The intake: lets targets in while there is room, each as a new dialog or as the one that the run file has."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from chatir.dialog import Dialog
from chatir.errors import InputError
from chatir.run.file import RunFile
from chatir.run.rows import Role, target_digest
from chatir.simulate.loop.play import Play
from chatir.simulate.loop.stages import Step
from chatir.simulate.progress import Progress


class Intake:
    """Lets targets into the loop.

    first: the stage that begins a round. block: how many targets are let in together: 1, or more where
    batches are fixed. window: dialogs in flight, at most.
    """

    def __init__(
        self,
        run_file: RunFile,
        targets: Iterator[Dialog],
        *,
        first: Role,
        ask_again: int,
        block: int,
        window: int,
        progress: Progress,
    ) -> None:
        self._run_file = run_file
        self._numbered = enumerate(targets)
        self._first = first
        self._ask_again = ask_again
        self._block = block
        self._window = max(window, block)
        self._progress = progress
        self._known = sum(run_file.states().values())
        self.given = 0
        """Targets that were let in, or passed by, so far."""

    def let_in(self, step: Step, in_flight: int) -> int:
        """Let targets in while there is room; those that ended well in an earlier session pass by.

        in_flight: the dialogs in flight so far; returns how many have come to them. Raises InputError for a target that
        is not the one the run file has in its place.
        """
        let_in = 0
        while in_flight + let_in + self._block <= self._window:
            chunk = list(islice(self._numbered, self._block))
            if not chunk:
                break
            self.given += len(chunk)
            if len(chunk) < self._block:
                self._check_cut()
            for position, target in chunk:
                if (play := self._play(position, target, step)) is not None:
                    let_in += 1
                    step.going_on.append(play)
        return let_in

    def _check_cut(self) -> None:
        """Raise InputError where targets that are not given now would belong to the last of the fixed batches."""

        def waiting(*positions: int) -> bool:
            return any(not self._run_file.is_done(position) for position in range(*positions))

        block = self._block
        end = min(self.given - self.given % block + block, self._known)
        if waiting(self.given - self.given % block, min(self.given, end)) and waiting(self.given, end):
            raise InputError(
                f"{self._run_file.path}: with --deterministic its last batch would have been another one: give a "
                f"multiple of {block} of its {self._known} targets"
            )

    def _play(self, position: int, target: Dialog, step: Step) -> Play | None:
        if position >= self._known:
            if self._known % self._block:
                raise InputError(
                    f"{self._run_file.path}: with --deterministic its {self._known} targets cannot become more: their "
                    f"last batch would have been another one (grow by multiples of {self._block}, or use --fresh)"
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
