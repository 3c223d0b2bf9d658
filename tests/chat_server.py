"""A real OpenAI-compatible chat server that answers by a script, well or with the faults that such servers have."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import random
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from types import TracebackType
from typing import Any, Literal, Self

import uvicorn

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = dict[str, str]
Body = dict[str, Any] | str | bytes
MOST_IN_A_ROW = 6


@dataclass
class Request:
    """One request. running: how many were in progress when it came, itself included; done: it got its whole reply."""

    number: int
    time: float
    method: str
    path: str
    headers: Headers
    body: dict[str, Any] | None
    running: int
    query: str = ""
    fault: str | None = None
    done: bool = False

    @property
    def key(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")

    @property
    def model(self) -> str:
        return str((self.body or {}).get("model", "none"))

    def texts(self, role: str | None = None) -> list[str]:
        """What the messages say (those of a role); parts that are not text are left out."""
        messages = [m for m in (self.body or {}).get("messages", []) if role in (None, m.get("role"))]
        contents = [m.get("content") or "" for m in messages]
        return [c if isinstance(c, str) else " ".join(part.get("text", "") for part in c) for c in contents]

    def images(self) -> list[bytes]:
        """The images that the messages hold, each from a data URL of a JPEG."""
        contents = [m.get("content") for m in (self.body or {}).get("messages", [])]
        parts = [part for content in contents if isinstance(content, list) for part in content]
        urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        return [base64.b64decode(url.removeprefix("data:image/jpeg;base64,"), validate=True) for url in urls]


def completion(request: Request, content: str | None, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """A chat completion as OpenAI documents it; tokens are words."""
    asked, said = sum(len(text.split()) for text in request.texts()), len((content or "").split())
    message = {"role": "assistant", "content": content, "refusal": None} | message
    return {
        "id": f"chatcmpl-{request.number}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said},
    }


def question(request: Request) -> str:
    """The default script: a question that depends on the last message of the user and on nothing else."""
    last = "".join(request.texts("user")[-1:])
    return f"is it thing number {zlib.crc32(last.encode()) % 1000}?"


def _good(request: Request) -> Body:
    return completion(request, question(request))


@dataclass(frozen=True)
class Fault:
    """What goes wrong with a request. Body and headers are made when they are sent; pace: seconds for each byte."""

    name: str | None
    body: Callable[[Request], Body] = field(default=_good, repr=False)
    status: int = 200
    headers: Callable[[Request], Headers] = field(default=lambda request: {}, repr=False)
    manner: Literal["whole", "hang", "drip", "half", "reset", "reset mid body"] = "whole"
    pace: float = 0.0


Script = Callable[[Request], Fault | str | dict[str, Any]]


def _error(
    name: str | None, status: int, message: str, kind: str | None = "invalid_request_error", **more: Any
) -> Fault:
    """An error in OpenAI's shape; {model} and {key} in the message become those of the request."""

    def body(request: Request) -> Body:
        told = message.replace("{model}", request.model).replace("{key}", request.key)
        return {"error": {"message": told, "type": kind, "param": None, "code": None} | more}

    return Fault(name, body, status)


def _odd(name: str, content: str | None, finish: str = "stop", **message: Any) -> Fault:
    """A completion that is well-formed, and yet not what was asked for."""
    return Fault(name, lambda request: completion(request, content, finish, **message))


class fault:  # noqa: N801 - scripts read `fault.hang()`
    """The faults by name."""

    @staticmethod
    def status(
        status: int, message: str = "The server had an error.", headers: Headers | None = None, **error: Any
    ) -> Fault:
        """Any error. error: `code`, `kind` (the type), `param`."""
        error = {"kind": "server_error" if status >= 500 else "invalid_request_error"} | error
        return replace(_error(f"status {status}", status, message, **error), headers=lambda request: headers or {})

    @staticmethod
    def rate_limited(after: float | str | None = None, date: datetime | float | None = None) -> Fault:
        """429. Retry-After is as given in after, or a date: that one, or in so many seconds (rounded up) from then."""

        def headers(request: Request) -> Headers:
            when = datetime.fromtimestamp(math.ceil(time.time() + date), UTC) if isinstance(date, float | int) else date
            told = after if when is None else format_datetime(when.astimezone(UTC), usegmt=True)
            return {} if told is None else {"retry-after": str(told)}

        message = "Rate limit reached for {model} on requests per min (RPM): Limit 3, Used 3, Requested 1."
        return replace(_error("rate_limited", 429, message, "requests", code="rate_limit_exceeded"), headers=headers)

    @staticmethod
    def quota() -> Fault:
        message = "You exceeded your current quota, please check your plan and billing details."
        return _error("quota", 429, message, "insufficient_quota", code="insufficient_quota")

    @staticmethod
    def unauthorized(echo_key: bool = False) -> Fault:
        """401. echo_key: the message holds the key as sent, and so does the header x-received-authorization."""

        def headers(request: Request) -> Headers:
            return {"x-received-authorization": request.headers.get("authorization", "")} if echo_key else {}

        message = f"Incorrect API key provided: {'{key}' if echo_key else '***'}. You can find yours in your account."
        return replace(_error("unauthorized", 401, message, code="invalid_api_key"), headers=headers)

    @staticmethod
    def forbidden() -> Fault:
        message, code = "Country, region, or territory not supported", "unsupported_country_region_territory"
        return _error("forbidden", 403, message, "request_forbidden", code=code)

    @staticmethod
    def unknown_model() -> Fault:
        message = "The model `{model}` does not exist or you do not have access to it."
        return _error("unknown_model", 404, message, code="model_not_found")

    @staticmethod
    def context_overflow(wording: Literal["openai", "vllm", "old vllm", "llama.cpp"] = "openai") -> Fault:
        """400, as each server tells it; old vLLM has no key `error` around it."""
        name, limit = "context_overflow", "This model's maximum context length is 4096 tokens. However, "
        if wording == "openai":
            message = limit + "your messages resulted in 5253 tokens. Please reduce the length of the messages."
            return _error(name, 400, message, param="messages", code="context_length_exceeded")
        if wording == "llama.cpp":
            message = "request (5253 tokens) exceeds the available context size (4096 tokens), try increasing it"
            return _error(name, 400, message, "exceed_context_size_error", code=400, n_prompt_tokens=5253, n_ctx=4096)
        message = limit + "you requested 5253 tokens in the messages, Please reduce the length of the messages."
        told = {"message": message, "type": "BadRequestError", "param": None, "code": 400}
        return Fault(name, lambda _: {"error": told} if wording == "vllm" else {"object": "error"} | told, 400)

    @staticmethod
    def content_policy(code: str = "content_policy_violation") -> Fault:
        """400. code "content_filter": as Azure tells it."""
        if code == "content_filter":
            message = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
            return _error("content_policy", 400, message, None, param="prompt", code=code)
        return _error("content_policy", 400, "Your request was rejected as a result of our safety system.", code=code)

    @staticmethod
    def refused_content() -> Fault:
        """403 about one request's content, as xAI tells it."""
        told = {"code": "permission-denied", "error": "Content violates usage guidelines. Failed check: SAFETY"}
        return Fault("refused_content", lambda request: told, 403)

    @staticmethod
    def block_page(title: str = "Access denied | example.com used Cloudflare") -> Fault:
        """403 with a page, as a firewall in front of a server gives it."""
        page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body><p>Ray ID: 1</p></body></html>"
        return Fault("block_page", lambda request: page, 403, lambda request: {"content-type": "text/html"})

    @staticmethod
    def redirect(location: str, status: int = 301) -> Fault:
        return Fault("redirect", lambda request: "", status, lambda request: {"location": location})

    @staticmethod
    def unsupported(field: str, message: str | None = None) -> Fault:
        """400: the model does not take this field of the request."""
        told = message or f"Unsupported parameter: '{field}' is not supported with this model."
        return _error("unsupported", 400, told, param=field, code="unsupported_parameter")

    @staticmethod
    def unexpected_endpoint() -> Fault:
        """200, as LM Studio answers a path that it does not have."""
        told = {"error": "Unexpected endpoint or method. (POST /chat/completions)"}
        return Fault("unexpected_endpoint", lambda request: told)

    @staticmethod
    def error_in_choice() -> Fault:
        """200 with an error in the choice, as OpenRouter tells of a provider that failed."""
        choice = {"error": {"code": 502, "message": "Provider disconnected"}, "message": {"content": "is it"}}
        return Fault("error_in_choice", lambda request: completion(request, "") | {"choices": [choice]})

    @staticmethod
    def reasoning_only(field: str = "reasoning") -> Fault:
        return _odd("reasoning_only", "", **{field: "What was asked? Nothing."})

    @staticmethod
    def other_model(model: str) -> Fault:
        """A good reply that names another model than the one asked for."""
        return Fault("other_model", lambda request: completion(request, question(request)) | {"model": model})

    @staticmethod
    def tool_calls() -> Fault:
        call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        return _odd("tool_calls", None, "tool_calls", tool_calls=[call])

    @staticmethod
    def invalid_utf8() -> Fault:
        return Fault("invalid_utf8", lambda request: json.dumps(completion(request, "is it ?")).encode() + b"\xff")

    @staticmethod
    def bomb(size: int = 2**30) -> Fault:
        """A good reply of that many bytes once decompressed, and about a thousandth of them on the wire."""

        def body(request: Request) -> bytes:
            packer = zlib.compressobj(9, wbits=31)
            head = json.dumps(completion(request, "is it ?")).encode()
            packed = packer.compress(head) + b"".join(packer.compress(b" " * 2**20) for _ in range(size // 2**20))
            return packed + packer.flush()

        return Fault("bomb", body, headers=lambda request: {"content-encoding": "gzip"})

    @staticmethod
    def hang() -> Fault:
        """Not a byte, until the client leaves or the server stops."""
        return Fault("hang", manner="hang")

    @staticmethod
    def drip(seconds_per_byte: float) -> Fault:
        """A good answer: the headers at once, the body byte by byte."""
        return Fault("drip", manner="drip", pace=seconds_per_byte)

    @staticmethod
    def reset() -> Fault:
        """The connection is reset before a byte is sent."""
        return Fault("reset", manner="reset")

    @staticmethod
    def reset_mid_body() -> Fault:
        """The connection is reset after half of the promised body."""
        return Fault("reset_mid_body", manner="reset mid body")

    @staticmethod
    def truncated_json() -> Fault:
        """Half of a good body, with the content-length of that half."""
        return Fault("truncated_json", manner="half")

    @staticmethod
    def html(status: int = 200) -> Fault:
        title = {200: "Welcome to nginx!", 502: "502 Bad Gateway"}.get(status, f"{status} Error")
        page = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
        return Fault("html", lambda request: page, status, lambda request: {"content-type": "text/html"})

    @staticmethod
    def choices(choices: Sequence[Any] | None) -> Fault:
        return Fault("choices", lambda request: completion(request, "") | {"choices": choices})

    @staticmethod
    def no_choices() -> Fault:
        """A completion without the key."""
        return Fault("no_choices", lambda request: {k: v for k, v in completion(request, "").items() if k != "choices"})

    @staticmethod
    def content(content: str | None) -> Fault:
        return _odd("content", content)

    @staticmethod
    def refusal(refusal: str = "I'm sorry, I can't help with that.") -> Fault:
        return _odd("refusal", None, refusal=refusal)

    @staticmethod
    def finish(reason: str, content: str | None = "is it a") -> Fault:
        return _odd("finish", content, reason)

    @staticmethod
    def role(role: str) -> Fault:
        return _odd("role", "is it a dog?", role=role)

    @staticmethod
    def huge(size: int = 1_000_000) -> Fault:
        return _odd("huge", ("is it " + "very " * (size // 5))[:size])

    @staticmethod
    def echo_key() -> Fault:
        return Fault("echo_key", lambda request: completion(request, f"is your key {request.key}?"))


SILENT: tuple[Fault, ...] = (
    fault.content(""),
    fault.content(None),
    fault.content(" \n"),
    fault.choices([]),
    fault.choices(None),
    fault.no_choices(),
    fault.tool_calls(),
    fault.reasoning_only(),
    fault.reasoning_only("reasoning_content"),
    fault.role("user"),
    fault.huge(),
    fault.html(200),
    fault.invalid_utf8(),
)
"""Replies of no use, with status 200."""

RETRYABLE: tuple[Fault, ...] = (
    fault.rate_limited(),
    fault.rate_limited(after=0),
    fault.status(408, "Request timed out."),
    fault.status(500),
    fault.status(503, "The engine is currently overloaded, please try again later."),
    fault.status(504),
    fault.html(502),
    fault.reset(),
    fault.reset_mid_body(),
    fault.truncated_json(),
    fault.finish("error"),
    fault.finish("network_error", "is it"),
    fault.error_in_choice(),
)


def in_order(*replies: Fault | str | dict[str, Any]) -> Script:
    """Gives the replies in the order of arrival; the last one stays."""
    return lambda request: replies[min(request.number, len(replies) - 1)]


def mixed(
    share: float,
    seed: int,
    faults: Sequence[Fault] = RETRYABLE,
    answer: Script = question,
    most_in_a_row: int = MOST_IN_A_ROW,
) -> Script:
    """Gives a fault to a share of the requests. Seed and number of arrival decide: the same again, run for run.

    The same body has no more than `most_in_a_row`: chance would now and then outlast all attempts of a client.
    """
    in_a_row: Counter[str] = Counter()

    def script(request: Request) -> Fault | str | dict[str, Any]:
        dice, body = random.Random(f"{seed} {request.number}"), json.dumps(request.body)
        if dice.random() >= share or (request.body is not None and in_a_row[body] == most_in_a_row):
            in_a_row[body] = 0
            return answer(request)
        in_a_row[body] += 1
        return dice.choice(faults)

    return script


class ChatServer:
    """Serves on a free port of 127.0.0.1, in a thread, as long as the context lasts.

    The script runs in that thread, for one request at a time; what it raises is raised when the context ends.
    latency: seconds before each reply; capacity: how many chat requests are served at once, while others wait.
    """

    def __init__(self, script: Script = question, *, latency: float = 0.0, capacity: int | None = None) -> None:
        self.script, self.latency = script, latency
        self.url = ""
        self.requests: list[Request] = []
        self.most_running = 0
        self._in_progress: set[int] = set()
        self._room = asyncio.Semaphore(capacity) if capacity else nullcontext()
        self._broken: BaseException | None = None

    def __enter__(self) -> Self:
        # The protocol is named so that asyncio sets TCP_NODELAY: without, each reply to a kept connection takes 40 ms.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(1024)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        self._loop, self._over = asyncio.new_event_loop(), asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self._socket.close()
        if self._broken and not error:
            raise self._broken

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:  # cancels what is left when it ends
            runner.run(self._serve())

    async def _serve(self) -> None:
        plain = {"http": "h11", "ws": "none", "lifespan": "off", "interface": "asgi3", "proxy_headers": False}
        config = uvicorn.Config(self, log_config=None, log_level="critical", access_log=False, backlog=1024, **plain)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[self._socket]))
        await self._over.wait()
        serving.cancel()
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # the connections learn that they are lost

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        request = await self._arrival(scope, receive)
        try:
            await _while_connected(self._reply(request, send), receive)
        except Exception as error:  # of the script
            self._broken = self._broken or error
            send.__self__.transport.abort()  # type: ignore[attr-defined]
        finally:
            self._in_progress.discard(request.number)

    async def _arrival(self, scope: dict[str, Any], receive: Receive) -> Request:
        arrived, raw, more = time.monotonic(), b"", True
        while more:
            part = await receive()
            raw, more = raw + part.get("body", b""), part.get("more_body", False)
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        number = len(self.requests)
        self._in_progress.add(number)
        running = len(self._in_progress)
        self.most_running = max(self.most_running, running)
        body = body if isinstance(body, dict) else None
        query = scope["query_string"].decode("latin-1")
        self.requests.append(Request(number, arrived, scope["method"], scope["path"], headers, body, running, query))
        return self.requests[-1]

    async def _reply(self, request: Request, send: Send) -> None:
        match request.method, request.path:
            case "GET", "/v1/models":
                model = {"id": "scripted", "object": "model", "created": 0, "owned_by": "tests"}
                await self._send(request, Fault(None, lambda _: {"object": "list", "data": [model]}), send)
            case "POST", "/v1/chat/completions" if request.body is None:
                await self._send(request, _error(None, 400, "We could not parse the JSON body of your request."), send)
            case "POST", "/v1/chat/completions":
                async with self._room:
                    await asyncio.sleep(self.latency)
                    await self._send(request, self._scripted(request), send)
            case _:
                message = f"Invalid URL ({request.method} {request.path})"
                await self._send(request, _error(None, 404, message), send)

    def _scripted(self, request: Request) -> Fault:
        match self.script(request):
            case Fault() as reply:
                request.fault = reply.name
                return reply
            case str(content):
                return Fault(None, lambda request: completion(request, content))
            case dict(body):
                return Fault(None, lambda request: body)
            case other:
                raise TypeError(f"a script gives a Fault, a str or a dict, not {other!r}")

    async def _send(self, request: Request, reply: Fault, send: Send) -> None:
        transport: asyncio.Transport = send.__self__.transport  # type: ignore[attr-defined]
        if reply.manner == "hang":
            await asyncio.Event().wait()
        if reply.manner == "reset":
            await _reset(transport)
        told = reply.body(request)
        body = told if isinstance(told, bytes) else (told if isinstance(told, str) else json.dumps(told)).encode()
        half = len(body) // 2
        body = body[:half] if reply.manner == "half" else body
        headers = {"content-type": "application/json", "content-length": str(len(body)), **reply.headers(request)}
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": pairs})
        if reply.manner == "reset mid body":
            await send({"type": "http.response.body", "body": body[:half], "more_body": True})
            await asyncio.sleep(0.01)  # the client reads the half
            await _reset(transport)
        while reply.manner == "drip" and len(body) > 1:
            await send({"type": "http.response.body", "body": body[:1], "more_body": True})
            await asyncio.sleep(reply.pace)
            body = body[1:]
        request.done = True  # before the client can know, so that whoever has its reply finds this true
        self._in_progress.discard(request.number)
        await send({"type": "http.response.body", "body": body})


async def _while_connected(work: Coroutine[Any, Any, None], receive: Receive) -> None:
    """Does the work; drops it when the client leaves."""
    working, leaving = asyncio.create_task(work), asyncio.ensure_future(receive())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        leaving.cancel()
    if working.done() and not working.cancelled():
        working.result()


async def _reset(transport: asyncio.Transport) -> None:
    """Ends the connection by RST, which is what a socket that must not linger sends when it is closed."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await asyncio.Event().wait()  # until the handler is told that the client is gone
