"""Replies as a run file can keep them, whatever a player made of them."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from chatir.dialog import Failure, Reply, text_problem
from chatir.errors import InputError
from chatir.run.rows import MOST_TOKENS
from chatir.simulate.loop.tracebacks import exception_line, exception_text
from chatir.storage.plain_data import plain_data


def checked(reply: Reply) -> Reply:
    """The reply as a run file can keep it, or the failure that it is when its text cannot be kept."""
    raw = None if reply.raw is None else _storable(reply.raw)
    text, failure = reply.text, reply.failure
    if (wrong := _wrong(reply)) is not None:
        raw = raw or _storable(text or failure)
        text, failure = None, Failure("bad_reply", wrong)
    elif failure is not None:
        failure = Failure(_storable(failure.kind), _storable(failure.message))
    memory = None if reply.memory is None else _storable(reply.memory)
    tokens_in, tokens_out = _count(reply.tokens_in), _count(reply.tokens_out)
    return Reply(text, raw, tokens_in, tokens_out, _cost(reply.cost), failure, memory, _notes(reply.notes))


def _wrong(reply: Reply) -> str | None:
    if reply.failure is not None:
        kind = getattr(reply.failure, "kind", None)
        return None if isinstance(kind, str) and kind else f"a failure's kind must be a word, not {kind!r}"
    if not isinstance(reply.text, str):
        return f"the text is {type(reply.text).__name__}"
    problem = text_problem(reply.text)
    return problem and f"the text {problem}"


def _storable(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00") if text_problem(text) else text


def _notes(value: object) -> dict[str, Any] | None:
    """Notes as JSON holds them; what it cannot hold becomes text."""
    if value is None:
        return None
    try:
        return plain_data(value, "notes")
    except InputError:
        return {"notes": _storable(value)}


def _count(value: object) -> int | None:
    """A token count as a plain whole number; None for what is none, or too large to be true."""
    return int(value) if isinstance(value, Integral) and 0 <= int(value) <= MOST_TOKENS else None


def _cost(value: object) -> float | None:
    """US dollars as a plain number; None for what no reply can cost, and would spoil every sum."""
    cost = float(value) if isinstance(value, Real) else math.nan
    return cost if 0 <= cost < math.inf else None


def raised(error: BaseException) -> Reply:
    """The failure of a player that raised an exception; the traceback is its raw text."""
    return Reply.failed("exception", exception_line(error), raw=exception_text(error))
