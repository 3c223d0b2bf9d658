"""A chat endpoint: anything that speaks OpenAI's protocol, near or far, through the `openai` client."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from chatir.dialog import Failure
from chatir.errors import ChatirError, InputError, StoppedRunError
from chatir.models.chat_body import chat_body, shows_image
from chatir.models.chat_errors import Usage, parsed_reply, spoken, trouble_of
from chatir.models.completion import Completion, Request, total
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
_GONE = frozenset({"server_error", "timeout", "connection", "rate_limit", "broken_reply"})
QUIET_SECONDS = 30.0
"""Between two lines about what comes again and again."""
_OWN_FIELDS = frozenset(
    {"model", "messages", "temperature", "max_tokens", "max_completion_tokens", "seed", "stream", "n", "best_of"}
)
"""Fields of a request that options fill in, and such as would make a reply another thing."""
_TOKENS_AROUND = 8
"""Tokens around a message, at most."""


def _further_fields(value: Any) -> Any:
    """The option `extra`, as typed or as an object; what chatir itself fills in has options of its own."""
    try:
        fields = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError('must be a JSON object, as {"top_k": 3}') from None
    if isinstance(fields, dict) and (own := _OWN_FIELDS & fields.keys()):
        raise ValueError(f"{', '.join(sorted(own))} cannot be set here")
    return fields


class ChatOptions(BaseModel):
    """An endpoint and how it is asked.

    - `model`: its name there
    - `base_url`: of the API, `OPENAI_BASE_URL` or OpenAI's own unless given
    - `temperature`: None leaves it to the server
    - `max_tokens`: new ones per reply
    - `seed`: `run` derives one for each request from the run's, `none` sends none, a number is sent with every request
    - `extra`: further fields of the request, a JSON object
    - `concurrency`: requests in flight, at most; `requests_per_minute`: None for no limit
    - `timeout`: seconds for one attempt
    - `key_env`: the environment variable that holds the key
    - `price_in`, `price_out`: US dollars per million tokens, for what the price list lacks
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    model: str = Field(min_length=1)
    base_url: str | None = None
    temperature: float | None = Field(default=0.0, ge=0, le=2)
    max_tokens: int = Field(default=64, ge=1)
    seed: Literal["run", "none"] | Annotated[int, Field(ge=0, lt=2**63)] = "run"
    extra: Annotated[dict[str, Any], BeforeValidator(_further_fields)] = {}
    concurrency: int = Field(default=16, ge=1)
    requests_per_minute: float | None = Field(default=None, gt=0)
    timeout: float = Field(default=60, gt=0)
    key_env: str = "OPENAI_API_KEY"
    price_in: float | None = Field(default=None, ge=0)
    price_out: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _both_prices(self) -> ChatOptions:
        if (self.price_in is None) != (self.price_out is None):
            raise ValueError("price_in and price_out go together")
        return self


class ChatEndpoint:
    """Completes chats, many at once; retries what may pass, and raises a ChatirError for what stops a run.

    The first request goes alone, so that a wrong key costs one request. Texts from the server never contain
    the key. May be used in one event loop after another, if `close` is awaited between them. Raises InputError for a
    base URL that is none, or holds a secret.
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
        self._waiting: set[asyncio.Task[Any]] = set()
        self._quiet_until = 0.0

    @property
    def identity(self) -> dict[str, Any]:
        """What fixes a completion, as far as an endpoint lets it."""
        names = ("model", "temperature", "max_tokens", "seed", "extra")
        return {"base_url": self._url, **{name: getattr(self._options, name) for name in names}}

    def check_key(self) -> None:
        """Raise InputError if a key is wanted, by OpenAI or by naming its variable, and there is none."""
        named = self._options.key_env != ChatOptions.model_fields["key_env"].default
        if key_of(self._options.key_env) is None and (self._official or named):
            raise InputError(f"{self._url} wants a key: put it into the environment, as {self._options.key_env}")

    def price(self) -> tuple[float, float] | None:
        """US dollars per million tokens, in and out; None if nobody knows."""
        options = self._options
        if options.price_in is not None and options.price_out is not None:
            return options.price_in, options.price_out
        return listed_price(options.model, self._url)

    def cost(self, tokens_in: int | None, tokens_out: int | None) -> float | None:
        """US dollars for so many tokens; None when the price or a count is unknown."""
        if tokens_in is None or tokens_out is None or (price := self.price()) is None:
            return None
        return (tokens_in * price[0] + tokens_out * price[1]) / 1e6

    def max_cost(self, request: Request, image_tokens: int = 0) -> float | None:
        """US dollars that a request can cost at most, if each attempt were paid for and none but the last of use.

        A token holds a byte at least, and `max_tokens` bounds the reply. image_tokens: of the image that goes with it.
        None when the price is unknown.
        """
        size = image_tokens + sum(len(message.content.encode()) + _TOKENS_AROUND for message in request.messages)
        return self.cost(ATTEMPTS * size, ATTEMPTS * (request.max_tokens or self._options.max_tokens))

    async def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Complete each chat. What fails one request only is in its completion.

        Raises InputError for a rejected key, an unknown model or a server that cannot be reached, and
        StoppedRunError for an exhausted quota or a server that has gone away.
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
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _completed(self, request: Request) -> Completion:
        body = chat_body(request, self._options, official=self._official)
        # The request's own seed counts even where another is sent, or none: replicates must not share replies.
        key = {"backend": "chat", "model": body["model"], "base_url": self._url, "seed": request.seed}
        key["request"] = chat_body(request, self._options, official=self._official, keyed=True)
        if self._cache is not None and (known := await asyncio.to_thread(self._cache.get, key)) is not None:
            return Completion(**known, cost=0.0)
        completion = await self._asked(body)
        if self._cache is not None and completion.failure is None:
            kept = {name: getattr(completion, name) for name in ("text", "cut", "tokens_in", "tokens_out")}
            try:
                await asyncio.to_thread(self._cache.put, key, kept)
            except InputError as error:  # the reply is paid for, and must not be lost with the cache
                self._cache = None
                self._progress(f"{error}; going on without it")
        return completion

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
        self._proved, self._given_up = False, 0
        self._waiting = set()
        hide_in_logs()

    async def _sent(self, body: dict[str, Any]) -> Completion:
        """One request with all its attempts."""
        if self._stop is not None:
            raise self._stop
        told: list[Usage] = []
        attempts = with_retries(lambda: self._attempt(body, told), self._options.timeout, self._tell_trouble)
        task = asyncio.create_task(attempts)
        self._waiting.add(task)
        try:
            text, cut = await task
        except asyncio.CancelledError:
            if self._stop is None:
                task.cancel()
                raise
            if told:  # some attempt was paid for
                return self._completion(told, failure=Failure("stopped", str(self._stop)))
            raise self._stop from None
        except TroubleError as trouble:
            self._halt(self._fatal(trouble, body))
            if self._stop is not None and not told:
                raise self._stop from None
            return self._completion(told, failure=Failure(trouble.kind, trouble.message))
        finally:
            self._waiting.discard(task)
        self._proved, self._given_up = True, 0
        return self._completion(told, text, cut=cut)

    def _halt(self, error: ChatirError | None) -> None:
        """Stop the run, if that is due: what waits for a turn or another attempt ends; what was sent may come back."""
        self._stop = self._stop or error
        if self._stop is not None:
            for task in self._waiting:
                task.cancel()

    def _completion(
        self, told: list[Usage], text: str | None = None, *, cut: bool = False, failure: Failure | None = None
    ) -> Completion:
        """With the tokens of all attempts, also of those whose reply was of no use."""
        tokens_in, tokens_out = (
            None if (known := total(getattr(usage, name) for usage in told)) is None else int(known)
            for name in ("prompt_tokens", "completion_tokens")
        )
        cost = self.cost(tokens_in, tokens_out)
        return Completion(text, failure, cut, tokens_in=tokens_in, tokens_out=tokens_out, cost=cost)

    async def _attempt(self, body: dict[str, Any], told: list[Usage]) -> tuple[str, bool]:
        task = asyncio.current_task()
        assert task is not None
        async with self._pace as began:
            self._waiting.discard(task)
            try:
                reply = parsed_reply(await self._post(body))
                if reply.usage is not None:
                    told.append(reply.usage)
                text, cut = spoken(reply)
            except Exception as error:
                trouble = error if isinstance(error, TroubleError) else trouble_of(error)
                seconds = time.monotonic() - began
                if trouble.kind == "rate_limit":
                    self._slow_down(began, trouble.after)
                self._waiting.add(task)
                raise TroubleError(trouble.kind, hidden(trouble.message), trouble.after, seconds) from None
            self._pace.grow()
            return hidden(text), cut

    def _slow_down(self, began: float, after: float | None) -> None:
        """Too many requests: fewer at once, and none for the time that the server asks for, unless that is too long."""
        bearable = after if (after or 0) <= ceiling(self._options.timeout) else None
        if self._pace.shrink(began, bearable):
            self._tell(f"too many requests; {self._pace.limit} at once until it recovers", seldom=True)

    async def _post(self, body: dict[str, Any]) -> str:
        """The body of the reply as it is: what of it counts is checked here, and the client's own models do not."""
        assert self._client is not None
        async with asyncio.timeout(self._options.timeout):
            return await self._client.post("/chat/completions", cast_to=str, body=body)

    def _tell_trouble(self, trouble: TroubleError, attempts: int) -> None:
        """Tell why a request is not answered yet: each time of the very first one, seldom of later ones."""
        self._tell(f"{trouble.message}; trying again ({attempts} of {ATTEMPTS} attempts)", seldom=self._proved)

    def _tell(self, line: str, *, seldom: bool = False) -> None:
        now = time.monotonic()
        if seldom and now < self._quiet_until:
            return
        self._quiet_until = now + QUIET_SECONDS
        self._progress(f"{self._url}: {line}")

    def _fatal(self, trouble: TroubleError, body: dict[str, Any]) -> ChatirError | None:
        """The error that stops the run, None for a trouble of this one request."""
        where = f"{self._url}, model {self._options.model}: {trouble.message}"
        match trouble.kind:
            case "rejected_key":
                return InputError(f"{where}; the key in {self._options.key_env} was rejected")
            case "unknown_model":
                return InputError(f"{where}; there is no such model, or no such endpoint (most end in /v1)")
            case "quota":
                return StoppedRunError(f"the quota is exhausted: {where}")
            case "rate_limit" if (trouble.after or 0) > ceiling(self._options.timeout):
                return StoppedRunError(f"the server wants to be asked again in {trouble.after:.0f} seconds: {where}")
            case "refused" | "context_overflow" | "empty_reply":  # the endpoint works, for other prompts at least
                self._proved, self._given_up = True, 0
                return None
        if not self._proved:
            doubt = trouble.kind == "bad_request" and shows_image(body)
            return InputError(f"{where}; perhaps it takes no images: name a model that does" if doubt else where)
        if trouble.kind in _GONE:
            self._given_up += 1
            if self._given_up >= OUTAGES:
                return StoppedRunError(f"the server does not answer any more: {where}")
        return None


def _checked_url(given: str | None) -> str:
    """The base URL, without a slash at its end. Raises InputError for one that is none, or holds a secret."""
    url = given if given is not None else os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise InputError(f"base_url: {hidden(url)!r}: {error}") from None
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InputError("base_url: is recorded, so it must hold no password or query; keys go into the environment")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"base_url: {url!r} is no address like http://127.0.0.1:8000/v1")
    return url.rstrip("/")
