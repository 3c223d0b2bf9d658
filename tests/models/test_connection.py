"""The connection to an endpoint: keys and proxies go where they should, redirects nowhere, and replies have an end."""

from __future__ import annotations

import asyncio
import gzip
import json
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Fault, completion, fault, in_order
from players import targets

from chatir.errors import InputError
from chatir.models.chat.endpoint import ChatEndpoint
from chatir.models.chat.options import ChatOptions
from chatir.models.chat.transport.connection import Connection, headers_for, proxy_for
from chatir.models.chat.transport.retry import RequestError
from chatir.models.completion import Completion, Request
from chatir.plugins import Context
from chatir.prompts import Message
from chatir.simulate import write_dialogs

pytestmark = pytest.mark.usefixtures("quick_retries", "no_proxies")

KEY = "sk-canary-0123456789abcdef"
FINE = "is it red?"
ELSEWHERE = "http://192.0.2.7:9/v1"
"""An address for documentation, where nothing is."""


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def ask(url: str, told: list[str] | None = None, **options: Any) -> Completion:
    context = Context(progress=(told if told is not None else []).append)
    endpoint = ChatEndpoint(
        ChatOptions.model_validate({"base_url": url, "model": "m", "timeout": 5, **options}), context
    )

    async def play() -> Completion:
        try:
            return (await endpoint.complete([Request((Message("user", "a cat"),))]))[0]
        finally:
            await endpoint.close()

    return asyncio.run(asyncio.wait_for(play(), 60))


def test_the_key_of_openai_goes_to_openai_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    told: list[str] = []
    with ChatServer(in_order(FINE)) as server:
        assert ask(server.url, told).text == FINE
        assert KEY not in str(server.requests[0].headers)
        assert len(told) == 1
        assert "OPENAI_API_KEY is sent to OpenAI only" in told[0]
        ask(server.url, told, key_env="OPENAI_API_KEY")
        assert server.requests[1].key == KEY
        assert len(told) == 1


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://api.openai.com/v1", True),
        ("https://eu.api.openai.com/v1", True),
        ("http://api.openai.com/v1", False),
        ("https://api.openai.com.evil.example/v1", False),
        ("https://evil.example/api.openai.com/v1", False),
        ("https://notapi.openai.com/v1", False),
        ("https://openrouter.example/api/v1", False),
    ],
)
def test_which_hosts_are_openais(url: str, sent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert ChatEndpoint(ChatOptions(model="m", base_url=url), Context()).key() == (KEY if sent else None)


def test_a_server_that_wants_a_key_is_told_how_to_get_one() -> None:
    with ChatServer(in_order(fault.unauthorized())) as server, pytest.raises(InputError, match="with key_env=NAME"):
        ask(server.url)


def test_azure_has_a_header_of_its_own() -> None:
    azure, other = (headers_for(url, KEY) for url in ("https://me.openai.azure.com/openai/v1", ELSEWHERE))
    assert azure["api-key"] == KEY
    assert "authorization" not in azure
    assert other["authorization"] == f"Bearer {KEY}"
    assert KEY not in headers_for(ELSEWHERE, None).values()


def test_a_key_that_changed_between_two_runs_is_the_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with ChatServer(in_order(FINE)) as server:
        endpoint = ChatEndpoint(ChatOptions(model="m", base_url=server.url, key_env="SOME_KEY"), Context())

        async def play() -> None:
            await endpoint.complete([Request((Message("user", "a cat"),))])
            await endpoint.close()

        for key in ("sk-first-key", "sk-second-key"):
            monkeypatch.setenv("SOME_KEY", key)
            endpoint.ready()
            endpoint.ready()
            asyncio.run(play())
            assert server.requests[-1].key == key


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("proved", [False, True])
def test_a_redirect_is_refused_and_its_target_named(status: int, proved: bool) -> None:
    with ChatServer(in_order(FINE)) as target:
        place = f"{target.url}/chat/completions?key={KEY}"
        replies = (FINE, fault.redirect(place, status)) if proved else (fault.redirect(place, status),)
        with ChatServer(in_order(*replies)) as server:
            endpoint = ChatEndpoint(ChatOptions(base_url=server.url, model="m"), Context())

            async def play() -> None:
                for _ in replies:
                    await endpoint.complete([Request((Message("user", "a cat"),))])

            with pytest.raises(InputError, match=f"redirects to {target.url}, and") as refused:
                asyncio.run(play())
            assert KEY not in str(refused.value)
        assert not target.requests


STOPPED = """
import asyncio, sys
from chatir.models.chat.transport.connection import Connection

connection = Connection(sys.argv[1], {}, None, float(sys.argv[2]))
print(asyncio.run(connection.post({"model": "m", "messages": [{"role": "user", "content": "a cat"}]})).decode())
"""


def test_a_reply_that_came_while_the_process_was_stopped_is_read_however_long_that_was() -> None:
    with ChatServer(in_order(FINE), latency=0.2) as server:
        command = [sys.executable, "-c", STOPPED, server.url, "1"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            while not server.requests and process.poll() is None:
                time.sleep(0.005)
            process.send_signal(signal.SIGSTOP)
            time.sleep(2.5)
            process.send_signal(signal.SIGCONT)
            said, _ = process.communicate(timeout=60)
        assert FINE in said
        assert len(server.requests) == 1


def test_a_reply_that_never_comes_is_given_up_in_time() -> None:
    with ChatServer(in_order(fault.hang())) as server:
        connection = Connection(server.url, {}, None, 0.1)
        with pytest.raises(RequestError, match="no reply in time"):
            asyncio.run(asyncio.wait_for(connection.post({"model": "m", "messages": []}), 30))


CLIENT = """
import asyncio, resource, sys
from chatir.models.chat.transport.connection import Connection

async def post():
    connection = Connection(sys.argv[1], {}, None, 30)
    try:
        await connection.post({})
    finally:
        await connection.close()

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    asyncio.run(post())
except Exception as error:
    print(error, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024, sep="|")
"""


def test_a_small_reply_that_unpacks_to_many_takes_no_more_memory_than_a_reply_may_have() -> None:
    with ChatServer(in_order(fault.bomb(2**28))) as server:
        done = subprocess.run(
            [sys.executable, "-c", CLIENT, server.url], capture_output=True, text=True, check=True, timeout=60
        )
    told, grown = done.stdout.split("|")
    assert told == "the reply is longer than 8 MiB"
    assert int(grown) < 2**26, "the reply would take four times that"


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
def test_a_compressed_reply_is_unpacked(pack: Callable[[bytes], bytes]) -> None:
    name = "gzip" if pack is gzip.compress else "deflate"
    packed = Fault(
        name,
        lambda request: pack(json.dumps(completion(request, FINE)).encode()),
        headers=lambda request: {"content-encoding": name},
    )
    with ChatServer(in_order(packed)) as server:
        assert ask(server.url).text == FINE


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"content-encoding": "br"}, "encoded as br"),
        ({"content-encoding": "gzip, gzip"}, "encoded as gzip, gzip"),
        ({"content-encoding": "gzip"}, "cannot be decompressed"),
    ],
)
def test_a_reply_in_another_encoding_is_broken(headers: dict[str, str], told: str) -> None:
    with ChatServer(in_order(fault.status(200, headers=headers))) as server:
        connection = Connection(server.url, {}, None, 5)

        async def post() -> None:
            try:
                await connection.post({})
            finally:
                await connection.close()

        with pytest.raises(RequestError, match=told) as broken:
            asyncio.run(post())
    assert broken.value.kind == "broken_reply"


@pytest.mark.parametrize(
    ("environment", "url", "shown"),
    [
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, "https://a.example/v1", "HTTPS_PROXY=http://proxy.example:3128"),
        ({"https_proxy": "proxy.example:3128"}, "https://a.example/v1", "https_proxy=http://proxy.example:3128"),
        ({"ALL_PROXY": "socks5://u:secret@p.example:1"}, "http://a.example/v1", "ALL_PROXY=socks5://p.example:1"),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, "http://a.example/v1", None),
        ({"HTTP_PROXY": "http://proxy.example:1", "NO_PROXY": "a.example"}, "http://a.example/v1", None),
        *(
            ({"ALL_PROXY": "socks5://proxy.example:1"}, f"http://{host}:8000/v1", None)
            for host in ("127.0.0.1", "127.8.8.8", "[::1]", "localhost", "a.localhost", "0.0.0.0")
        ),
        ({}, "https://a.example/v1", None),
    ],
)
def test_which_proxy_a_request_goes_through(
    environment: dict[str, str], url: str, shown: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    proxy = proxy_for(url)
    assert (proxy and str(proxy)) == shown


def test_this_machine_is_reached_in_spite_of_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with ChatServer(in_order(FINE)) as server:
        assert ask(server.url).text == FINE


def test_a_broken_connection_names_its_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://me:secret@127.0.0.1:1")
    with pytest.raises(InputError, match=r"proxy HTTP_PROXY=http://127.0.0.1:1: connection refused") as told:
        ask(ELSEWHERE)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1080", r"^ALL_PROXY=socks5://127.0.0.1:1080: .*'httpx2\[socks\]'"),
        ("HTTP_PROXY", "http://127.0.0.1:99999", "^HTTP_PROXY=http://127.0.0.1:99999: is not a proxy"),
        ("HTTP_PROXY", "gopher://127.0.0.1:1", "^HTTP_PROXY=gopher://127.0.0.1:1: is not a proxy"),
        ("SSL_CERT_FILE", "/nowhere/certificates.pem", "^SSL_CERT_FILE=/nowhere/certificates.pem: cannot be used"),
    ],
)
def test_a_client_that_cannot_be_built_is_wrong_use_and_its_variable_named(
    name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=told):
        ChatEndpoint(ChatOptions(model="m", base_url=ELSEWHERE), Context()).ready()


def test_a_server_that_speaks_no_tls_is_told_at_once() -> None:
    with ChatServer(in_order(FINE)) as server, pytest.raises(InputError, match="SSL"):
        ask(server.url.replace("http://", "https://"))


def test_a_host_that_no_name_can_have_is_wrong_use() -> None:
    with pytest.raises(InputError, match="base_url: 'http://exa\u2603mple/v1'"):
        ChatEndpoint(ChatOptions(model="m", base_url="http://exa\u2603mple/v1"), Context()).ready()


def test_the_command_ends_in_one_line_before_any_dialog(tmp_path: Path) -> None:
    write_dialogs(tmp_path / "targets.json", targets(3))
    done = subprocess.run(
        [sys.executable, "-m", "chatir", "simulate", "--questioner", "chatgpt", "-q", f"base_url={ELSEWHERE}",
         "--answerer", "nearest-human", "--targets", "targets.json"],
        env={"SSL_CERT_FILE": "/nowhere.pem", "PATH": ""}, cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "SSL_CERT_FILE=/nowhere.pem: cannot be used" in line
    assert not (tmp_path / "outputs").exists()
