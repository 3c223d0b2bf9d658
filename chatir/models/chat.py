"""A chat endpoint: anything that speaks OpenAI's protocol, near or far, through the `openai` client."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from chatir.dialog import Failure
from chatir.errors import ChatirError, InputError, StoppedRunError
from chatir.models.chat_errors import parsed_reply, spoken, trouble_of
from chatir.models.completion import Completion, Request
from chatir.models.keys import hidden, hide_in_logs, key_of
from chatir.models.pace import Pace
from chatir.models.prices import listed_price
from chatir.models.retry import ATTEMPTS, TroubleError, ceiling, with_retries
from chatir.plugins import Context

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OPENAI_URL = "https://api.openai.com/v1"
OUTAGES = 3
"""Requests given up one after the other, with no success between them, that mean that the server is gone."""
_GONE = frozenset({"server_error", "timeout", "connection", "rate_limit"})
QUIET_SECONDS = 30.0
"""Between two lines about what comes again and again."""
_TOKENS_AROUND = 8
"""Tokens around a message, at most."""


def _further_fields(value: Any) -> Any:
    """The option `extra`, as typed or as an object; what chatir itself fills in has options of its own."""
    try:
        fields = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError('must be a JSON object, as {"top_k": 3}') from None
    if isinstance(fields, dict) and (own := {"model", "messages", "stream", "n"} & fields.keys()):
        raise ValueError(f"{', '.join(sorted(own))} cannot be set here")
    return fields


class ChatOptions(BaseModel):
    """An endpoint and how it is asked.

    base_url: of the API, OPENAI_BASE_URL or OpenAI's own unless given. temperature: None leaves it to the
    server. seed: `run` derives one for each request from the run's, `none` sends none, a number is sent with
    every request. extra: further fields of the request, a JSON object. requests_per_minute: None for no limit.
    timeout: seconds for one attempt. key_env: the environment variable that holds the key. price_in, price_out:
    US dollars per million tokens, for what the price list lacks.
    """

    model_config = ConfigDict(frozen=True)
    model: str
    base_url: str | None = None
    temperature: float | None = Field(default=0.0, ge=0, le=2)
    max_tokens: int = Field(default=64, ge=1)
    seed: Literal["run", "none"] | int = "run"
    extra: Annotated[dict[str, Any], BeforeValidator(_further_fields)] = {}
    concurrency: int = Field(default=16, ge=1)
    requests_per_minute: float | None = Field(default=None, gt=0)
    timeout: float = Field(default=60, gt=0)
    key_env: str = "OPENAI_API_KEY"
    price_in: float | None = Field(default=None, ge=0)
    price_out: float | None = Field(default=None, ge=0)


class ChatEndpoint:
    """Completes chats, many at once; retries what may pass, and raises a ChatirError for what stops a run.

    The first request goes alone, so that a wrong key costs one request. Texts from the server never contain
    the key. May be used in one event loop after another, if `close` is awaited between them.
    """

    chats = True

    def __init__(self, options: ChatOptions, context: Context) -> None:
        self._options = options
        self._progress = context.progress
        self._cache = context.cache
        self.concurrency = options.concurrency
        self._url = _checked_url(options.base_url)
        self._official = urlsplit(self._url).hostname == urlsplit(OPENAI_URL).hostname
        self._client: AsyncOpenAI | None = None
        self._proved = False
        self._stop: ChatirError | None = None
        self._given_up = 0
        self._quiet_until = 0.0

    @property
    def identity(self) -> dict[str, Any]:
        """What fixes a completion, as far as an endpoint lets it."""
        names = ("model", "temperature", "max_tokens", "seed", "extra")
        return {"base_url": self._url, **{name: getattr(self._options, name) for name in names}}

    def check_key(self) -> None:
        """Raise InputError if OpenAI's own endpoint is to be asked without a key."""
        if key_of(self._options.key_env) is None and self._official:
            raise InputError(f"{self._url} wants a key: put it into the environment, as {self._options.key_env}")

    def price(self) -> tuple[float, float] | None:
        """US dollars per million tokens, in and out; None if nobody knows."""
        options = self._options
        price_in, price_out = listed_price(options.model, self._url) or (None, None)
        price_in = price_in if options.price_in is None else options.price_in
        price_out = price_out if options.price_out is None else options.price_out
        return None if price_in is None or price_out is None else (price_in, price_out)

    def cost(self, tokens_in: int | None, tokens_out: int | None) -> float | None:
        """US dollars for so many tokens; None when the price or a count is unknown."""
        if tokens_in is None or tokens_out is None or (price := self.price()) is None:
            return None
        return (tokens_in * price[0] + tokens_out * price[1]) / 1e6

    def max_cost(self, request: Request) -> float | None:
        """What a request can cost at most, if each attempt were paid for and none but the last of use.

        A token holds a byte at least, and max_tokens bounds the reply.
        """
        size = sum(len(message.content.encode()) + _TOKENS_AROUND for message in request.messages)
        return self.cost(ATTEMPTS * size, ATTEMPTS * (request.max_tokens or self._options.max_tokens))

    async def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Complete each chat. What fails one request only is in its completion.

        Raises InputError for a rejected key, an unknown model or a server that cannot be reached, and
        StoppedRunError for an exhausted quota or a server that has gone away.
        """
        return list(await asyncio.gather(*map(self._completed, requests)))

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _completed(self, request: Request) -> Completion:
        body = self._body(request)
        # The request's own seed counts even where another is sent, or none: replicates must not share replies.
        key = {"backend": "chat", "model": body["model"], "base_url": self._url, "seed": request.seed, "request": body}
        if self._cache is not None and (known := self._cache.get(key)) is not None:
            return Completion(**known, cost=0.0)
        completion = await self._asked(body)
        if self._cache is not None and completion.failure is None:
            kept = ("text", "cut", "tokens_in", "tokens_out")
            self._cache.put(key, {name: getattr(completion, name) for name in kept})
        return completion

    def _body(self, request: Request) -> dict[str, Any]:
        options = self._options
        # OpenAI's newer models refuse the old name, and other servers do not know the new one.
        longest = "max_completion_tokens" if self._official else "max_tokens"
        body: dict[str, Any] = {
            "model": options.model,
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            longest: request.max_tokens or options.max_tokens,
        }
        if options.temperature is not None:
            body["temperature"] = options.temperature
        if options.seed != "none":
            body["seed"] = request.seed % 2**31 if options.seed == "run" else options.seed
        return body | options.extra

    async def _asked(self, body: dict[str, Any]) -> Completion:
        if self._client is None:
            self._open()
        if not self._proved:
            async with self._alone:
                if not self._proved:
                    return await self._sent(body)
        return await self._sent(body)

    def _open(self) -> None:
        import openai

        self.check_key()
        key = key_of(self._options.key_env) or "none"
        # Each attempt is bounded as a whole, below; the client's own time-outs do not see a reply that drips.
        self._client = openai.AsyncOpenAI(api_key=key, base_url=self._url, max_retries=0, timeout=self._options.timeout)
        self._pace = Pace(self._options.concurrency, self._options.requests_per_minute)
        self._alone = asyncio.Lock()
        self._stop = None
        hide_in_logs()

    async def _sent(self, body: dict[str, Any]) -> Completion:
        """One request with all its attempts."""
        spent = _Spent()
        try:
            text, cut = await with_retries(
                lambda: self._attempt(body, spent), self._options.timeout, self._tell_trouble
            )
        except TroubleError as trouble:
            self._stop = self._stop or self._fatal(trouble)
            if self._stop is not None:
                raise self._stop from None
            failed = Completion(None, Failure(trouble.kind, trouble.message))
            return replace(failed, tokens_in=spent.tokens_in, tokens_out=spent.tokens_out, cost=self._cost(spent))
        self._proved, self._given_up = True, 0
        return Completion(text, cut=cut, tokens_in=spent.tokens_in, tokens_out=spent.tokens_out, cost=self._cost(spent))

    def _cost(self, spent: _Spent) -> float | None:
        return self.cost(spent.tokens_in, spent.tokens_out)

    async def _attempt(self, body: dict[str, Any], spent: _Spent) -> tuple[str, bool]:
        async with self._pace as began:
            if self._stop is not None:
                raise self._stop
            try:
                content = await self._post(body)
                reply = parsed_reply(content)
                if reply.usage is not None:
                    spent.add(reply.usage.prompt_tokens, reply.usage.completion_tokens)
                text, cut = spoken(reply)
            except Exception as error:
                trouble = error if isinstance(error, TroubleError) else trouble_of(error)
                if trouble.kind == "rate_limit" and self._pace.shrink(began, trouble.after):
                    self._tell(f"too many requests; {self._pace.limit} at once until it recovers", seldom=True)
                raise TroubleError(trouble.kind, hidden(trouble.message), trouble.after) from None
            self._pace.grow()
            return hidden(text), cut

    async def _post(self, body: dict[str, Any]) -> str:
        """The body of the reply as it is: what of it counts is checked here, and the client's own models do not."""
        assert self._client is not None
        async with asyncio.timeout(self._options.timeout):
            return await self._client.post("/chat/completions", cast_to=str, body=body)

    def _tell_trouble(self, trouble: TroubleError) -> None:
        """Tell why the very first request is not answered yet; later troubles pass in silence."""
        if not self._proved:
            self._tell(f"{trouble.message}; trying again")

    def _tell(self, line: str, *, seldom: bool = False) -> None:
        now = time.monotonic()
        if seldom and now < self._quiet_until:
            return
        self._quiet_until = now + QUIET_SECONDS
        self._progress(f"{self._url}: {line}")

    def _fatal(self, trouble: TroubleError) -> ChatirError | None:
        """The error that stops the run, None for a trouble of this one request."""
        where = f"{self._url}, model {self._options.model}: {trouble.message}"
        match trouble.kind:
            case "rejected_key":
                return InputError(f"{where}; the key in {self._options.key_env} was rejected")
            case "unknown_model":
                return InputError(f"{where}; there is no such model, or no such endpoint")
            case "quota":
                return StoppedRunError(f"the quota is exhausted: {where}")
            case "rate_limit" if (trouble.after or 0) > ceiling(self._options.timeout):
                return StoppedRunError(f"the server wants to be asked again in {trouble.after:.0f} seconds: {where}")
            case "refused" | "context_overflow" | "empty_reply":  # the endpoint works, for other prompts at least
                self._proved = True
                return None
        if not self._proved:
            return InputError(where)
        if trouble.kind in _GONE:
            self._given_up += 1
            if self._given_up >= OUTAGES:
                return StoppedRunError(f"the server does not answer any more: {where}")
        return None


class _Spent:
    """Tokens of a request's attempts; None where no attempt told."""

    def __init__(self) -> None:
        self.tokens_in: int | None = None
        self.tokens_out: int | None = None

    def add(self, tokens_in: int | None, tokens_out: int | None) -> None:
        if tokens_in is not None:
            self.tokens_in = (self.tokens_in or 0) + tokens_in
        if tokens_out is not None:
            self.tokens_out = (self.tokens_out or 0) + tokens_out


def _checked_url(given: str | None) -> str:
    """The base URL, without a slash at its end. Raises InputError for one that is none, or holds a secret."""
    url = given or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise InputError(f"base_url: {error}") from None
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InputError("base_url: is recorded, so it must hold no password or query; keys go into the environment")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"base_url: {url!r} is no address like http://127.0.0.1:8000/v1")
    return url.rstrip("/")
