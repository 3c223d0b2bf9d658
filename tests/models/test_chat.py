"""A chat endpoint against a server that does everything wrong that servers do."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chat_server import RETRYABLE, SILENT, ChatServer, Fault, Script, completion, fault, in_order

from chatir.errors import ChatirError, InputError, StoppedRunError
from chatir.models.chat.endpoint import ChatEndpoint
from chatir.models.chat.images import EncodedImage
from chatir.models.chat.options import ChatOptions
from chatir.models.chat.transport import retry, stopping
from chatir.models.chat.transport.errors import Complaint, kind_of, status_error
from chatir.models.completion import Completion, Request
from chatir.models.reply_cache import ReplyCache
from chatir.plugins import Context, build
from chatir.prompts import Message

IMAGE = EncodedImage("data:image/jpeg;base64,/9j/", "5a1f", 8, 8)
FINE = "is it red?"
PRICES = {"price_in": 1, "price_out": 2}


pytestmark = pytest.mark.usefixtures("quick_retries")


def request(text: str = "Caption: a cat", **more: Any) -> Request:
    return Request((Message("system", "Ask."), Message("user", text)), **more)


def ask(server: ChatServer, *texts: str, context: Context | None = None, **options: Any) -> list[Completion]:
    """Complete some chats, all at once, by an endpoint of their own."""
    settings = ChatOptions.model_validate({"base_url": server.url, "model": "m", "timeout": 5, **options})
    endpoint = ChatEndpoint(settings, context or Context())

    async def play() -> list[Completion]:
        try:
            return await endpoint.complete([request(text) for text in texts or ("Caption: a cat",)])
        finally:
            await endpoint.close()

    return asyncio.run(asyncio.wait_for(play(), 60))


def test_a_request_says_what_it_must_and_the_reply_tells_its_tokens() -> None:
    with ChatServer(in_order(FINE)) as server:
        options = ChatOptions(base_url=server.url, model="m", temperature=0.5, max_tokens=7, extra='{"top_k": 3}')
        endpoint = ChatEndpoint(options, Context())
        (reply,) = asyncio.run(endpoint.complete([request(seed=2**40 + 5)]))
    assert (reply.text, reply.failure, reply.cut, reply.cost) == (FINE, None, False, None)
    assert (reply.tokens_in, reply.tokens_out) == (4, 3)
    assert server.requests[0].body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Ask."}, {"role": "user", "content": "Caption: a cat"}],
        "max_tokens": 7,
        "temperature": 0.5,
        "seed": (2**40 + 5) % 2**31,
        "top_k": 3,
    }


@pytest.mark.parametrize("detail", ["auto", "low", "high"])
def test_an_image_comes_first_in_what_the_user_says_first(detail: str) -> None:
    said = [("system", "Look."), ("user", "is it red?"), ("assistant", "no"), ("user", "is it blue?")]
    image = replace(IMAGE, detail=detail)  # type: ignore[arg-type]
    with ChatServer() as server:
        endpoint = ChatEndpoint(ChatOptions(base_url=server.url, model="m"), Context())
        asyncio.run(endpoint.complete([Request(tuple(Message(*one) for one in said), image=image)]))  # type: ignore[arg-type]
    shown = {"url": IMAGE.url} | ({} if detail == "auto" else {"detail": detail})
    content = [{"type": "image_url", "image_url": shown}, {"type": "text", "text": "is it red?"}]
    assert server.requests[0].body is not None
    assert server.requests[0].body["messages"] == [
        {"role": "system", "content": "Look."},
        {"role": "user", "content": content},
        {"role": "assistant", "content": "no"},
        {"role": "user", "content": "is it blue?"},
    ]


@pytest.mark.parametrize(("seed", "sent"), [("run", 9), ("none", None), (4, 4), ("4", 4)])
def test_a_seed_is_the_requests_own_or_a_fixed_one_or_none(seed: object, sent: int | None) -> None:
    with ChatServer() as server:
        endpoint = ChatEndpoint(ChatOptions(base_url=server.url, model="m", seed=seed), Context())
        asyncio.run(endpoint.complete([request(seed=9)]))
    assert server.requests[0].body is not None
    assert server.requests[0].body.get("seed") == sent


@pytest.mark.parametrize("extra", ["notjson", "[1]", '{"model": "x"}', '{"messages": []}', '{"stream": true}'])
def test_further_fields_are_an_object_and_none_of_chatirs_own(extra: str) -> None:
    with pytest.raises(InputError, match="questioner 'chatgpt': option extra="):
        build("questioners", "chatgpt", {"extra": extra})


def test_a_temperature_may_be_left_to_the_server() -> None:
    with ChatServer() as server:
        ask(server, temperature=None)
    assert "temperature" not in (server.requests[0].body or {})


@pytest.mark.parametrize("trouble", [*RETRYABLE, *SILENT], ids=lambda trouble: trouble.name)
def test_what_may_pass_is_asked_again(trouble: Fault) -> None:
    with ChatServer(in_order(FINE, trouble, trouble, FINE)) as server:
        replies = ask(server, "first", concurrency=1) + ask(server, "second", concurrency=1)
    assert [reply.text for reply in replies] == [FINE, FINE]
    assert len(server.requests) == 4


@pytest.mark.parametrize("trouble", [fault.hang(), fault.drip(0.05)], ids=lambda trouble: trouble.name)
def test_a_hung_connection_is_cut(trouble: Fault) -> None:
    with ChatServer(in_order(trouble, FINE)) as server:
        (reply,) = ask(server, timeout=0.3)
    assert reply.text == FINE
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("reply", "kind", "told"),
    [
        (fault.context_overflow(), "context_overflow", "400: "),
        (fault.context_overflow("vllm"), "context_overflow", "400: "),
        (fault.context_overflow("old vllm"), "context_overflow", "400: "),
        (fault.context_overflow("llama.cpp"), "context_overflow", "400: "),
        (fault.content_policy(), "refused", "400: "),
        (fault.content_policy("content_filter"), "refused", "400: "),
        (fault.refusal("I will not."), "refused", "the model refused: I will not."),
        (fault.refused_content(), "refused", "403: Content violates usage guidelines"),
        (fault.finish("content_filter"), "refused", "content filter"),
        (fault.status(422, message="no such field"), "bad_request", "422: no such field"),
        (fault.finish("length", content=""), "cut_off", "max_tokens"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_fails_one_request_is_told_apart_and_asked_once(reply: Fault, kind: str, told: str) -> None:
    with ChatServer(lambda asked: reply if "bad" in asked.texts()[-1] else FINE) as server:
        fine, bad = ask(server, "good", "bad")
    assert fine.text == FINE
    assert bad.text is None
    assert bad.failure is not None
    assert bad.failure.kind == kind
    assert told in bad.failure.message
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("reply", "error", "told"),
    [
        (fault.unauthorized(), InputError, "the server wants a key"),
        (fault.forbidden(), InputError, "access denied: 403: Country, region, or territory not supported; "),
        (fault.block_page(), InputError, r"access denied: 403: Access denied \| example.com used Cloudflare; "),
        (
            fault.redirect("https://elsewhere.example/v1/chat/completions"),
            InputError,
            "to https://elsewhere.example/v1,",
        ),
        (fault.unexpected_endpoint(), InputError, "most base URLs end in /v1"),
        (fault.unknown_model(), InputError, "model m: 404: "),
        (fault.quota(), StoppedRunError, "the quota is exhausted"),
        (fault.status(402, message="pay first"), StoppedRunError, "pay first"),
        (fault.rate_limited(after=86_400), StoppedRunError, "asked again in 86400 seconds"),
        (fault.status(400, message="temperature is fixed"), InputError, "400: temperature is fixed"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_would_fail_every_request_stops_the_run_after_one(
    reply: Fault, error: type[ChatirError], told: str
) -> None:
    with ChatServer(in_order(reply)) as server, pytest.raises(error, match=told):
        ask(server, *(f"dialog {number}" for number in range(40)))
    assert len(server.requests) == 1


@pytest.mark.parametrize(("image", "doubted"), [(IMAGE, True), (None, False)])
def test_a_first_request_that_is_refused_raises_a_doubt_about_images_if_it_shows_one(
    image: EncodedImage | None, doubted: bool
) -> None:
    refusal = fault.status(400, message="content must be a string")
    for reply, apt in ((refusal, True), (fault.unauthorized(), False), (fault.unknown_model(), False)):
        with ChatServer(in_order(reply)) as server:
            endpoint = ChatEndpoint(ChatOptions(base_url=server.url, model="m"), Context())
            with pytest.raises(InputError, match="model m: 4") as refused:
                asyncio.run(endpoint.complete([request(image=image), request(image=image)]))
        assert len(server.requests) == 1
        assert ("perhaps it takes no images: name a model that does" in str(refused.value)) == (doubted and apt)


def test_the_first_request_goes_alone_and_the_others_together() -> None:
    with ChatServer(latency=0.05) as server:
        ask(server, *(f"dialog {number}" for number in range(33)), concurrency=8)
    assert server.requests[0].running == server.requests[1].number == 1
    assert server.requests[0].done
    assert server.most_running == 8


def test_a_prompt_that_is_refused_first_does_not_stop_the_others() -> None:
    with ChatServer(in_order(fault.content_policy(), FINE)) as server:
        replies = ask(server, "a", "b", "c")
    assert [reply.text for reply in replies] == [None, FINE, FINE]


def test_a_server_that_is_not_there_is_wrong_use(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    with ChatServer() as server:
        url = server.url
    endpoint = ChatEndpoint(ChatOptions(base_url=url, model="m"), Context(progress=told.append))
    with pytest.raises(InputError, match="the connection failed: connection refused"):
        asyncio.run(endpoint.complete([request()]))
    assert not told, "nothing is tried again"


def test_a_server_that_goes_away_stops_the_run_when_some_requests_in_a_row_are_lost() -> None:
    with ChatServer(in_order(FINE, fault.status(503))) as server:
        endpoint = ChatEndpoint(ChatOptions(base_url=server.url, model="m"), Context())

        async def play() -> list[str]:
            return [str((await endpoint.complete([request(text)]))[0].failure) for text in "abcdefgh"]

        with pytest.raises(StoppedRunError, match="the server does not answer any more"):
            asyncio.run(play())
    assert len(server.requests) == 1 + retry.ATTEMPTS * stopping.OUTAGES


def test_one_poisonous_prompt_does_not_stop_the_run() -> None:
    with ChatServer(lambda asked: fault.status(500) if "poison" in asked.texts()[-1] else FINE) as server:
        replies = ask(server, "a", "poison", "b", "c", concurrency=1)
    assert [reply.failure and reply.failure.kind for reply in replies] == [None, "server_error", None, None]


def test_too_many_requests_make_it_fewer_and_the_user_is_told_once() -> None:
    told: list[str] = []
    script: Script = lambda asked: fault.rate_limited() if asked.running > 4 else FINE  # noqa: E731
    with ChatServer(script, latency=0.01) as server:
        replies = ask(server, *(str(n) for n in range(60)), concurrency=16, context=Context(progress=told.append))
    assert {reply.text for reply in replies} == {FINE}
    assert server.most_running > 4
    late = server.requests[len(server.requests) // 2 :]
    assert sum(one.fault is not None for one in late) / len(late) < 0.5
    assert len(told) == 1
    assert "too many requests" in told[0]


def test_a_reply_of_another_model_is_used_marked_and_reported_once(tmp_path: Path) -> None:
    told: list[str] = []
    cache = ReplyCache(tmp_path / "replies.cache")
    with ChatServer(in_order(FINE, fault.other_model("cheap-1"), fault.other_model("cheap-1"), FINE)) as server:
        for session in range(2):  # the second one from the cache
            endpoint = ChatEndpoint(
                ChatOptions(base_url=server.url, model="m"), Context(cache=cache, progress=told.append)
            )

            async def play(endpoint: ChatEndpoint = endpoint) -> list[Completion]:
                replies = [(await endpoint.complete([request(text)]))[0] for text in "abcd"]
                await endpoint.close()
                return replies

            replies = asyncio.run(play())
            assert [reply.notes for reply in replies] == [None, {"model": "cheap-1"}, {"model": "cheap-1"}, None]
            assert endpoint.provenance == {"models": ["m", "cheap-1"]}
            assert len(told) == session + 1
        assert len(server.requests) == 4
    cache.close()
    assert "asked for the model 'm', a reply names 'cheap-1'" in told[0]


def test_an_unknown_finish_reason_is_kept_and_reported_once_and_not_cached(tmp_path: Path) -> None:
    told: list[str] = []
    cache = ReplyCache(tmp_path / "replies.cache")
    with ChatServer(in_order(fault.finish("repetition", FINE))) as server:
        endpoint = ChatEndpoint(ChatOptions(base_url=server.url, model="m"), Context(cache=cache, progress=told.append))
        replies = asyncio.run(endpoint.complete([request("a"), request("b")]))
    cache.close()
    assert [(reply.text, reply.notes) for reply in replies] == [(FINE, {"finish_reason": "repetition"})] * 2
    assert len(told) == 1
    assert not keys(tmp_path / "replies.cache")


def test_tokens_of_unusable_replies_count_too() -> None:
    def paid(asked: Any) -> dict[str, Any]:
        return completion(asked, "" if asked.number < 2 else FINE) | {
            "usage": {"prompt_tokens": 100, "completion_tokens": 10}
        }

    with ChatServer(paid) as server:
        (reply,) = ask(server, price_in=1.0, price_out=10.0)
    assert (reply.tokens_in, reply.tokens_out) == (300, 30)
    assert reply.cost == pytest.approx((300 * 1 + 30 * 10) / 1e6)


@pytest.mark.parametrize(
    "usage", [None, [], "x", {}, {"prompt_tokens": "5"}, {"prompt_tokens": -1}, {"prompt_tokens": 2.5}]
)
def test_odd_counts_are_unknown_never_nought(usage: object) -> None:
    with ChatServer(lambda asked: completion(asked, FINE) | {"usage": usage}) as server:
        (reply,) = ask(server, price_in=1.0, price_out=1.0)
    assert (reply.text, reply.tokens_in, reply.cost) == (FINE, None, None)


def test_a_cut_reply_says_so() -> None:
    with ChatServer(in_order(fault.finish("length", content="what color is"))) as server:
        (reply,) = ask(server)
    assert (reply.text, reply.cut) == ("what color is", True)


def test_what_a_request_can_cost_at_most_is_more_than_it_does() -> None:
    text = "Caption: " + "naïve 🦓 " * 20
    with ChatServer(in_order(FINE)) as server:
        endpoint = ChatEndpoint(ChatOptions(base_url=server.url, model="m", price_in=1, price_out=2), Context())
        (reply,) = asyncio.run(endpoint.complete([request(text)]))
    most = endpoint.max_cost(request(text))
    assert most is not None
    assert reply.cost is not None
    assert most >= retry.ATTEMPTS * (len(text.encode()) * 1 + 64 * 2) / 1e6 > retry.ATTEMPTS * reply.cost > 0


def test_the_tokens_of_an_image_are_paid_for_with_each_attempt() -> None:
    endpoint = ChatEndpoint(ChatOptions(model="m", price_in=1, price_out=2), Context())
    plain, shown = endpoint.max_cost(request()), endpoint.max_cost(request(image_tokens=25_501))
    assert plain is not None
    assert shown == pytest.approx(plain + retry.ATTEMPTS * 25_501 / 1e6)


def test_prices_are_those_of_the_list_for_openai_and_unknown_for_a_server_of_ones_own() -> None:
    assert ChatEndpoint(ChatOptions(model="gpt-4o-mini"), Context()).cost(1000, 1000) == pytest.approx(0.00075)
    local = ChatOptions(model="gpt-4o-mini", base_url="http://127.0.0.1:1/v1")
    assert ChatEndpoint(local, Context()).cost(1000, 1000) is None


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("127.0.0.1:8000/v1", "no address like http"),
        ("ftp://host/v1", "no address like http"),
        ("http://user:secret@host/v1", "must hold no password"),
        ("http://host/v1?key=secret", "must hold no password"),
        ("http://host:99999/v1", "base_url: "),
        ("http://", "no address like http"),
        ("", "no address like http"),
    ],
)
def test_a_base_url_that_is_none_or_holds_a_secret_is_refused(url: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as refused:
        ChatEndpoint(ChatOptions(model="m", base_url=url), Context())
    assert "secret" not in str(refused.value)


def test_the_base_url_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1/")
    assert ChatEndpoint(ChatOptions(model="m"), Context()).identity["base_url"] == "http://127.0.0.1:9/v1"


def test_openai_itself_is_not_asked_without_a_key() -> None:
    with pytest.raises(InputError, match="wants a key: put it into the environment, as OPENAI_API_KEY"):
        ChatEndpoint(ChatOptions(model="m"), Context()).ready()


def test_the_key_is_sent_and_may_have_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_KEY", "sk-of-another-service")
    with ChatServer() as server:
        ask(server, key_env="OTHER_KEY")
        ask(server)
    assert [one.key for one in server.requests] == ["sk-of-another-service", ""]


def test_what_fixes_a_completion_is_its_identity_and_nothing_else() -> None:
    base: dict[str, Any] = {"model": "m", "base_url": "http://127.0.0.1:9/v1"}
    same = ({"concurrency": 3}, {"timeout": 3}, {"requests_per_minute": 3}, {"key_env": "X"}, PRICES)
    other = ({"model": "n"}, {"temperature": 1}, {"max_tokens": 3}, {"seed": 3}, {"extra": {"a": 1}})
    first = ChatEndpoint(ChatOptions(**base), Context()).identity
    assert all(ChatEndpoint(ChatOptions(**base | one), Context()).identity == first for one in same)
    assert all(ChatEndpoint(ChatOptions(**base | one), Context()).identity != first for one in other)
    assert json.loads(json.dumps(first)) == first


@pytest.fixture
def cached(tmp_path: Path) -> Callable[..., list[Completion]]:
    def play(server: ChatServer, *texts: str, **options: Any) -> list[Completion]:
        cache = ReplyCache(tmp_path / "replies.cache")
        try:
            return ask(server, *texts, context=Context(cache=cache), **options)
        finally:
            cache.close()

    return play


def test_what_was_asked_before_comes_from_the_cache(cached: Callable[..., list[Completion]]) -> None:
    with ChatServer() as server:
        paid = cached(server, "a", "b", price_in=1, price_out=1)
        again = cached(server, "b", "a", price_in=1, price_out=1)
        assert len(server.requests) == 2
        assert [reply.text for reply in again] == [reply.text for reply in reversed(paid)]
        assert all(reply.cost == 0 and reply.tokens_in == 2 for reply in again)
        for other in (
            {"model": "n"},
            {"temperature": 1},
            {"max_tokens": 9},
            {"extra": {"top_k": 1}},
            {"seed": 1},
            {"seed": 2},
        ):
            cached(server, "a", **other)
        assert len(server.requests) == 8


def test_another_seed_is_another_request_even_if_it_is_not_sent(tmp_path: Path) -> None:
    with ChatServer() as server:
        context = Context(cache=ReplyCache(tmp_path / "replies.cache"))
        endpoint = ChatEndpoint(ChatOptions(base_url=server.url, model="m", seed="none"), context)

        async def play() -> None:
            for seed in (1, 2, 1):
                await endpoint.complete([request(seed=seed)])
            await endpoint.close()

        asyncio.run(play())
    assert len(server.requests) == 2


def keys(cache: Path) -> list[str]:
    with closing(sqlite3.connect(cache)) as db:
        return [key for (key,) in db.execute("SELECT key FROM replies ORDER BY kept")]


def test_the_cache_knows_a_text_by_the_same_key_as_ever(
    cached: Callable[..., list[Completion]], tmp_path: Path
) -> None:
    with ChatServer() as server:
        cached(server, "a café")
    (key,) = keys(tmp_path / "replies.cache")
    assert key.replace(server.url, "URL") == (
        '{"backend": "chat", "base_url": "URL", "model": "m", "request": {"max_tokens": 64, "messages": '
        '[{"content": "Ask.", "role": "system"}, {"content": "a caf\\u00e9", "role": "user"}], "model": "m", '
        '"seed": 0, "temperature": 0.0}, "rules": 2, "seed": 0}'
    )


def test_the_cache_knows_an_image_by_its_hash(tmp_path: Path) -> None:
    big = replace(IMAGE, url="data:image/jpeg;base64," + "A" * 100_000)
    other, finer = replace(big, sha256="77"), replace(big, detail="high")
    with ChatServer() as server:
        context = Context(cache=ReplyCache(tmp_path / "replies.cache"))
        endpoint = ChatEndpoint(ChatOptions(base_url=server.url, model="m"), context)

        async def play() -> None:
            for image in (big, other, finer, None, big, other, finer, None):
                await endpoint.complete([request(image=image)])
            await endpoint.close()

        asyncio.run(play())
    assert len(server.requests) == 4
    assert all("AAAA" not in key and len(key) < 500 for key in keys(tmp_path / "replies.cache"))
    assert '"url": "sha256:5a1f"' in keys(tmp_path / "replies.cache")[0]


@pytest.mark.parametrize(
    "reply", [fault.refusal("no"), fault.finish("SAFETY"), fault.content("<think>hm"), fault.finish("odd")], ids=str
)
def test_what_is_no_good_reply_is_not_kept(reply: Fault, cached: Callable[..., list[Completion]]) -> None:
    with ChatServer(in_order(reply, FINE)) as server:
        cached(server)
        assert cached(server)[0].text == FINE


@pytest.mark.parametrize("patience", [86_400, 120])
def test_what_stops_a_run_ends_the_waits_of_all_others_at_once(patience: int) -> None:
    """Some requests wait for another attempt, as long as the server asked; then the quota is exhausted."""

    def script(asked: Any) -> Any:
        if asked.number == 0:
            return FINE
        return fault.rate_limited(after=min(patience, 120)) if asked.number < 5 else fault.quota()

    if patience > 1000:  # or the server asks for a day
        script = in_order(FINE, fault.rate_limited(after=100), fault.rate_limited(after=patience))
    with ChatServer(script) as server:
        endpoint = ChatEndpoint(ChatOptions(base_url=server.url, model="m", concurrency=8), Context())

        async def play() -> None:
            await endpoint.complete([request("first")])
            asked = [asyncio.create_task(endpoint.complete([request(f"dialog {n}")])) for n in range(8)]
            done, _ = await asyncio.wait(asked, timeout=20)
            assert len(done) == 8
            assert {type(one.exception()) for one in done} == {StoppedRunError}
            await endpoint.close()

        asyncio.run(play())
    assert len(server.requests) <= 9


def test_a_reply_under_way_when_the_run_is_stopped_still_comes_back() -> None:
    def script(asked: Any) -> Any:
        return fault.quota() if "poor" in asked.texts()[-1] else FINE

    with ChatServer(script, latency=0.2) as server:
        endpoint = ChatEndpoint(ChatOptions(base_url=server.url, model="m", concurrency=2), Context())

        async def play() -> list[Any]:
            await endpoint.complete([request("first")])
            late = asyncio.create_task(endpoint.complete([request("rich")]))
            await asyncio.sleep(0.1)
            poor = asyncio.create_task(endpoint.complete([request("poor")]))
            results = await asyncio.gather(late, poor, return_exceptions=True)
            await endpoint.close()
            return results

        late, poor = asyncio.run(play())
    assert late[0].text == FINE
    assert isinstance(poor, StoppedRunError)


def test_tokens_that_were_paid_for_before_a_stop_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """One request waits for another attempt, one comes back refused: both are paid for when the quota ends."""
    monkeypatch.setattr(retry, "WAIT_INITIAL", 30.0)
    monkeypatch.setattr(retry, "WAIT_MAX", 30.0)
    usage = {"usage": {"prompt_tokens": 100, "completion_tokens": 10}}

    def script(asked: Any) -> Any:
        match asked.texts()[-1]:
            case "empty":
                return completion(asked, "") | usage
            case "refused":
                return completion(asked, None, refusal="no") | usage
            case "poor":
                return fault.quota()
        return FINE

    with ChatServer(script, latency=0.2) as server:
        endpoint = ChatEndpoint(ChatOptions(base_url=server.url, model="m", **PRICES), Context())

        async def play() -> list[Any]:
            await endpoint.complete([request("first")])
            asked = []
            for text, pause in (("empty", 0.4), ("poor", 0.1), ("refused", 0.0)):
                asked.append(asyncio.create_task(endpoint.complete([request(text)])))
                await asyncio.sleep(pause)
            results = await asyncio.gather(*asked, return_exceptions=True)
            await endpoint.close()
            return results

        (empty,), poor, (refused,) = asyncio.run(asyncio.wait_for(play(), 20))
    assert isinstance(poor, StoppedRunError)
    assert [one.failure.kind for one in (empty, refused)] == ["stopped", "refused"]
    for one in (empty, refused):
        assert (one.tokens_in, one.tokens_out, one.cost) == (100, 10, pytest.approx(120e-6))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 402, "message": "Insufficient credits"}, StoppedRunError),
        ({"code": 401, "message": "No auth credentials found"}, InputError),
        ({"code": 403, "message": "requires moderation and your input was flagged"}, "refused"),
        ({"code": "context_length_exceeded", "message": "too long"}, "context_overflow"),
        ({"code": 502, "message": "Provider returned error"}, "server_error"),
        ("overloaded", "server_error"),
    ],
)
def test_an_error_with_status_200_is_an_error_all_the_same(error: object, kind: Any) -> None:
    with ChatServer(lambda asked: {"error": error} if "bad" in asked.texts()[-1] else FINE) as server:
        if isinstance(kind, str):
            _, bad = ask(server, "good", "bad")
            assert bad.failure is not None
            assert bad.failure.kind == kind
        else:
            with pytest.raises(kind):
                ask(server, "bad")


def test_a_403_for_want_of_money_or_for_a_text_is_not_a_rejected_key() -> None:
    with ChatServer(in_order(fault.status(403, code="billing_not_active"))) as server, pytest.raises(StoppedRunError):
        ask(server)
    with ChatServer(in_order(fault.status(403, message="your input was flagged"), FINE)) as server:
        assert ask(server)[0].failure is not None


def test_a_cache_that_cannot_be_written_loses_no_reply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise InputError("replies.cache: the reply cache cannot be used: disk full")

    monkeypatch.setattr(ReplyCache, "put", full)
    told: list[str] = []
    with ChatServer(in_order(FINE)) as server:
        context = Context(cache=ReplyCache(tmp_path / "replies.cache"), progress=told.append)
        replies = ask(server, "a", "b", context=context)
    assert [reply.text for reply in replies] == [FINE, FINE]
    assert "disk full; going on without it" in told[0]


def test_slow_turns_do_not_use_the_attempts_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "ceiling", lambda timeout: 2.0)
    seen: dict[str, int] = {}

    def script(asked: Any) -> Any:
        text = asked.texts()[-1]
        seen[text] = seen.get(text, 0) + 1
        return fault.status(500) if seen[text] < 3 else FINE

    with ChatServer(script) as server:
        replies = ask(server, *"abcdef", requests_per_minute=240)
    assert [reply.text for reply in replies] == [FINE] * 6, "18 requests, 250 ms apart, are longer than the ceiling"


SHAPES: list[tuple[Any, str, str]] = [
    ({"error": {"message": "m", "code": "content_filter"}}, "refused", "m"),
    ([{"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}], "bad_request", "m"),
    ({"object": "error", "message": "m", "type": "BadRequestError", "code": 400}, "bad_request", "m"),
    ({"detail": "m"}, "bad_request", "m"),
    ({"detail": [{"loc": ["body", "n"], "msg": "m"}]}, "bad_request", '"loc": ["body", "n"], "msg": "m"'),
    ({"error": "m"}, "bad_request", "m"),
    (
        {"error": {"message": "Provider returned error", "metadata": {"raw": "prompt is too long"}}},
        "context_overflow",
        "m",
    ),
    ({"code": "DataInspectionFailed", "message": "m"}, "refused", "m"),
    ({"error": {"message": "m", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}, "refused", "m"),
    ("<html><head><title>A &amp; B</title></head><body>no</body></html>", "bad_request", "400: A & B"),
    ("<p>plain</p> words", "bad_request", "plain words"),
    ("[]", "bad_request", "400: []"),
    ("null", "bad_request", "400: null"),
]


@pytest.mark.parametrize(("body", "kind", "told"), SHAPES)
def test_an_error_is_read_in_the_shape_of_any_server(body: Any, kind: str, told: str) -> None:
    error = status_error(400, {}, (body if isinstance(body, str) else json.dumps(body)).encode(), "http://a/v1")
    assert error.kind == kind
    assert told in error.message


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (403, None, "Your account has been flagged for suspicious activity", "access_denied"),
        (403, None, "Invalid API key", "rejected_key"),
        (403, None, "openai/gpt requires moderation on Azure. Your input was flagged for violence", "refused"),
        (403, "model_not_found", "Project has no access to this model", "unknown_model"),
        (400, "invalid_api_key", "API key not valid", "rejected_key"),
        (400, None, "model omni-moderation-latest cannot be used with chat completions", "bad_request"),
        (400, None, "unsupported option: context_length; use num_ctx", "bad_request"),
        (400, None, "max_tokens is too large: 5000. This model's maximum context length is 4096", "bad_request"),
        (400, None, "the request exceeds the available context size, try increasing it", "context_overflow"),
        (400, None, "prompt is too long: 210000 tokens > 200000 maximum", "context_overflow"),
        (
            400,
            None,
            "This model's maximum context length is 4096 tokens. However, your request has 5021 input tokens.",
            "context_overflow",
        ),
        (
            400,
            None,
            "The decoder prompt (length 5021) is longer than the maximum model length of 4096.",
            "context_overflow",
        ),
        (400, None, "Input length (5021) exceeds model's maximum context length (4096).", "context_overflow"),
        (
            400,
            None,
            "The input (5021 tokens) is longer than the model's context length (4096 tokens).",
            "context_overflow",
        ),
        (
            400,
            None,
            "Requested token count exceeds the model's maximum context length of 4096 tokens.",
            "context_overflow",
        ),
        (
            422,
            None,
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5021 `inputs` "
            "tokens and 64 `max_new_tokens`",
            "context_overflow",
        ),
        (422, None, "`inputs` must have less than 4095 tokens. Given: 5021", "context_overflow"),
        (
            400,
            None,
            "Trying to keep the first 5021 tokens when context the overflows. However, the model is loaded with "
            "context length of only 4096 tokens, which is not enough.",
            "context_overflow",
        ),
        (
            400,
            None,
            "The number of tokens to keep from the initial prompt is greater than the context length.",
            "context_overflow",
        ),
        (
            400,
            None,
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            "context_overflow",
        ),
        (
            400,
            None,
            "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
            "context_overflow",
        ),
        (
            400,
            None,
            "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
            "context_overflow",
        ),
        (400, None, "Input is too long for requested model.", "context_overflow"),
        (
            400,
            "exceed_context_size_error",
            "request (5253 tokens) exceeds the available context size",
            "context_overflow",
        ),
        (400, "data_inspection_failed", "Input data may contain inappropriate content.", "refused"),
        (
            400,
            None,
            "<400> InternalError.Algo.DataInspectionFailed: Input data may contain inappropriate content.",
            "refused",
        ),
        (400, None, "Content Exists Risk", "refused"),
        (400, "sensitivecontentdetected", "The request failed.", "refused"),
        (
            400,
            "1301",
            "\u7cfb\u7edf\u68c0\u6d4b\u5230\u8f93\u5165\u53ef\u80fd\u5305\u542b\u4e0d\u5b89\u5168\u6216\u654f\u611f\u5185\u5bb9",
            "refused",
        ),
        (400, "responsibleaipolicyviolation", "filtered", "refused"),
        (403, "permission-denied", "Content violates usage guidelines. Failed check: SAFETY", "refused"),
        (403, None, "Just a moment...", "access_denied"),
        (403, "unsupported_country_region_territory", "Country not supported", "access_denied"),
        (403, None, "Forbidden", "access_denied"),
        (401, None, "anything", "rejected_key"),
        (400, None, "roles must alternate; the content of messages is not allowed to be empty", "bad_request"),
        (405, None, "Method Not Allowed", "unknown_model"),
        (403, None, "Request blocked: your IP is not allowed", "access_denied"),
        (403, None, "This API key is blocked", "access_denied"),
        (403, None, "Your account has been blocked for violating our terms", "access_denied"),
        (403, "model_permission_blocked_org", "blocked", "access_denied"),
        (400, None, "Your credit balance is too low to access the API", "quota"),
        (403, None, "insufficient credits", "quota"),
        (429, None, "\u4f59\u989d\u4e0d\u8db3", "quota"),
        (400, None, "API key not valid. Please pass a valid API key.", "rejected_key"),
        (413, "rate_limit_exceeded", "Request too large for model in tokens per minute", "rate_limit"),
        (400, "invalid_prompt", "Invalid prompt: we've limited access to this content.", "refused"),
        (451, None, "", "refused"),
        (498, None, "Capacity exceeded", "server_error"),
        (
            400,
            None,
            "'max_tokens' or 'max_completion_tokens' is too large: 64. This model's maximum context length is 4096 "
            "tokens and your request has 4090 input tokens (64 > 4096 - 4090).",
            "context_overflow",
        ),
        (400, None, "Range of input length should be [1, 30720]", "context_overflow"),
        (400, None, "Your request exceeded model token limit: 8192", "context_overflow"),
        (400, None, "context window exceeds limit (2013)", "context_overflow"),
        (400, None, "max_tokens must be at least 1, got -905.", "context_overflow"),
        (400, None, "The total number of tokens (5000) exceeds the model's limit (4096)", "context_overflow"),
        (400, None, "Sequence length 5000 exceeds max_seq_len 4096", "context_overflow"),
        (413, None, "payload too large", "context_overflow"),
        (404, None, "no such page", "unknown_model"),
        (500, None, "the context was lost", "server_error"),
    ],
)
def test_errors_are_told_apart_by_status_code_and_words(status: int, code: str | None, message: str, kind: str) -> None:
    assert kind_of(status, Complaint(message, frozenset({code} if code else ()))) == kind
