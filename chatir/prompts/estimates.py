"""What a run will take, before it starts: calls, tokens and cost of the rounds to come, roughly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from chatir.dialog import Dialog, Round
from chatir.prompts.prompt import Message

TYPICAL = Round("What is the color of the shirt the man is wearing?", "red blue")
"""Stands in for a round that is to come: as long as those of the released ChatGPT_BLIP2 (49 and 8 characters)."""
CHARACTERS_PER_TOKEN = 4
"""Of English text."""
TOKENS_AROUND = 4
"""What roles and separators take, a message."""
QUESTION_TOKENS = 12


@dataclass(frozen=True)
class Estimate:
    """What rounds to come will take, roughly; two of them can be added.

    - `calls`: requests to a model
    - `tokens_in`, `tokens_out`: tokens read and written
    - `cost`: US dollars

    None where nobody knows; a sum with what nobody knows is None too.
    """

    calls: int = 0
    tokens_in: int | None = 0
    tokens_out: int | None = 0
    cost: float | None = 0.0

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(
            self.calls + other.calls,
            None if self.tokens_in is None or other.tokens_in is None else self.tokens_in + other.tokens_in,
            None if self.tokens_out is None or other.tokens_out is None else self.tokens_out + other.tokens_out,
            None if self.cost is None or other.cost is None else self.cost + other.cost,
        )


def tokens_of(messages: Sequence[Message]) -> int:
    """Tokens of some messages, roughly: four characters each, and some for every message."""
    return sum(len(message.content) // CHARACTERS_PER_TOKEN + TOKENS_AROUND for message in messages)


def rounds_to_come(dialog: Dialog, rounds: int) -> Iterator[Dialog]:
    """The dialog at the start of each round that it still lacks of `rounds`, those before it being `TYPICAL`."""
    for missing in range(rounds - len(dialog.rounds)):
        yield replace(dialog, rounds=(*dialog.rounds, *[TYPICAL] * missing))
