"""What a chat completion says: finish reasons of all servers, content in parts, silence, the model that replied."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatir.models.chat.oddities import same_model
from chatir.models.chat.replies import ending, parsed_reply, spoken
from chatir.models.chat.transport.retry import RequestError

ENDINGS = {
    "done": ["stop", "STOP", "end_turn", "eos_token", "COMPLETE", "tool_calls", "stop_sequence", "Completed"],
    "cut": ["length", "MAX_TOKENS", "max_output_tokens", "model_length", "ERROR_LIMIT", "context_window_exceeded"],
    "refused": [
        "content_filter", "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "refusal",
        "ERROR_TOXIC", "sensitive", "guardrail_intervened", "content_filter: PROHIBITED_CONTENT",
        "data_inspection_failed", "MODEL_ARMOR", "policy_violation", "blocked", "moderation",
    ],
    "failed": [
        "error", "ERROR", "abort", "network_error", "insufficient_system_resource", "cancelled", "timeout",
        "internal_error", "MALFORMED_RESPONSE",
    ],
    "unknown": ["repetition_detected", "OTHER", "LANGUAGE", "unspecified", "eot_id", "17"],
}  # fmt: skip
PREFIXES = ("", "FinishReason.", "FINISH_REASON_", "finish_reason: ", "types.FinishReason.", "finishReason")


def body(content: Any = "two", finish: Any = "stop", **more: Any) -> bytes:
    message = {"role": "assistant", "content": content} | more.pop("message", {})
    return json.dumps({"model": "m", "choices": [{"message": message, "finish_reason": finish, **more}]}).encode()


def failure(**reply: Any) -> str:
    with pytest.raises(RequestError) as raised:
        spoken(parsed_reply(body(**reply)))
    return raised.value.kind


@given(
    st.sampled_from([(kind, reason) for kind, reasons in ENDINGS.items() for reason in reasons]),
    st.sampled_from(PREFIXES),
    st.sampled_from([str, str.lower, str.upper, str.title]),
)
def test_a_finish_reason_means_the_same_in_any_case_and_with_any_prefix(
    case: tuple[str, str], prefix: str, form: Any
) -> None:
    kind, reason = case
    assert ending(prefix + form(reason)) == kind


@pytest.mark.parametrize("nothing", [None, "", "null", " "])
def test_no_finish_reason_is_an_ordinary_end(nothing: str | None) -> None:
    assert not spoken(parsed_reply(body(finish=nothing))).cut


@given(st.sampled_from(ENDINGS["refused"] + ENDINGS["failed"]), st.sampled_from(["two", "", "a man in a"]))
def test_a_failed_ending_is_no_success_whatever_the_text(reason: str, text: str) -> None:
    assert failure(content=text, finish=reason) == ("refused" if reason in ENDINGS["refused"] else "server_error")


@given(st.sampled_from(ENDINGS["unknown"]))
def test_a_text_with_an_unknown_ending_is_used_and_marked(reason: str) -> None:
    said = spoken(parsed_reply(body(finish=reason)))
    assert (said.text, said.cut, said.unknown_ending) == ("two", False, reason)
    assert failure(content="", finish=reason) == "empty_reply"


def test_a_finish_reason_may_be_a_number() -> None:
    assert spoken(parsed_reply(body(finish=17))).unknown_ending == "17"


PART = {"type": "text", "text": "two"}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([PART], "two"),
        (PART, "two"),
        (["two"], "two"),
        ([{"type": "text", "text": "two "}, {"type": "output_text", "text": "boats"}], "two boats"),
        ([{"type": "thinking", "thinking": [PART]}, {"type": "text", "text": "three"}], "three"),
        ([{"type": "reasoning", "text": "hm"}, {"type": "thinking", "text": "hm"}, PART], "two"),
        ([{"type": "image_url", "image_url": {"url": "x"}}, PART, {"type": "text", "text": None}], "two"),
        ([{"text": "two"}], "two"),
        ([{"type": "text", "text": "I count.", "thought": True}, PART], "two"),
    ],
)
def test_content_in_parts_is_its_texts_without_its_thoughts(content: Any, text: str) -> None:
    assert spoken(parsed_reply(body(content))).text == text


@pytest.mark.parametrize(
    ("reply", "kind", "told"),
    [
        ({"content": ""}, "empty_reply", "the reply is empty"),
        ({"content": None, "message": {"reasoning": "hm"}}, "empty_reply", "the text is in `reasoning`: turn thinking"),
        ({"content": "", "message": {"reasoning_content": "hm"}}, "empty_reply", "`reasoning_content`"),
        ({"content": [{"type": "thinking", "thinking": [PART]}]}, "empty_reply", "parts of the content"),
        ({"content": "", "finish": "length", "message": {"reasoning": "hm"}}, "cut_off", "in `reasoning` before"),
        ({"content": None, "message": {"tool_calls": [{"id": "1"}]}}, "empty_reply", "calls tools"),
        ({"content": [{"type": "refusal", "refusal": "No."}]}, "refused", "the model refused: No."),
        ({"content": "two", "error": {"code": 502, "message": "gone"}}, "server_error", "502: gone"),
        ({"content": "two", "error": {"code": 403, "message": "your input was flagged"}}, "refused", "flagged"),
        ({"content": 2}, "broken_reply", "choices.0.message.content"),
        (
            {"content": "a man in a", "message": {"error": {"code": 502, "message": "gone"}}},
            "server_error",
            "502: gone",
        ),
        ({"content": "Let me look.", "message": {"tool_calls": [{"id": "1"}]}}, "empty_reply", "calls tools"),
        ({"content": "a man in a", "native_finish_reason": "SAFETY"}, "refused", "SAFETY"),
    ],
)
def test_what_is_not_said_is_told_apart(reply: dict[str, Any], kind: str, told: str) -> None:
    with pytest.raises(RequestError) as raised:
        spoken(parsed_reply(body(**reply)))
    assert raised.value.kind == kind
    assert told in raised.value.message


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"code": 1113, "msg": "insufficient balance"}, "quota"),
        ({"success": False, "errors": [{"code": 10000, "message": "model is loading"}]}, "server_error"),
        ({"detail": "Not Found"}, "unknown_model"),
        ({"error": {"code": "rate_limit_exceeded", "message": "slow down"}}, "rate_limit"),
    ],
)
def test_an_error_without_choices_is_read_as_one(told: dict[str, Any], kind: str) -> None:
    with pytest.raises(RequestError) as raised:
        parsed_reply(json.dumps(told).encode())
    assert raised.value.kind == kind


@pytest.mark.parametrize("fine", ["ok", {"code": "0", "message": "success"}, {}, None])
def test_an_error_that_is_none_leaves_a_reply_as_it_is(fine: Any) -> None:
    raw = json.loads(body()) | {"error": fine}
    assert spoken(parsed_reply(json.dumps(raw).encode())).text == "two"


@pytest.mark.parametrize("role", ["ASSISTANT", "model", "bot", None])
def test_who_speaks_may_be_named_in_several_ways(role: str | None) -> None:
    assert spoken(parsed_reply(body(message={"role": role}))).text == "two"


@pytest.mark.parametrize("raw", [b"\xff\xfe", body() + b"\xff", b'{"choices": "\xe9"}', b"[" * 10_000, b"", b"null"])
def test_what_is_no_json_in_utf8_is_broken(raw: bytes) -> None:
    with pytest.raises(RequestError) as raised:
        parsed_reply(raw)
    assert raised.value.kind == "broken_reply"


@pytest.mark.parametrize("raw", [b"\xef\xbb\xbf" + body("zwei \u00fc"), body("zwei \u00fc")])
def test_a_byte_order_mark_does_not_count(raw: bytes) -> None:
    assert spoken(parsed_reply(raw)).text == "zwei \u00fc"


@pytest.mark.parametrize("count", [2**62, 10**9, -1, "5", 2.5, True, None])
def test_an_impossible_count_is_unknown(count: Any) -> None:
    reply = parsed_reply(
        json.dumps({"choices": [], "usage": {"prompt_tokens": count, "completion_tokens": 3}}).encode()
    )
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (None, 3)


@pytest.mark.parametrize(
    ("asked", "replied", "same"),
    [
        ("m", "m", True),
        ("gpt-4o-mini", "gpt-4o-mini-2024-07-18", True),
        ("openai/gpt-4o-mini", "gpt-4o-mini-2024-07-18", True),
        ("gpt-4o-2024-08-06", "gpt-4o", True),
        ("mistral-large-latest", "mistral-large-2411", True),
        ("claude-x-latest", "claude-x-20241022", True),
        ("llama3.2", "llama3.2:latest", True),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2.5-vl-7b-instruct", True),
        ("gemini-2.0-flash", "models/gemini-2.0-flash-001", True),
        ("/models/seer.gguf", "seer", True),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-11-20", False),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4o", "gpt-3.5-turbo-0125", False),
        ("llama3.2:1b", "llama3.2:3b", False),
        ("qwen2.5-7b", "qwen2.5-72b", False),
    ],
)
def test_a_dated_name_is_the_same_model_as_its_alias_and_no_other(asked: str, replied: str, same: bool) -> None:
    assert same_model(asked, replied) is same
