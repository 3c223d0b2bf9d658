"""`chatir cache`, as a user types it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from chatir.cli import run
from chatir.models.reply_cache import ReplyCache

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    monkeypatch.chdir(tmp_path)

    def type_in(*arguments: str) -> tuple[int, str, str]:
        code = run(("cache", *arguments))
        return code, *capsys.readouterr()

    return type_in


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Replies of `small` (two, one of them not used for a month) and of `large`."""
    path = tmp_path / "replies.cache"
    with closing(ReplyCache(path)) as cache:
        for model, seed in (("small", 0), ("small", 1), ("large", 0)):
            cache.put({"backend": "chat", "model": model, "seed": seed}, {"text": "x" * 250_000})
    with closing(sqlite3.connect(path)) as db, db:
        old = "UPDATE replies SET used = ? WHERE model = 'small' AND json_extract(key, '$.seed') = 0"
        db.execute(old, (time.time() - 30 * 86_400,))
    return str(path)


def test_list_shows_replies_and_room_by_model(typed: Typed, file: str, tmp_path: Path) -> None:
    code, out, error = typed("list", file)
    assert (code, error) == (0, "")
    assert [line.split() for line in out.splitlines()] == [
        ["1", "replies", "0.3", "MB", "chat", "large"],
        ["2", "replies", "0.5", "MB", "chat", "small"],
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["replies.cache"], "it was closed"


def test_prune_forgets_by_age_or_by_model(typed: Typed, file: str) -> None:
    assert typed("prune", file, "--model", "medium") == (0, "0 replies forgotten\n", "")
    assert typed("prune", file, "--unused-days", "31") == (0, "0 replies forgotten\n", "")
    assert typed("prune", file, "--unused-days", "29.5", "--model", "large") == (0, "0 replies forgotten\n", "")
    assert typed("prune", file, "--unused-days", "29.5") == (0, "1 replies forgotten\n", "")
    assert typed("prune", file, "--model", "small") == (0, "1 replies forgotten\n", "")
    assert [line.split()[-1] for line in typed("list", file)[1].splitlines()] == ["large"]


def test_clear_forgets_all_and_gives_the_room_back(typed: Typed, file: str, tmp_path: Path) -> None:
    assert typed("clear", file) == (0, "3 replies forgotten\n", "")
    assert typed("list", file) == (0, "empty\n", "")
    assert Path(file).stat().st_size < 50_000
    assert [path.name for path in tmp_path.iterdir()] == ["replies.cache"]


WRONG: dict[str, tuple[list[str], str]] = {
    "prune of everything": (["prune", "replies.cache"], "give --unused-days or --model; 'chatir cache clear'"),
    "prune by a negative age": (["prune", "replies.cache", "--unused-days", "-1"], "-1"),
    "prune by no number": (["prune", "replies.cache", "--unused-days", "nan"], "must be at least 0"),
    "prune by a word": (["prune", "replies.cache", "--unused-days", "old"], "'old' is not a valid float"),
    "list of no file": (["list"], "Missing argument 'FILE'"),
    "list of a missing file": (["list", "no.cache"], "no.cache: there is no such reply cache"),
    "prune of a missing file": (["prune", "no.cache", "--model", "m"], "no.cache: there is no such reply cache"),
    "clear of a missing file": (["clear", "no.cache"], "no.cache: there is no such reply cache"),
    "clear of text": (["clear", "notes.txt"], "notes.txt: is not a reply cache"),
    "list of an empty file": (["list", "empty"], "empty: is not a reply cache"),
    "clear of a directory": (["clear", "."], ".: is a directory"),
    "an unknown command": (["fill", "replies.cache"], "No such command 'fill'"),
}


@pytest.mark.parametrize(("arguments", "told"), WRONG.values(), ids=WRONG)
def test_wrong_use_is_one_line_and_changes_nothing(typed: Typed, file: str, arguments: list[str], told: str) -> None:
    Path("notes.txt").write_text("my notes")
    Path("empty").touch()
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    code, out, error = typed(*arguments)
    assert (code, out) == (2, "")
    assert told in error
    assert len(error.splitlines()) == 1
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before
