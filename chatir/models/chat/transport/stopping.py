"""When the errors of an endpoint stop the run: at its first request, at a lost key or server, at replies of no use."""

from __future__ import annotations

from chatir.errors import ChatirError, InputError, StoppedRunError
from chatir.models.chat.transport.errors import ABOUT_IMAGES
from chatir.models.chat.transport.retry import RequestError, ceiling
from chatir.models.completion import Request

OUTAGES = 3
"""Requests given up one after the other, with no success between them, that mean that the server is gone."""
MOST_USELESS = 8
"""Replies in a row that are of no use, with no success between them, after which the run stops."""
_GONE = frozenset({"server_error", "timeout", "connection", "rate_limit", "broken_reply"})


class Stopping:
    """Counts what goes well and wrong at an endpoint, and says when that must stop the run.

    where: the endpoint and the model, for messages. about_key: what to say where the server rejects the key, or the
    lack of one. timeout: seconds for one attempt.
    """

    def __init__(self, where: str, about_key: str, timeout: float) -> None:
        self._where = where
        self._about_key = about_key
        self._timeout = timeout
        self._given_up = 0
        self._useless = 0
        self.proved = False
        """Whether a request has succeeded."""

    def succeeded(self) -> None:
        """A request succeeded."""
        self.proved, self._given_up, self._useless = True, 0, 0

    def useless(self, why: str) -> ChatirError | None:
        """A reply was of no use. Returns the error that stops the run, after too many of them in a row."""
        self._useless += 1
        if self._useless < MOST_USELESS:
            return None
        return StoppedRunError(f"{MOST_USELESS} replies in a row were of no use: {self._where}: {why}")

    def given_up(self, error: RequestError, request: Request) -> ChatirError | None:
        """A request was given up. Returns the error that stops the run, None where another request may succeed."""
        where = f"{self._where}: {error.message}"
        match error.kind:
            case "rejected_key":
                return InputError(f"{where}; {self._about_key}")
            case "unknown_model":
                return InputError(f"{where}; there is no such model, or no such endpoint: most base URLs end in /v1")
            case "redirect":
                return InputError(f"{where}, and redirects are not followed; if that is right, name it as base_url")
            case "quota":
                return StoppedRunError(f"the quota is exhausted: {where}")
            case "rate_limit" if (error.after or 0) > ceiling(self._timeout):
                return StoppedRunError(f"the server wants to be asked again in {error.after:.0f} seconds: {where}")
            case "refused" | "context_overflow":
                return None if self.proved else self.useless(error.message)
            case "empty_reply" | "cut_off" | "stopped":
                return None
        if not self.proved:
            return InputError(where + _hint(error, request))
        if error.kind == "bad_request":
            return self.useless(error.message)
        if error.kind in _GONE:
            self._given_up += 1
            if self._given_up >= OUTAGES:
                return StoppedRunError(f"the server does not answer any more: {where}")
        return None


def _hint(error: RequestError, request: Request) -> str:
    """The end of a message about a first request that failed."""
    match error.kind:
        case "access_denied":
            return "; it may be this key, this account, this network or this country that may not use it"
        case "bad_request" if request.image is not None and ABOUT_IMAGES.search(error.said):
            return "; perhaps it takes no images: name a model that does"
    return ""
