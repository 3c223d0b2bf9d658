"""What exceptions of players come to: the first one is shown, and a player that does nothing else stops the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from chatir.errors import InputError
from chatir.run.rows import Role
from chatir.simulate.loop.play import Play
from chatir.simulate.loop.tracebacks import exception_line, shown_lines
from chatir.simulate.player import Player
from chatir.simulate.progress import Progress

MOST_CALLS = 8
"""Calls that failed in one round, with no reply of that player in that round, after which the run stops."""


class PlayerExceptions:
    """Counts the exceptions of each player in a session, shows the first, and tells when they must stop the run."""

    def __init__(
        self, players: Mapping[Role, Player], progress: Progress, run_file: Path, note: Callable[[str], None]
    ) -> None:
        """run_file: keeps the tracebacks. note: called with a line for the user, for each line of a traceback too."""
        self._players = players
        self._progress = progress
        self._run_file = run_file
        self._note = note
        self._raised: Counter[Role] = Counter()
        self._calls: Counter[tuple[Role, int]] = Counter()
        self._dialogs: Counter[tuple[Role, int]] = Counter()
        self._last: dict[Role, BaseException] = {}
        self._replied: set[tuple[Role, int]] = set()

    def replied(self, role: Role, plays: Iterable[Play]) -> None:
        """The player gave replies for these dialogs."""
        self._replied.update((role, play.number) for play in plays)

    def raised(self, role: Role, error: BaseException, plays: Collection[Play], *, final: bool) -> None:
        """The player raised an exception in a call with these dialogs. final: they fail, and are not tried alone."""
        self._show(role, error, "" if final else f" about {len(plays)} dialogs, each of which is tried again alone")
        if not final:
            return
        self._last[role] = error
        places = [(role, play.number) for play in plays]
        self._dialogs.update(places)
        # A dialog that fails again, where others ended well, says nothing of those.
        if not self._progress.dialogs or not all(play.failed for play in plays):
            self._calls.update(set(places))

    def stopping(self, ended: int | None) -> InputError | None:
        """The error that stops the run: a player raised an exception in each call of a round, the last one its cause.

        ended: the targets of the run, where all have ended; None while it is on, when no fewer calls count than may be
        under way at once, because exceptions come back sooner than replies.
        """
        for (role, number), calls in self._calls.items():
            most = max(MOST_CALLS, self._players[role].concurrency)
            place = role, number
            if place not in self._replied and (calls >= most or self._dialogs[place] == ended):
                return self._error(role, number)
        return None

    def _error(self, role: Role, number: int) -> InputError:
        error, dialogs = self._last[role], self._dialogs[role, number]
        told = InputError(
            f"{self._players[role].shown} raised an exception for each of {dialogs} dialogs in round {number} and gave "
            f"no reply, the last one {exception_line(error)}; the tracebacks are kept in {self._run_file}; correct "
            "the player, and the same command goes on, without --fresh"
        )
        told.__cause__ = error
        return told

    def _show(self, role: Role, error: BaseException, about: str) -> None:
        name = self._players[role].shown
        self._raised[role] += 1
        if self._raised[role] == 1:
            self._note(f"{name} raised an exception{about}:")
            for line in shown_lines(error):
                self._note(line)
        elif self._raised[role] == 2:
            kept = f"the traceback of each dialog that fails is kept in {self._run_file}"
            self._note(f"{name} raised {type(error).__name__} again; {kept}")
