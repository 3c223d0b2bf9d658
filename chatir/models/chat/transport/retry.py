"""The one retry policy: which troubles of a request are worth another attempt, and how long to wait for it."""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

ATTEMPTS = 10
WAIT_INITIAL = 0.5
WAIT_MAX = 60.0
WAIT_JITTER = 1.0
"""Attempts at most, and seconds between them: 0.5, 1, 2, ... 60, each with up to a second of jitter."""

RETRIED = frozenset({"rate_limit", "server_error", "timeout", "connection", "broken_reply", "empty_reply"})
"""Kinds of trouble that may pass. Any other kind, a rejected key say, would only come again."""

USELESS = frozenset({"empty_reply", "cut_off", "broken_reply", "access_denied"})
"""Kinds of a reply that is of no use. Many of them in a row stop the run."""
SAME = 3
"""Useless replies of one message in a row, after which a request is given up: the next one would be the same."""

Result = TypeVar("Result")


class RequestError(Exception):
    """A request that came to nothing: a kind to count by, a line to read.

    - `after`: seconds that the server asks to be left alone
    - `seconds`: how long the attempt took, without the time that it waited for its turn
    - `lost`: whether the request was sent, and may have been computed and charged, although its reply is lost
    - `said`: the server's own words in full, with the names of the parameters they are about
    """

    def __init__(
        self,
        kind: str,
        message: str,
        after: float | None = None,
        seconds: float = 0.0,
        *,
        lost: bool = False,
        said: str = "",
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.after = after
        self.seconds = seconds
        self.lost = lost
        self.said = said


def ceiling(timeout: float) -> float:
    """Seconds of attempts and of waits that a server asked for, after which there is no further attempt.

    There is room for all attempts even if each one times out.
    """
    return 300 + ATTEMPTS * timeout


async def with_retries(
    attempt: Callable[[], Awaitable[Result]],
    timeout: float,
    on_trouble: Callable[[RequestError, int], None] = lambda trouble, attempts: None,
    over: Callable[[], bool] = lambda: False,
) -> Result:
    """The result of the first attempt that succeeds.

    timeout: seconds that one attempt may take at most. on_trouble: called with each trouble that is to pass, and
    the number of attempts so far. over: whether no further attempt is wanted.
    Raises the last RequestError, which tells the number of attempts, when trying again is of no use.
    """
    import stamina

    _silence(stamina.instrumentation)
    limit = ceiling(timeout)
    attempts, spent = 0, 0.0
    latest, same = "", 0

    def worth_it(error: Exception) -> bool | float:
        nonlocal spent, latest, same
        if not isinstance(error, RequestError) or error.kind not in RETRIED or over():
            return False
        message = re.sub(r"\d+", "", error.message)  # broken JSON breaks off at another place each time
        same = same + 1 if message == latest else 1
        latest = message
        if error.kind in USELESS and same >= SAME:
            return False
        spent += error.seconds + (error.after or 0)
        if spent > limit:
            return False
        if attempts < ATTEMPTS:
            on_trouble(error, attempts)
        return True if error.after is None else error.after + random.uniform(0, WAIT_JITTER)  # noqa: S311 - no secret

    rounds = stamina.retry_context(
        on=worth_it,
        attempts=ATTEMPTS,
        timeout=None,  # it would count the time in which a request waits for its turn
        wait_initial=WAIT_INITIAL,
        wait_max=WAIT_MAX,
        wait_jitter=WAIT_JITTER,
    )
    try:
        async for one in rounds:
            with one:
                attempts += 1
                return await attempt()
    except RequestError as error:
        if attempts > 1:
            error.message += f" ({attempts} attempts)"
            error.args = (error.message,)
        raise
    raise AssertionError("stamina gives at least one attempt")


def _silence(instrumentation: Any) -> None:
    """Take away stamina's own hooks that log each retry: to stdout, where structlog is installed."""
    hooks = instrumentation.get_on_retry_hooks()
    loud = ("stamina.instrumentation._logging", "stamina.instrumentation._structlog")
    if any(hook.__module__ in loud for hook in hooks):
        instrumentation.set_on_retry_hooks([hook for hook in hooks if hook.__module__ not in loud])
