"""A chat endpoint: any server, local or remote, that speaks OpenAI's protocol."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from pydantic import ValidationError

from chatir.dialog import Failure
from chatir.errors import ChatirError, InputError
from chatir.models.cached_completions import Remembered
from chatir.models.chat.adapting import lesson
from chatir.models.chat.body import chat_body
from chatir.models.chat.oddities import Oddities
from chatir.models.chat.options import ChatOptions
from chatir.models.chat.prices import Prices
from chatir.models.chat.replies import ChatReply, Spoken, Usage, parsed_reply, spoken
from chatir.models.chat.transport.connection import Address, Connection
from chatir.models.chat.transport.keys import hidden, hide_in_logs, key_of
from chatir.models.chat.transport.pace import Pace
from chatir.models.chat.transport.retry import ATTEMPTS, USELESS, RequestError, ceiling, with_retries
from chatir.models.chat.transport.stopping import Stopping
from chatir.models.completion import Completion, Request, total
from chatir.plugins import Context

OPENAI_KEY = "OPENAI_API_KEY"
QUIET_SECONDS = 30.0
"""Minimum seconds between repeated warnings."""
_RULES = 2
"""Version of the rules by which a reply counts as one. Cached replies of another version are not used."""


class _Asking(NamedTuple):
    """How requests are sent now: the options, and what of them differs from those given, by name."""

    options: ChatOptions
    adapted: Mapping[str, Any]


@dataclass
class _Spent:
    """What the attempts at one request took.

    usages: those that replies told. lost: attempts without a whole usage that may have been charged. untold: whether
    the reply that counts does not tell its usage.
    """

    usages: list[Usage] = field(default_factory=list)
    lost: int = 0
    untold: bool = False


class ChatEndpoint:
    """Completes chats, many at once; retries transient errors, and raises a ChatirError for what must stop the run.

    Until one request succeeds, requests go one at a time, so that a wrong key costs one request. A request that the
    server refuses for a parameter or a role that it does not take is sent again without it, and so are all later ones.
    Texts from the server never contain the key. May be used in one event loop after another, if `close` is awaited
    between them. Raises InputError for a base URL that is invalid, or contains a secret.
    """

    chats = True

    def __init__(self, options: ChatOptions, context: Context) -> None:
        self._options = options
        self._asking = _Asking(options, {})
        self._oddities = Oddities(options.model, self._note)
        self._progress = context.progress
        self._remembered = Remembered(context)
        self.concurrency = options.concurrency
        self._address = Address.of(options.base_url)
        self._prices = Prices(options, self._address.url)
        self._sends_no_key = options.key_env is None and not self._address.trusted
        self._warned = False
        self._quiet_until = 0.0
        self._connection: Connection | None = None
        self._begun = False
        self._stop: ChatirError | None = None
        self._waiting: set[asyncio.Task[Any]] = set()

    @property
    def identity(self) -> dict[str, Any]:
        """What determines a completion, as far as an endpoint lets it; with what a server's refusals have changed."""
        return {"base_url": self._address.url, **self._asking.options.identity}

    @property
    def adapted(self) -> dict[str, Any]:
        """Options that differ from those given because the server refused those, by name."""
        return dict(self._asking.adapted)

    def adapt(self, changes: Mapping[str, Any], why: str = "as before") -> None:
        """Change options, as a refusal asks, or as an earlier session of the run or a cached reply had to.

        why: for the line that reports the change.
        """
        adapted = {**self._asking.adapted, **changes}
        if adapted == self._asking.adapted:
            return
        self._asking = _Asking(self._options.model_copy(update=adapted), adapted)
        shown = " ".join(f"{name}={'none' if value is None else str(value).lower()}" for name, value in changes.items())
        self._note(f"{why}; going on with {shown}")

    @property
    def provenance(self) -> dict[str, Any]:
        """For the record: the models that replies named, and their unknown finish reasons, in order of appearance."""
        return self._oddities.seen

    def ready(self) -> None:
        """Begin a run: with the options as given, whatever servers refused in an earlier one.

        Raises InputError where a key is missing, or no client can be built.
        """
        self._asking = _Asking(self._options, {})
        self._oddities = Oddities(self._options.model, self._note)
        if not self._begun:
            self._connection = self._connected()

    def _connected(self) -> Connection:
        options = self._options
        return Connection(self._address.url, options.query, self.key(), options.timeout)

    def key(self) -> str | None:
        """The key to send, None for none. Raises InputError where OpenAI or the option `key_env` wants a missing one.

        The key in `OPENAI_API_KEY` goes to OpenAI only, unless `key_env` names that variable.
        """
        if self._sends_no_key:
            if os.environ.get(OPENAI_KEY) and not self._warned:
                self._warned = True
                self._note(f"{OPENAI_KEY} is sent to OpenAI only; key_env=NAME sends a key to this server")
            return None
        variable = self._options.key_env or OPENAI_KEY
        if (key := key_of(variable)) is None:
            raise InputError(f"{self._address.url} wants a key: put it into the environment, as {variable}")
        return key

    def cost(self, tokens_in: int | None, tokens_out: int | None) -> float | None:
        """US dollars for so many tokens; None when the price or a count is unknown."""
        return self._prices.of_tokens(tokens_in, tokens_out)

    def max_cost(self, request: Request) -> float | None:
        """US dollars that a request can cost at most, if each attempt were paid for; None when the price is unknown."""
        one = self._prices.at_most(request)
        return None if one is None else ATTEMPTS * one

    async def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Complete each chat. What fails one request only is in its completion.

        Raises InputError for a rejected key, an unknown model or a server that cannot be reached, and
        StoppedRunError for an exhausted quota, a server that has gone away, or one whose replies are of no use.
        """
        results = await asyncio.gather(*map(self._completed, requests), return_exceptions=True)
        completions = []
        for result in results:
            if isinstance(result, ChatirError) and any(isinstance(other, Completion) for other in results):
                completions.append(Completion(None, Failure("stopped", str(result))))  # the others are paid for
            elif isinstance(result, BaseException):
                raise result
            else:
                completions.append(result)
        return completions

    async def close(self) -> None:
        """Close the connections."""
        connection, self._connection, self._begun = self._connection, None, False
        if connection is not None:
            await connection.close()

    async def _completed(self, request: Request) -> Completion:
        # The request's own seed counts even where another is sent, or none: replicates must not share replies.
        options = self._options
        key: dict[str, Any] = {"backend": "chat", "model": options.model, "base_url": self._address.url}
        # By the options as given, so that a run finds the replies of another one that will have to adapt them, too.
        key["request"] = self._body(request, options, keyed=True)
        key |= {"seed": request.seed, "rules": _RULES} | ({"query": options.query} if options.query else {})
        known = await asyncio.to_thread(self._remembered.known, key) if self._remembered.on else None
        if known is not None and (origin := self._origin(known)) is not None:
            return replace(known, cost=0.0, notes=self._oddities.notes(origin["model"], None))
        completion = await self._asked(request)
        if completion.origin is not None:  # the reply is paid for, and must not be lost with the cache
            await asyncio.to_thread(self._remembered.keep, key, completion)
        return completion

    def _origin(self, known: Completion) -> Mapping[str, Any] | None:
        """Where a cached reply came from, whose adapted options are taken over; None for a damaged one."""
        origin = known.origin or {}
        adapted = origin.get("adapted")
        if (
            not isinstance(adapted, dict)
            or not ChatOptions.model_fields.keys() >= adapted.keys()
            or "model" not in origin
        ):
            return None
        try:
            self._options.model_validate(self._options.model_dump() | adapted)
        except ValidationError:
            return None
        self.adapt(adapted)
        return origin

    def _body(self, request: Request, options: ChatOptions, *, keyed: bool = False) -> dict[str, Any]:
        return chat_body(request, options, official=self._address.official, keyed=keyed)

    async def _asked(self, request: Request) -> Completion:
        if not self._begun:
            self._begin()
        if not self._stopping.proved:
            async with self._alone:
                if not self._stopping.proved:
                    return await self._sent(request)
        return await self._sent(request)

    def _begin(self) -> None:
        """Make what belongs to one event loop."""
        self._connection = self._connection or self._connected()
        about_key = f"the key in {self._options.key_env or OPENAI_KEY} was rejected"
        if self._sends_no_key:
            about_key = "the server wants a key: put it into the environment, and name its variable with key_env=NAME"
        where = f"{self._address.url}, model {self._options.model}"
        self._stopping = Stopping(where, about_key, self._options.timeout)
        self._pace = Pace(self._options.concurrency, self._options.requests_per_minute)
        self._alone = asyncio.Lock()
        self._stop = None
        self._waiting = set()
        self._begun = True
        hide_in_logs()

    async def _sent(self, request: Request) -> Completion:
        """One request with all its attempts."""
        if self._stop is not None:
            raise self._stop
        spent = _Spent()
        attempts = with_retries(
            lambda: self._attempt(request, spent),
            self._options.timeout,
            self._note_retry,
            lambda: self._stop is not None,
        )
        task = asyncio.create_task(attempts)
        self._waiting.add(task)
        failure: Failure | None = None
        try:
            reply, said, adapted = await task
            return self._completed_by(request, spent, reply, said, adapted)
        except asyncio.CancelledError:
            if self._stop is None:
                task.cancel()
                raise
        except RequestError as error:
            self._halt(self._stopping.given_up(error, request))
            failure = Failure(error.kind, error.message)
        finally:
            self._waiting.discard(task)
        took = self._took(request, spent)
        if self._stop is not None and not spent.usages and not took["cost"]:
            raise self._stop from None
        return Completion(None, failure or Failure("stopped", str(self._stop)), **took)  # some attempt was paid for

    def _halt(self, error: ChatirError | None) -> None:
        """Stop the run, if that is due: what waits for a turn or another attempt ends; what was sent may come back."""
        self._stop = self._stop or error
        if self._stop is not None:
            for task in self._waiting:
                task.cancel()

    def _completed_by(
        self, request: Request, spent: _Spent, reply: ChatReply, said: Spoken, adapted: Mapping[str, Any]
    ) -> Completion:
        """A reply as a completion. adapted: the options of its request that are not those given."""
        notes = self._oddities.notes(reply.model, said.unknown_ending)
        good = said.silent is None and said.unknown_ending is None
        origin = {"model": reply.model and hidden(reply.model), "adapted": dict(adapted)} if good else None
        took = self._took(request, spent)
        return Completion(hidden(said.text), cut=said.cut, notes=notes, origin=origin, **took)

    def _took(self, request: Request, spent: _Spent) -> dict[str, Any]:
        """Tokens and cost of all attempts, also of those whose reply was of no use, or lost."""
        tokens_in, tokens_out = (
            None if (known := total(getattr(usage, name) for usage in spent.usages)) is None else int(known)
            for name in ("prompt_tokens", "completion_tokens")
        )
        whole = [(usage.prompt_tokens, usage.completion_tokens) for usage in spent.usages if usage.complete]
        costs = [self.cost(*counts) for counts in whole] + [self._prices.at_most(request)] * spent.lost
        # What a server refuses at once costs nothing.
        known = not spent.untold and self._prices.at_most(request) is not None
        return {"tokens_in": tokens_in, "tokens_out": tokens_out, "cost": total([0.0, *costs]) if known else None}

    async def _attempt(self, request: Request, spent: _Spent) -> tuple[ChatReply, Spoken, Mapping[str, Any]]:
        """One turn in the queue; a request that is refused for its parameters is sent again at once, without them."""
        task = asyncio.current_task()
        assert task is not None
        async with self._pace as began:
            self._waiting.discard(task)
            while True:
                asking = self._asking
                try:
                    reply, said = await self._posted(request, asking.options, spent)
                except RequestError as error:
                    if self._adapts(error, request, asking.options):
                        continue
                    spent.lost += error.lost
                    if error.kind == "rate_limit":
                        self._slow_down(began, error.after)
                    shown = self._counted(error, time.monotonic() - began)
                    self._waiting.add(task)
                    raise shown from None
                self._pace.grow()
                return reply, said, asking.adapted

    async def _posted(self, request: Request, options: ChatOptions, spent: _Spent) -> tuple[ChatReply, Spoken]:
        """Send a request once. Raises RequestError where nothing of use comes back."""
        assert self._connection is not None
        reply = parsed_reply(await self._connection.post(self._body(request, options)))
        told = reply.usage is not None and reply.usage.complete
        if reply.usage is not None:
            spent.usages.append(reply.usage)
        try:
            said = spoken(reply)
        except RequestError as error:
            error.lost = not told
            raise
        spent.untold = not told
        if said.silent is None:
            self._stopping.succeeded()
        else:
            self._halt(self._stopping.useless(said.silent))
        return reply, said

    def _adapts(self, error: RequestError, request: Request, options: ChatOptions) -> bool:
        """Whether a refusal names options that can be changed, as they are from now on. options: those refused."""
        if error.kind not in ("bad_request", "server_error") or not error.said:
            return False
        changes = lesson(error.said, request, options, official=self._address.official)
        self.adapt(changes, hidden(error.message))
        return bool(changes)

    def _counted(self, error: RequestError, seconds: float) -> RequestError:
        """The error of an attempt without keys in its words, of the kind that decides whether there is another one."""
        kind, message = error.kind, hidden(error.message)
        if kind in USELESS:
            self._halt(self._stopping.useless(message))
        if kind == "unreachable" and self._stopping.proved:
            kind = "connection"  # a server that was there may come back
        return RequestError(kind, message, error.after, seconds, lost=error.lost, said=hidden(error.said))

    def _slow_down(self, began: float, after: float | None) -> None:
        """Too many requests: fewer at once, and none for the time that the server asks for, unless that is too long."""
        bearable = after if (after or 0) <= ceiling(self._options.timeout) else None
        if self._pace.shrink(began, bearable):
            self._note(f"too many requests; {self._pace.limit} at once until it recovers", seldom=True)

    def _note_retry(self, error: RequestError, attempts: int) -> None:
        """Report why a request is not answered yet: each time of the first ones, seldom of later ones."""
        self._note(f"{error.message}; trying again ({attempts} of {ATTEMPTS} attempts)", seldom=self._stopping.proved)

    def _note(self, line: str, *, seldom: bool = False) -> None:
        now = time.monotonic()
        if seldom and now < self._quiet_until:
            return
        self._quiet_until = now + QUIET_SECONDS
        self._progress(f"{self._address.url}: {line}")
