"""How far a run has come."""

from __future__ import annotations

from dataclasses import dataclass

from chatir.console import duration


@dataclass(slots=True)
class Progress:
    """A run's counts, all sessions together.

    total: targets, None if they come from a generator. dialogs: those that ended well; failed: those that failed.
    rounds: complete ones; cut: those that dialogs lack because they stopped early or failed. repeats: repeated
    questions. tokens, cost (US dollars): None while no reply has told them.
    session_rounds, session_seconds: of this session alone.
    """

    total: int | None
    rounds_per_dialog: int
    dialogs: int = 0
    failed: int = 0
    rounds: int = 0
    cut: int = 0
    repeats: int = 0
    tokens: int | None = None
    cost: float | None = None
    session_rounds: int = 0
    session_seconds: float = 0.0

    def spend(self, *tokens: int | None, cost: float | None) -> None:
        """Add what replies took, as far as they told: tokens, and cost in US dollars."""
        for count in tokens:
            if count is not None:
                self.tokens = (self.tokens or 0) + count
        if cost is not None:
            self.cost = (self.cost or 0.0) + cost

    @property
    def rounds_per_second(self) -> float:
        """Speed of this session; 0 before anything came."""
        return self.session_rounds / self.session_seconds if self.session_seconds else 0.0

    @property
    def all_rounds(self) -> int | None:
        """Rounds that there will be when all targets have ended, unless more are cut; None for a generator."""
        return None if self.total is None else self.total * self.rounds_per_dialog - self.cut

    @property
    def eta(self) -> float | None:
        """Seconds to go at this speed; None while there is nothing to tell it from."""
        if self.all_rounds is None or not self.session_rounds:
            return None
        return max(0, self.all_rounds - self.rounds) / self.rounds_per_second

    def __str__(self) -> str:
        """What matters most comes first: a narrow terminal cuts the end."""
        parts = [
            f"{_of(self.rounds, self.all_rounds)} rounds",
            f"{_of(self.dialogs, self.total)} dialogs",
            f"{self.rounds_per_second:.1f} rounds/s",
        ]
        if self.eta is not None:
            parts.append(f"{duration(self.eta)} left")
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        if self.cost is not None:
            parts.append(f"${self.cost:.4f}")
        parts.append(f"{self.repeats:,} repeats")
        if self.tokens is not None:
            parts.append(f"{self.tokens:,} tokens")
        return ", ".join(parts)


def _of(count: int, all_: int | None) -> str:
    return f"{count:,}" if all_ is None else f"{count:,}/{all_:,}"
