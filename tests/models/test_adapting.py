"""Servers that want another request: what their refusals teach, once, and how messages are rearranged for them."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Fault, fault
from players import Answering, targets

from chatir import Dialog, Round
from chatir.answerers.sighted import Sighted, SightOptions
from chatir.errors import InputError
from chatir.models.chat.adapting import lesson
from chatir.models.chat.body import arranged
from chatir.models.chat.endpoint import ChatEndpoint
from chatir.models.chat.options import ChatOptions
from chatir.models.completion import Completion, Request
from chatir.models.reply_cache import ReplyCache
from chatir.plugins import Context, build
from chatir.prompts import Message, Prompt, prompts
from chatir.run.file import RunFile
from chatir.simulate import simulate

pytestmark = pytest.mark.usefixtures("quick_retries")

CHAT = (Message("system", "Ask."), Message("user", "Caption: a cat"))
LONG = (*CHAT, Message("assistant", "is it red?"), Message("user", "no"))
FINE = "is it red?"


def taught(said: str, request: Request | None = None, **options: Any) -> dict[str, Any]:
    given = ChatOptions.model_validate({"model": "m", **options})
    return lesson(said, request or Request(CHAT), given, official=options.get("official", False))


LESSONS: list[tuple[str, dict[str, Any]]] = [
    (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        {"tokens_field": "max_completion_tokens"},
    ),
    ("max_tokens is deprecated; use max_completion_tokens", {"tokens_field": "max_completion_tokens"}),
    ("Unrecognized request argument supplied: max_tokens", {"tokens_field": "max_completion_tokens"}),
    (
        "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) is supported.",
        {"temperature": None},
    ),
    ("invalid temperature: only 1 is allowed for this model", {"temperature": None}),
    ("Input validation error: `temperature` must be strictly positive", {"temperature": None}),
    ("`temperature` is deprecated for this model.", {"temperature": None}),
    ("temperature must be in (0.0, 2.0]", {"temperature": None}),
    ("`temperature` must be > 0", {"temperature": None}),
    ("this model: temperature, top_p and n are fixed at 1", {"temperature": None}),
    ("Only user and assistant roles are supported!", {"system": "merge"}),
    ("Invalid value at 'generation_config.seed' (TYPE_INT32)", {"seed": "none"}),
    ('[{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]', {"seed": "none"}),
    ("Unknown name \"seed\": Cannot find field.", {"seed": "none"}),
    ("seed: this model does not accept it", {"seed": "none"}),
    ("System role not supported", {"system": "merge"}),
    ("A system role is not supported by this template", {"system": "merge"}),
    ("Unsupported value: 'messages[0].role' does not support 'system' with this model.", {"system": "merge"}),
    ("Developer instruction is not enabled for models/gemma-3-27b-it", {"system": "merge"}),
    ("unknown variant `system`, expected `user` or `assistant` at messages[0].role", {"system": "merge"}),
    ("Unexpected role 'system'", {"system": "merge"}),
    ("Conversation roles must alternate user/assistant/user/assistant/...", {"system": "merge"}),
    ("After the optional system message, conversation roles must alternate", {"system": "merge"}),
]  # fmt: skip


@pytest.mark.parametrize(("said", "changes"), LESSONS)
def test_a_refusal_teaches_one_change(said: str, changes: dict[str, Any]) -> None:
    assert taught(said) == changes


@pytest.mark.parametrize(
    "said",
    [
        "max_tokens is too large: 5000. This model's maximum context length is 4096",
        "temperature must be at most 1",
        "temperature is fixed",
        "no such model",
        "the image is not supported",
        "Unsupported parameter: 'top_k'",
        "",
    ],
)
def test_other_refusals_teach_nothing(said: str) -> None:
    assert taught(said) == {}


def test_what_is_not_sent_cannot_be_refused_and_what_is_set_by_hand_stays() -> None:
    assert taught("'temperature' is not supported", temperature=None) == {}
    assert taught("'seed' is not supported", seed="none") == {}
    assert taught("'max_tokens' is not supported", tokens_field="max_tokens") == {}
    assert taught("system role not supported", system="merge") == {}


def test_consecutive_messages_of_one_role_are_joined_where_roles_must_alternate() -> None:
    twice = (*LONG, Message("user", "go on"))
    assert taught("roles must alternate", Request(twice)) == {"alternate": True}
    options = ChatOptions(model="m", alternate=True)
    assert [tuple(message) for message in arranged(twice, options)] == [
        ("system", "Ask."),
        ("user", "Caption: a cat"),
        ("assistant", "is it red?"),
        ("user", "no\n\ngo on"),
    ]


def shown(prompt: Prompt, rounds: int) -> list[Message]:
    dialog = Dialog("a.jpg", "a cat", tuple(Round(f"is it {n}?", "no") for n in range(rounds)))
    return prompt.messages(dialog, question="is it red?", count=3, asked=["is it?"] * rounds)


@pytest.mark.parametrize("prompt", list(prompts()), ids=lambda prompt: prompt.name)
@pytest.mark.parametrize("rounds", [0, 1, 3])
@pytest.mark.parametrize("alternate", [False, True])
def test_every_prompt_works_without_a_system_role(prompt: Prompt, rounds: int, alternate: bool) -> None:
    messages = shown(prompt, rounds)
    merged = arranged(messages, ChatOptions(model="m", system="merge", alternate=alternate))
    roles = [message.role for message in merged]
    assert roles[0] == "user"
    assert roles[-1] == "user"
    assert "system" not in roles
    assert all(one != other for one, other in pairwise(roles))
    assert [word for message in merged for word in message.content.split()] == [
        word for message in messages for word in message.content.split()
    ]


@pytest.mark.parametrize("prompt", list(prompts()), ids=lambda prompt: prompt.name)
def test_where_roles_must_alternate_the_user_speaks_first(prompt: Prompt) -> None:
    for rounds in range(3):
        merged = arranged(shown(prompt, rounds), ChatOptions(model="m", alternate=True))
        roles = [message.role for message in merged if message.role != "system"]
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]


class Particular:
    """A server that takes no request before it is as it wants it; counts its refusals."""

    def __init__(self, **wants: Fault) -> None:
        self.wants = wants
        self.refused = 0

    def __call__(self, request: Any) -> Any:
        body = request.body or {}
        roles = [message["role"] for message in body["messages"]]
        for field, refusal in self.wants.items():
            if field in body or (field == "system" and "system" in roles):
                self.refused += 1
                return refusal
        return FINE


def particular() -> Particular:
    return Particular(
        max_tokens=fault.unsupported("max_tokens", "Use 'max_completion_tokens' instead of max_tokens, not supported."),
        temperature=fault.unsupported("temperature"),
        seed=fault.status(422, "Extra inputs are not permitted: seed"),
        system=fault.status(500, "Jinja Exception: System role not supported"),
    )


def complete(server: ChatServer, count: int = 1, endpoint: ChatEndpoint | None = None, **more: Any) -> list[Completion]:
    context = more.pop("context", Context())
    options = ChatOptions.model_validate({"base_url": server.url, "model": "m", **more})
    asking = endpoint or ChatEndpoint(options, context)

    async def play() -> list[Completion]:
        try:
            return await asking.complete([Request((*CHAT[:1], Message("user", f"number {n}"))) for n in range(count)])
        finally:
            await asking.close()

    return asyncio.run(play())


def test_all_that_a_server_wants_is_learnt_once_and_reported() -> None:
    told: list[str] = []
    wants = particular()
    with ChatServer(wants) as server:
        endpoint = ChatEndpoint(ChatOptions(base_url=server.url, model="m"), Context(progress=told.append))
        replies = complete(server, 20, endpoint)
        assert [reply.text for reply in replies] == [FINE] * 20
        assert (wants.refused, len(server.requests)) == (4, 24)
    learnt = {"tokens_field": "max_completion_tokens", "temperature": None, "seed": "none", "system": "merge"}
    assert endpoint.adapted == learnt
    assert endpoint.identity == endpoint.identity | learnt
    assert len(told) == 4
    assert "temperature=none" in "".join(told)


def test_what_was_learnt_is_what_can_be_set_by_hand() -> None:
    wants = particular()
    by_hand = {"tokens_field": "max_completion_tokens", "temperature": None, "seed": "none", "system": "merge"}
    with ChatServer(wants) as server:
        endpoint = ChatEndpoint(ChatOptions(base_url=server.url, model="m"), Context())
        complete(server, 1, endpoint)
        wants.refused = 0
        complete(server, 1, **by_hand)
        assert wants.refused == 0
        assert ChatEndpoint(ChatOptions(base_url=server.url, model="m", **by_hand), Context()).identity == (
            endpoint.identity
        )


def test_requests_under_way_learn_from_the_first_refusal() -> None:
    """A server that turns particular when sixteen requests are with it."""
    wants = particular()
    with ChatServer(lambda asked: wants(asked) if asked.number else FINE, latency=0.05) as server:
        replies = complete(server, 17, concurrency=16)
        assert [reply.text for reply in replies] == [FINE] * 17


def test_a_server_that_refuses_whatever_is_sent_ends_in_its_own_words() -> None:
    with ChatServer(lambda asked: fault.unsupported("max_tokens")) as server:
        with pytest.raises(InputError, match="'max_tokens' is not supported"):
            complete(server)
        assert len(server.requests) == 2


def test_a_cached_reply_teaches_what_its_request_had_to_learn(tmp_path: Path) -> None:
    wants = particular()
    with ChatServer(wants) as server:
        for expected in (12, 12):
            cache = ReplyCache(tmp_path / "replies.cache")
            endpoint = ChatEndpoint(ChatOptions(base_url=server.url, model="m"), Context(cache=cache))
            complete(server, 8, endpoint)
            cache.close()
            assert len(server.requests) == expected
            assert endpoint.adapted["temperature"] is None


def test_the_query_goes_into_the_address_and_into_the_identity() -> None:
    with ChatServer() as server:
        complete(server, query="api-version=2024-10-21")
        assert server.requests[0].query == "api-version=2024-10-21"
    identity = ChatEndpoint(ChatOptions(model="m", query="api-version=1"), Context()).identity  # type: ignore[arg-type]
    assert identity["query"] == {"api-version": "1"}
    assert "query" not in ChatEndpoint(ChatOptions(model="m"), Context()).identity


@pytest.mark.parametrize(
    "option",
    [
        {"tokens_field": "messages"},
        {"tokens_field": "a-b"},
        {"tokens_field": "max_new", "extra": '{"max_new": 9}'},
        {"extra": '{"api_key": "sk-1"}'},
    ],
    ids=str,
)
def test_options_that_would_break_a_request_or_record_a_secret_are_refused(option: dict[str, str]) -> None:
    with pytest.raises(InputError, match="questioner 'chatgpt'"):
        build("questioners", "chatgpt", option)


def test_a_reply_is_cached_with_the_options_of_its_own_request(tmp_path: Path) -> None:
    """A slow request, sent with a temperature, comes back when another one has been refused for it."""

    def script(asked: Any) -> Any:
        if asked.number == 1:
            time.sleep(0.3)  # the server is one thread: the request after this one is refused after it
        return fault.unsupported("temperature") if asked.number == 2 else FINE

    cache = ReplyCache(tmp_path / "replies.cache")
    with ChatServer(script) as server:
        options = ChatOptions(base_url=server.url, model="m")
        endpoint = ChatEndpoint(options, Context(cache=cache))
        complete(server, 3, endpoint)
        assert endpoint.adapted == {"temperature": None}
        fresh = ChatEndpoint(options, Context(cache=cache))
        asyncio.run(fresh.complete([Request((*CHAT[:1], Message("user", "number 0")))]))
        assert fresh.adapted == {}
    cache.close()


@pytest.mark.parametrize("query", ["api-key=1", "code=1", "subscription_token=1", "nothing", '{"a": [1]}', "[1]"])
def test_a_query_that_holds_a_secret_or_is_none_is_refused(query: str) -> None:
    with pytest.raises(InputError, match="option query="):
        build("questioners", "chatgpt", {"query": query})


def test_an_image_goes_with_the_first_message_of_the_user_wherever_it_ends_up() -> None:
    answers = Sighted(SightOptions(prompt="short-answer-chat"), chats=True)
    messages = answers.messages(Dialog("a.jpg", "a cat"), "is it red?")
    assert arranged(messages, ChatOptions(model="m", system="merge", alternate=True)) == messages


def test_each_run_of_a_player_begins_with_the_options_as_given(tmp_path: Path) -> None:
    """As several seeds in one call do: each run can be gone on with by a fresh process."""
    wants = particular()
    with ChatServer(
        lambda asked: wants(asked) if isinstance(wants(asked), Fault) else f"is it {asked.number}?"
    ) as server:
        options = {"base_url": server.url, "model": "m"}
        questioner = build("questioners", "chatgpt", options)
        for name in ("a", "b"):
            simulate(targets(2), questioner, Answering(), out=tmp_path / f"{name}.json", rounds=2)
        for name in ("a", "b"):
            again = build("questioners", "chatgpt", options)
            simulate(targets(3), again, Answering(), out=tmp_path / f"{name}.json", rounds=2)
            with RunFile.reading(tmp_path / f"{name}.run") as run:
                assert run.given_config["questioner"]["config"]["model"]["temperature"] == 0.0
                assert run.config["questioner"]["config"]["model"]["temperature"] is None
                assert [sitting[2]["players"] for sitting in run.sittings()] == [{"question": {"models": ["m"]}}] * 2
