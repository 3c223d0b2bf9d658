"""The faults of the chat server, as they are on the wire."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from chat_server import MOST_IN_A_ROW, RETRYABLE, ChatServer, Fault, Request, Script, fault, in_order, mixed

KEY = "sk-of-the-tests"
MESSAGES = [{"role": "system", "content": "ask"}, {"role": "user", "content": "a dog and a cat"}]


def post(server: ChatServer, timeout: float = 5, said: str = "a dog and a cat") -> httpx2.Response:
    body = {"model": "m", "messages": [MESSAGES[0], {"role": "user", "content": said}]}
    with httpx2.Client(trust_env=False, timeout=timeout, headers={"authorization": f"Bearer {KEY}"}) as client:
        return client.post(f"{server.url}/chat/completions", json=body)


def reply_to(script: Script) -> httpx2.Response:
    with ChatServer(script) as server:
        return post(server)


def always(reply: Any) -> Script:
    return lambda request: reply


def raw(reply: Fault) -> tuple[bytes, list[float], BaseException | None]:
    """What a plain socket reads until the end, when each part came, and the error that ended it."""
    with ChatServer(always(reply)) as server, socket.create_connection(("127.0.0.1", httpx2.URL(server.url).port)) as s:
        s.settimeout(5)
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}")
        read, times = b"", []
        try:
            while part := s.recv(65536):
                read, times = read + part, [*times, time.monotonic()]
        except OSError as error:
            return read, times, error
        return read, times, None


def test_a_text_is_answered_as_a_chat_completion() -> None:
    with ChatServer(always("is it a dog?")) as server:
        reply = post(server)
    body = reply.json()
    assert (reply.status_code, body["object"], body["model"]) == (200, "chat.completion", "m")
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "is it a dog?", "refusal": None}
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"] == {"prompt_tokens": 6, "completion_tokens": 4, "total_tokens": 10}
    (request,) = server.requests
    assert (request.number, request.path, request.fault, request.done) == (0, "/v1/chat/completions", None, True)
    assert (request.headers["authorization"], request.body) == (f"Bearer {KEY}", {"model": "m", "messages": MESSAGES})
    assert (request.running, server.most_running) == (1, 1)


def test_a_dict_is_the_body_and_the_default_asks_by_the_last_message_only() -> None:
    assert reply_to(always({"any": ["thing"]})).json() == {"any": ["thing"]}
    with ChatServer() as server:
        texts = [post(server, said=said).json()["choices"][0]["message"]["content"] for said in ("a", "b", "a")]
    assert texts[0] == texts[2] != texts[1]
    assert texts[0].startswith("is it thing number ")


def test_the_models_are_listed_and_other_paths_are_not_there() -> None:
    with ChatServer() as server, httpx2.Client(trust_env=False, base_url=server.url) as client:
        assert [model["object"] for model in client.get("/models").json()["data"]] == ["model"]
        assert client.get("/chat/completions").status_code == client.post("/embeddings", json={}).status_code == 404
        assert client.post("/chat/completions", content=b"{").json()["error"]["type"] == "invalid_request_error"
        assert [request.number for request in server.requests] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("reply", "status", "code", "words"),
    [
        (fault.rate_limited(), 429, "rate_limit_exceeded", "Rate limit reached for m"),
        (fault.quota(), 429, "insufficient_quota", "current quota"),
        (fault.status(500), 500, None, "had an error"),
        (fault.status(400, code="odd", message="no such thing"), 400, "odd", "no such thing"),
        (fault.unauthorized(), 401, "invalid_api_key", "Incorrect API key"),
        (fault.forbidden(), 403, "unsupported_country_region_territory", "not supported"),
        (fault.unknown_model(), 404, "model_not_found", "`m` does not exist"),
        (fault.context_overflow(), 400, "context_length_exceeded", "maximum context length is 4096"),
        (fault.context_overflow("vllm"), 400, 400, "maximum context length is 4096"),
        (fault.context_overflow("llama.cpp"), 400, 400, "exceeds the available context size"),
        (fault.content_policy(), 400, "content_policy_violation", "safety system"),
        (fault.content_policy("content_filter"), 400, "content_filter", "content management policy"),
    ],
)
def test_an_error_has_its_status_and_the_shape_of_openai(reply: Fault, status: int, code: Any, words: str) -> None:
    with ChatServer(always(reply)) as server:
        got = post(server)
    error = got.json()["error"]
    assert (got.status_code, error["code"], words in error["message"]) == (status, code, True)
    assert {"message", "type", "param", "code"} <= set(error)
    assert "retry-after" not in got.headers
    assert KEY not in got.text + str(got.headers)
    assert server.requests[0].fault == reply.name


def test_old_vllm_has_the_error_at_the_top() -> None:
    body = reply_to(always(fault.context_overflow("old vllm"))).json()
    assert (body["object"], body["code"], "4096" in body["message"]) == ("error", 400, True)


def test_a_rate_limit_tells_when_to_come_again() -> None:
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    assert reply_to(always(fault.rate_limited(after=2))).headers["retry-after"] == "2"
    assert parsedate_to_datetime(reply_to(always(fault.rate_limited(date=later))).headers["retry-after"]) == later
    before = datetime.now(UTC)
    told = parsedate_to_datetime(reply_to(always(fault.rate_limited(date=3))).headers["retry-after"])
    assert timedelta(seconds=3) <= told - before <= timedelta(seconds=5)
    assert reply_to(always(fault.status(429, headers={"retry-after-ms": "20"}))).headers["retry-after-ms"] == "20"


def test_the_key_is_echoed_only_where_it_is_asked_for() -> None:
    reply = reply_to(always(fault.unauthorized(echo_key=True)))
    assert (KEY in reply.json()["error"]["message"], reply.headers["x-received-authorization"]) == (
        True,
        f"Bearer {KEY}",
    )
    assert KEY in reply_to(always(fault.echo_key())).json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        (fault.content(""), ("assistant", "", None, "stop")),
        (fault.content(None), ("assistant", None, None, "stop")),
        (fault.content(" \n"), ("assistant", " \n", None, "stop")),
        (fault.refusal("no"), ("assistant", None, "no", "stop")),
        (fault.finish("content_filter"), ("assistant", "is it a", None, "content_filter")),
        (fault.finish("length", content="is"), ("assistant", "is", None, "length")),
        (fault.role("user"), ("user", "is it a dog?", None, "stop")),
    ],
)
def test_a_completion_may_be_odd(reply: Fault, choice: tuple[str | None, ...]) -> None:
    (got,) = reply_to(always(reply)).json()["choices"]
    message = got["message"]
    assert (message["role"], message["content"], message["refusal"], got["finish_reason"]) == choice


def test_a_completion_may_have_no_choices_or_a_huge_one() -> None:
    assert reply_to(always(fault.choices([]))).json()["choices"] == []
    assert "choices" not in reply_to(always(fault.no_choices())).json()
    assert len(reply_to(always(fault.huge())).json()["choices"][0]["message"]["content"]) == 1_000_000


@pytest.mark.parametrize("status", [200, 502])
def test_a_page_comes_instead_of_json(status: int) -> None:
    reply = reply_to(always(fault.html(status)))
    assert (reply.status_code, reply.headers["content-type"]) == (status, "text/html")
    assert reply.text.startswith("<!DOCTYPE html>")


def test_half_of_the_json_comes_with_the_length_of_that_half() -> None:
    reply = reply_to(always(fault.truncated_json()))
    assert int(reply.headers["content-length"]) == len(reply.content)
    assert reply.content.startswith(b'{"id": "chatcmpl-0"')
    with pytest.raises(json.JSONDecodeError):
        reply.json()


def test_a_reset_is_one_before_and_amid_the_body() -> None:
    read, _, error = raw(fault.reset())
    assert (read, type(error)) == (b"", ConnectionResetError)
    read, _, error = raw(fault.reset_mid_body())
    head, _, body = read.partition(b"\r\n\r\n")
    assert isinstance(error, ConnectionResetError)
    assert int(head.partition(b"content-length: ")[2].split()[0]) // 2 == len(body) > 100


def test_a_body_that_drips_has_its_headers_at_once_and_is_whole_in_the_end() -> None:
    read, times, error = raw(fault.drip(0.001))
    head, _, body = read.partition(b"\r\n\r\n")
    assert error is None
    assert len(times) > 100
    assert times[-1] - times[0] >= 0.001 * (len(body) - 1)
    assert json.loads(body)["object"] == "chat.completion"
    assert f"content-length: {len(body)}".encode() in head


def test_a_client_that_leaves_a_hanging_request_ends_it() -> None:
    with ChatServer(in_order(fault.hang(), "is it?")) as server:
        with pytest.raises(httpx2.ReadTimeout):
            post(server, timeout=0.1)
        time.sleep(0.1)
        assert post(server).status_code == 200
    assert [(r.fault, r.done, r.running) for r in server.requests] == [("hang", False, 1), (None, True, 1)]


@pytest.mark.parametrize("reply", [fault.hang(), fault.drip(60)])
def test_the_server_stops_at_once_while_requests_hang(reply: Fault) -> None:
    with ThreadPoolExecutor(5) as pool:
        with ChatServer(always(reply)) as server:
            waiting = [pool.submit(post, server) for _ in range(5)]
            while len(server.requests) < 5:
                time.sleep(0.01)
            start = time.monotonic()
        assert time.monotonic() - start < 0.5
        assert all(isinstance(each.exception(), httpx2.TransportError) for each in waiting)
    assert server.most_running == 5
    assert not any(request.done for request in server.requests)
    assert threading.active_count() < 10


class Counted:
    """A server's room, and how many requests were in it at once, at most."""

    def __init__(self, room: Any) -> None:
        self.room, self.inside, self.most = room, 0, 0

    async def __aenter__(self) -> None:
        await self.room.__aenter__()
        self.inside += 1
        self.most = max(self.most, self.inside)

    async def __aexit__(self, *error: object) -> None:
        self.inside -= 1
        await self.room.__aexit__(*error)


def test_requests_above_the_capacity_wait() -> None:
    with ChatServer(latency=0.1, capacity=2) as server, ThreadPoolExecutor(6) as pool:
        server._room = room = Counted(server._room)  # type: ignore[assignment]
        start = time.monotonic()
        assert all(reply.status_code == 200 for reply in pool.map(post, [server] * 6))
        assert time.monotonic() - start >= 0.3, "three turns of the latency at least"
    assert room.most == 2
    assert server.most_running == max(request.running for request in server.requests) > 2


def test_a_client_with_one_request_at_a_time_is_seen_as_such() -> None:
    with ChatServer() as server, httpx2.Client(trust_env=False) as client:
        for _ in range(200):
            client.post(f"{server.url}/chat/completions", json={})
            assert server.requests[-1].done
    assert server.most_running == 1


def test_a_mix_has_its_share_of_faults_and_is_the_same_for_the_same_seed() -> None:
    def names(seed: int) -> list[str | None]:
        script = mixed(0.3, seed)
        replies = [script(Request(n, 0, "POST", "/", {}, None, 1)) for n in range(2000)]
        return [reply.name if isinstance(reply, Fault) else None for reply in replies]

    assert names(1) == names(1) != names(2)
    assert set(names(1)) == {each.name for each in RETRYABLE} | {None}
    assert 0.27 < sum(name is not None for name in names(1)) / 2000 < 0.33


def test_a_mix_leaves_a_request_that_is_sent_again_and_again_some_hope() -> None:
    script = mixed(0.9, 1)
    replies = [script(Request(n, 0, "POST", "/", {}, {"model": "m"}, 1)) for n in range(200)]
    runs = "".join("f" if isinstance(reply, Fault) else " " for reply in replies).split()
    assert max(map(len, runs)) == MOST_IN_A_ROW


def test_what_a_script_raises_is_raised_when_the_server_ends() -> None:
    wrong = "a script gives a Fault, a str or a dict, not 3"
    with pytest.raises(TypeError, match=wrong), ChatServer(always(3)) as server, pytest.raises(httpx2.TransportError):
        post(server)


def test_nothing_is_printed() -> None:
    code = """
import httpx2
from chat_server import *
with ChatServer(in_order(fault.hang(), fault.reset(), fault.reset_mid_body(), "is it?")) as server:
    for timeout in (0.1, 5, 5, 5):
        try:
            httpx2.post(f"{server.url}/chat/completions", json={}, timeout=timeout, trust_env=False)
        except httpx2.TransportError:
            pass
assert [request.done for request in server.requests] == [False, False, False, True]
"""
    command = [sys.executable, "-X", "dev", "-c", code]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
