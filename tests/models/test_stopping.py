"""When an endpoint stops a run: replies of no use, denied access, and what lost attempts may have cost."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chat_server import SILENT, ChatServer, Fault, completion, fault, in_order
from players import Answering, query, targets

from chatir import Round
from chatir.cli import run
from chatir.dialog import Failure
from chatir.errors import InputError, StoppedRunError
from chatir.models.chat.endpoint import ChatEndpoint
from chatir.models.chat.options import ChatOptions
from chatir.models.chat.transport.connection import Connection
from chatir.models.chat.transport.retry import ATTEMPTS, SAME, RequestError
from chatir.models.chat.transport.stopping import MOST_USELESS
from chatir.models.completion import Completion, Request
from chatir.plugins import Context, build
from chatir.prompts import Message
from chatir.simulate import read_dialogs, simulate, write_dialogs

pytestmark = pytest.mark.usefixtures("quick_retries")

FINE = "is it red?"
EMPTY = [fault.content(""), fault.content(None), fault.tool_calls(), fault.reasoning_only(), fault.choices([])]


def request(text: str) -> Request:
    return Request((Message("user", text),))


def one_by_one(server: ChatServer, count: int, **options: Any) -> list[Completion]:
    endpoint = ChatEndpoint(ChatOptions.model_validate({"base_url": server.url, "model": "m", **options}), Context())

    async def play() -> list[Completion]:
        try:
            return [(await endpoint.complete([request(f"number {n}")]))[0] for n in range(count)]
        finally:
            await endpoint.close()

    return asyncio.run(asyncio.wait_for(play(), 60))


@pytest.mark.parametrize("reply", EMPTY, ids=lambda reply: reply.name)
def test_a_server_that_always_replies_empty_stops_the_run_after_eight_requests(
    reply: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    people = (Round("what is it?", "a cat"),)
    write_dialogs(tmp_path / "targets.json", [replace(target, rounds=people) for target in targets(30)])
    with ChatServer(in_order(reply)) as server:
        command = [
            "--questioner",
            "chatgpt",
            "-q",
            f"base_url={server.url}",
            "-q",
            "model=m",
            "--answerer",
            "nearest-human",
        ]
        assert run(["simulate", *command, "--targets", "targets.json", "--out", "x.json"]) == 3
        assert len(server.requests) == MOST_USELESS
    told = capsys.readouterr().err.splitlines()[-1]
    assert "8 replies in a row were of no use" in told
    assert "the same command goes on" in told
    if reply.name == "reasoning_only":
        assert "the text is in `reasoning`: turn thinking off, with extra=" in told
    assert query(tmp_path / "x.run", "SELECT count(*) FROM replies") != [(0,)]


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_replies_that_hold_thoughts_only_stop_the_run_too(finish: str, tmp_path: Path) -> None:
    with ChatServer(in_order(fault.finish(finish, "<think>What was asked? Nothing"))) as server:
        questioner = build("questioners", "chatgpt", {"base_url": server.url, "model": "m"})
        with pytest.raises(StoppedRunError, match="thoughts only: turn thinking off"):
            simulate(targets(30), questioner, Answering(), out=tmp_path / "x.json")
        assert len(server.requests) == MOST_USELESS
    kinds = query(tmp_path / "x.run", "SELECT DISTINCT kind, raw FROM replies")
    assert kinds == [("no_question" if finish == "stop" else "cut_off", "<think>What was asked? Nothing")]


@pytest.mark.parametrize("reply", SILENT, ids=lambda reply: reply.name)
def test_a_reply_that_comes_again_as_it_was_is_not_asked_for_ten_times(reply: Fault) -> None:
    with ChatServer(lambda asked: reply if asked.texts()[-1] == "number 1" else FINE) as server:
        replies = one_by_one(server, 3)
        assert len(server.requests) == 2 + SAME
    assert [one.text for one in replies] == [FINE, None, FINE]


def test_a_first_reply_of_a_wrong_shape_ends_the_run_soon() -> None:
    with ChatServer(in_order(fault.html(200))) as server:
        with pytest.raises(InputError, match=r"the reply is no chat completion.*\(3 attempts\)"):
            one_by_one(server, 1)
        assert len(server.requests) == SAME


def test_until_one_request_succeeds_they_go_one_at_a_time() -> None:
    with ChatServer(lambda asked: fault.content_policy() if asked.number < 5 else FINE, latency=0.02) as server:
        endpoint = ChatEndpoint(ChatOptions(base_url=server.url, model="m"), Context())
        asyncio.run(endpoint.complete([request(str(n)) for n in range(12)]))
        assert [one.running for one in server.requests[:6]] == [1] * 6
        assert server.most_running > 2


def test_access_that_is_denied_after_a_success_concerns_that_request_only() -> None:
    with ChatServer(lambda asked: fault.block_page() if asked.texts()[-1] == "number 1" else FINE) as server:
        replies = one_by_one(server, 4)
        assert len(server.requests) == 4
    assert [one.failure and one.failure.kind for one in replies] == [None, "access_denied", None, None]
    assert "Access denied | example.com" in str(replies[1].failure)


def test_access_that_stays_denied_stops_the_run() -> None:
    with ChatServer(in_order(FINE, fault.block_page())) as server:
        with pytest.raises(StoppedRunError, match="Access denied"):
            one_by_one(server, 30)
        assert len(server.requests) == 1 + MOST_USELESS


HALF = {"prompt_tokens": None, "completion_tokens": 0}
PRICES = {"price_in": 1e6, "price_out": 1e6}
"""A dollar a token."""
LOST = [
    fault.reset(),
    fault.reset_mid_body(),
    fault.truncated_json(),
    fault.status(500),
    fault.html(502),
    fault.hang(),
    replace(fault.content(""), name="empty, no usage", body=lambda asked: completion(asked, "") | {"usage": None}),
    replace(fault.content(""), name="half a usage", body=lambda asked: completion(asked, "") | {"usage": HALF}),
]


@pytest.mark.parametrize("lost", LOST, ids=lambda lost: lost.name)
def test_a_lost_attempt_counts_with_its_upper_bound(lost: Fault) -> None:
    with ChatServer(in_order(lost, lost, FINE)) as server:
        (plain,) = one_by_one(server, 1, **PRICES, timeout=1 if lost.name == "hang" else 10)
    most = len("number 0") + 8 + 64
    told = 2 + 3  # words, which the server counts as tokens
    assert plain.text == FINE
    assert plain.cost == pytest.approx(2 * most + told)


@pytest.mark.parametrize("refused", [fault.rate_limited(), fault.status(503)], ids=lambda refused: refused.name)
def test_an_attempt_that_the_server_did_not_take_costs_nothing(refused: Fault) -> None:
    with ChatServer(in_order(refused, FINE)) as server:
        (reply,) = one_by_one(server, 1, **PRICES)
    assert reply.cost == 5


def test_a_request_that_is_refused_at_once_costs_nothing_and_a_withheld_reply_what_it_tells() -> None:
    refusals = {"number 1": fault.content_policy(), "number 2": fault.finish("SAFETY", "a man")}
    with ChatServer(lambda asked: refusals.get(asked.texts()[-1], FINE)) as server:
        replies = one_by_one(server, 3, **PRICES)
    assert [(one.failure and one.failure.kind, one.cost) for one in replies] == [
        (None, 5),
        ("refused", 0),
        ("refused", 4),
    ]


def test_a_connection_that_never_comes_about_costs_nothing() -> None:
    """A server that lets nobody in: its queue is full, and the client waits in vain."""
    with closing(socket.socket()) as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        connection = Connection(f"http://127.0.0.1:{port}/v1", {}, None, 0.5)
        with pytest.raises(RequestError, match="no reply in time") as late:
            asyncio.run(connection.post({}))
        for one in waiting:
            one.close()
    assert (late.value.kind, late.value.lost) == ("timeout", False)


def test_a_server_that_goes_away_after_a_success_is_waited_for() -> None:
    endpoint = None
    with ChatServer(in_order(FINE)) as server:
        endpoint = ChatEndpoint(ChatOptions(base_url=server.url, model="m", **PRICES), Context())

        async def play() -> list[Completion]:
            first = await endpoint.complete([request("a")])
            await asyncio.to_thread(server.__exit__, None, None, None)
            second = await endpoint.complete([request("b")])
            await endpoint.close()
            return first + second

        fine, gone = asyncio.run(play())
    assert (fine.text, gone.text) == (FINE, None)
    assert str(gone.failure) == str(
        Failure("connection", f"the connection failed: connection refused ({ATTEMPTS} attempts)")
    )
    assert gone.cost == 0


def test_a_run_with_dialogs_of_no_use_is_played_to_its_end_and_written(tmp_path: Path) -> None:
    """Six of nine targets always get an empty reply: the others are played, and the file holds them."""
    good = ("of 2 things", "of 5 things", "of 8 things")
    with ChatServer(lambda asked: FINE if asked.texts()[-1].endswith(good) else fault.content("")) as server:
        for _ in range(3):
            questioner = build("questioners", "chatgpt", {"base_url": server.url, "model": "m", "prompt": "zero-shot"})
            with suppress(StoppedRunError):
                simulate(targets(9), questioner, Answering(), out=tmp_path / "x.json", rounds=1)
    assert [dialog.image[-5] for dialog in read_dialogs(tmp_path / "x.json")] == ["2", "5", "8"]
    kinds = query(tmp_path / "x.run", "SELECT DISTINCT kind FROM replies WHERE kind IS NOT NULL AND kind != 'stopped'")
    assert kinds == [("empty_reply",)]


def test_requests_that_are_wrong_one_after_the_other_stop_the_run() -> None:
    with ChatServer(in_order(FINE, fault.status(400, message="odd"))) as server:
        with pytest.raises(StoppedRunError, match="400: odd"):
            one_by_one(server, 30)
        assert len(server.requests) == 1 + MOST_USELESS


def test_a_server_that_is_not_there_costs_nothing() -> None:
    with ChatServer() as server:
        url = server.url
    endpoint = ChatEndpoint(ChatOptions(base_url=url, model="m", **PRICES), Context())
    with pytest.raises(InputError, match="connection refused"):
        asyncio.run(endpoint.complete([request("a")]))


@pytest.mark.parametrize("limit", [60.0, 400.0])
def test_the_cost_limit_holds_although_attempts_are_paid_for_and_lost(limit: float, tmp_path: Path) -> None:
    """The server charges for every request, for one whose reply is lost as much as it can, and loses four of ten."""
    charged: list[float] = []

    def script(asked: Any) -> Any:
        if asked.number % 10 in (2, 3, 6, 7):
            charged.append((sum(len(text.encode()) for text in asked.texts()) + 64) / 1000)
            return (fault.reset(), fault.reset_mid_body(), fault.truncated_json(), fault.status(502))[asked.number % 4]
        reply = completion(asked, FINE)
        charged.append(reply["usage"]["total_tokens"] / 1000)
        return reply

    with ChatServer(script) as server:
        options = {"base_url": server.url, "model": "m", "price_in": "1000", "price_out": "1000"}
        for _ in range(3):  # what earlier sessions lost counts too
            questioner = build("questioners", "chatgpt", options)
            with pytest.raises(StoppedRunError, match="higher --cost-limit"):
                simulate(targets(200), questioner, Answering(), out=tmp_path / "x.json", cost_limit=limit)
        ((counted,),) = query(tmp_path / "x.run", "SELECT sum(cost) FROM replies")
        assert sum(charged) <= counted <= limit
        assert counted > limit / 2


def test_replies_that_do_not_tell_their_cost_count_in_later_sessions_too(tmp_path: Path) -> None:
    spent = []
    with ChatServer(lambda asked: completion(asked, FINE) | {"usage": None}) as server:
        options = {"base_url": server.url, "model": "m", "price_in": "1", "price_out": "1", "concurrency": "1"}
        for _ in range(3):
            questioner = build("questioners", "chatgpt", options)
            with pytest.raises(StoppedRunError, match="higher --cost-limit"):
                simulate(targets(50), questioner, Answering(), out=tmp_path / "x.json", cost_limit=0.1)
            spent.append(len(server.requests))
    assert spent[0] > 3
    assert spent[1:] == spent[:1] * 2


def test_two_impossible_counts_do_not_spoil_a_run(tmp_path: Path) -> None:
    usage = {"usage": {"prompt_tokens": 2**62, "completion_tokens": 2**62}}
    with ChatServer(lambda asked: completion(asked, f"is it {asked.number}?") | usage) as server:
        questioner = build("questioners", "chatgpt", {"base_url": server.url, "model": "m"})
        summary = simulate(targets(3), questioner, Answering(), out=tmp_path / "x.json", rounds=2)
    assert (summary.dialogs, summary.questions.tokens_in) == (3, None)
    # Such counts as version 0.1 kept them are left out, and the run can be opened.
    with closing(sqlite3.connect(tmp_path / "x.run")) as db, db:
        db.execute(f"UPDATE replies SET tokens_in = {2**62} WHERE role = 'question'")
    assert simulate(targets(3), questioner, Answering(), out=tmp_path / "x.json", rounds=2).dialogs == 3


def test_no_more_attempts_are_reserved_than_are_made() -> None:
    endpoint = ChatEndpoint(ChatOptions(model="m", **PRICES), Context())
    assert endpoint.max_cost(request("number 0")) == ATTEMPTS * (len("number 0") + 8 + 64)
