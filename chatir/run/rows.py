"""What the rows of a run file are, as values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from chatir.dialog import Dialog, Reply, Round

Role = Literal["question", "answer", "observe"]
State = Literal["open", "done", "stopped", "failed"]
MOST_TOKENS = 10**9
"""Tokens that one reply can have taken. A larger count cannot be true, and sums of such would overflow."""


class ReplyRow(NamedTuple):
    """One reply, as it is committed.

    position: of its dialog, in target order, from 0. round: from 1, 0 for the caption alone. role: who gave it.
    seconds: its share of its call's.
    """

    position: int
    round: int
    role: Role
    reply: Reply
    seconds: float


class StateRow(NamedTuple):
    """A dialog's new state, with the repeats among its questions once it has ended well."""

    position: int
    state: State
    repeats: int | None = None


class Learnt(NamedTuple):
    """What a session has found out about its run besides replies.

    adapted: by role, options of its player that the server's refusals have changed. config: the run's configuration
    with them. provenance: by role, what its player notes for the record. untold: US dollars that replies which do not
    tell their cost can have cost at most, over all sessions.
    """

    adapted: Mapping[Role, Mapping[str, Any]]
    config: Mapping[str, Any]
    provenance: Mapping[Role, Mapping[str, Any]]
    untold: float


@dataclass(frozen=True, slots=True)
class Recorded:
    """A dialog as the run file knows it.

    digest: what its target is. rounds: those that are complete; they and what follows are left out of a dialog that
    ended well. question: that of the next round, where it is asked but not answered. attempt: how often the model
    that is to speak next has said nothing usable. memories: what each player wants to be given back.
    """

    digest: str
    state: State
    rounds: tuple[Round, ...] = ()
    question: str | None = None
    attempt: int = 0
    memories: Mapping[Role, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RoleTotals:
    """What all sessions of a run spent on one role: replies, tokens, cost in US dollars, and seconds.

    None where no reply told.
    """

    replies: int
    tokens_in: int | None
    tokens_out: int | None
    cost: float | None
    seconds: float


@dataclass(frozen=True)
class FailedDialog:
    """A dialog that failed, by its id, with its last failure, which came `times` times in its place.

    round: from 1, 0 for the caption alone. role: who failed. kind: one word to count by; message: one line to read.
    """

    id: str
    round: int
    role: Role
    kind: str
    message: str
    times: int

    def __str__(self) -> str:
        times = f" ({self.times} times)" if self.times > 1 else ""
        return f"{self.id}: {self.role} of round {self.round}: {self.kind}: {self.message}{times}"


def target_digest(target: Dialog) -> str:
    """What a target is, in 32 hex digits, so that a continued run can tell that it is the same."""
    said = [str(turn) for turn in target.said]
    content = json.dumps([target.id, target.image, target.caption, said, dict(target.extra)])
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def reply_values(session: int, row: ReplyRow) -> tuple[Any, ...]:
    """A reply as the columns of its table hold it, after its number."""
    reply = row.reply
    kind, message = (None, None) if reply.failure is None else (reply.failure.kind, reply.failure.message)
    return (
        session,
        row.position,
        row.round,
        row.role,
        reply.text,
        reply.raw,
        kind,
        message,
        reply.tokens_in,
        reply.tokens_out,
        reply.cost,
        row.seconds,
        reply.memory,
    )
