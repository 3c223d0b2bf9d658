"""The reply cache: the very same request or nothing, whoever else writes, and whatever the file is."""

from __future__ import annotations

import copy
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chatir.errors import InputError
from chatir.models import reply_cache
from chatir.models.reply_cache import ReplyCache

KEY: dict[str, Any] = {
    "backend": "chat",
    "base_url": "http://127.0.0.1/v1",
    "model": "small",
    "temperature": 0.0,
    "seed": 7,
    "stop": None,
    "extra": {"top_k": [1, 2]},
    "messages": [{"role": "system", "content": "Ask!"}, {"role": "user", "content": "Caption: a cat"}],
}
VALUE = {"text": "is it black?", "cut": False, "tokens_in": 12, "tokens_out": 5}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replies.cache"


def rows(path: Path, sql: str = "SELECT * FROM replies") -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def test_a_value_comes_back_under_its_key_also_from_a_later_process(path: Path) -> None:
    with closing(ReplyCache(path)) as cache:
        assert cache.get(KEY) is None
        cache.put(KEY, VALUE)
        assert cache.get(KEY) == VALUE
    code = (
        "from pathlib import Path; from chatir.models.reply_cache import ReplyCache;"
        f"print(ReplyCache(Path({str(path)!r})).get({KEY!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == repr(VALUE)


def test_the_order_of_a_key_s_parts_does_not_matter(path: Path) -> None:
    with closing(ReplyCache(path)) as cache:
        cache.put(KEY, VALUE)
        shuffled = dict(reversed(KEY.items())) | {
            "messages": [dict(reversed(message.items())) for message in KEY["messages"]]
        }
        assert cache.get(shuffled) == VALUE


def changed(where: str) -> dict[str, Any]:
    key = copy.deepcopy(KEY)
    exec(where, {}, {"key": key})  # the tests below are its only source
    return key


@pytest.mark.parametrize(
    "where",
    [
        "key['backend'] = 'transformers'",
        "key['base_url'] += '/'",
        "key['model'] = 'Small'",
        "key['temperature'] = 0.1",
        "key['temperature'] = None",
        "del key['temperature']",
        "key['seed'] = 8",
        "key['seed'] = '7'",
        "key['stop'] = False",
        "del key['stop']",
        "key['extra']['top_k'] = [2, 1]",
        "key['extra']['top_k'] = [[1, 2]]",
        "key['extra'] = {}",
        "key['more'] = None",
        "key['messages'].reverse()",
        "key['messages'][1]['role'] = 'system'",
        "key['messages'][1]['content'] += ' '",
        "key['messages'][1]['content'] = 'Caption: a c\\u00e2t'",
        "key['messages'].pop()",
        "key['messages'].append({'role': 'user', 'content': ''})",
    ],
)
def test_any_difference_in_any_part_misses(path: Path, where: str) -> None:
    with closing(ReplyCache(path)) as cache:
        cache.put(KEY, VALUE)
        assert cache.get(changed(where)) is None
        cache.put(changed(where), {"text": "another"})
        assert cache.get(KEY) == VALUE


def test_a_later_value_takes_the_place_of_an_older_one(path: Path) -> None:
    with closing(ReplyCache(path)) as cache:
        cache.put(KEY, VALUE)
        cache.put(KEY, {"text": "another"})
        assert cache.get(KEY) == {"text": "another"}
        assert [model.replies for model in cache.models()] == [1]


@pytest.mark.parametrize("text", ["", "é \U0001f600 Ω", "a\0b", "half of a \ud83d pair", "quote \"'\\", "x" * 300_000])
def test_any_text_can_be_kept_as_key_and_value(path: Path, text: str) -> None:
    key = KEY | {"messages": [{"role": "user", "content": text}]}
    with closing(ReplyCache(path)) as cache:
        cache.put(key, {"text": text})
        assert cache.get(key) == {"text": text}
        assert cache.get(KEY) is None


def test_keys_and_values_are_json_that_anyone_can_read(path: Path) -> None:
    with closing(ReplyCache(path)) as cache:
        cache.put(KEY, VALUE)
    (found,) = rows(path, "SELECT backend, model, json_extract(key, '$.messages[1].content'), json(value) FROM replies")
    assert found == (
        "chat",
        "small",
        "Caption: a cat",
        '{"text":"is it black?","cut":false,"tokens_in":12,"tokens_out":5}',
    )
    ((kinds,),) = rows(path, "SELECT DISTINCT typeof(key) || typeof(value) || typeof(sha256) FROM replies")
    assert kinds == "texttexttext", "text, so nothing that could be unpickled"


def test_models_are_listed_by_backend_name_and_revision(path: Path) -> None:
    models = [
        "b",
        "a",
        {"id": "org/m", "revision": "0123456789abcdef"},
        {"id": "folder", "sha256": "f" * 64},
        {"id": "m"},
    ]
    with closing(ReplyCache(path)) as cache:
        for number, model in enumerate(models):
            cache.put(KEY | {"model": model, "seed": 1}, VALUE)
            cache.put(KEY | {"model": model, "seed": number + 2, "backend": "transformers"}, VALUE)
        listed = cache.models()
    names = ["a", "b", "folder@ffffffffffff", "m", "org/m@0123456789ab"]
    assert [(each.backend, each.model) for each in listed] == [
        (backend, name) for backend in ("chat", "transformers") for name in names
    ]
    assert all(each.replies == 1 and each.size > 300 for each in listed)


def aged(path: Path, **days: float) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        for model, age in days.items():
            db.execute("UPDATE replies SET used = ? WHERE model = ?", (time.time() - age * 86_400, model))


@pytest.fixture
def three(path: Path) -> Path:
    """Replies of three models, used 0, 10 and 100 days ago."""
    with closing(ReplyCache(path)) as cache:
        for model in ("new", "old", "older"):
            cache.put(KEY | {"model": model}, VALUE)
    aged(path, old=10, older=100)
    return path


@pytest.mark.parametrize(
    ("what", "left"),
    [
        ({}, set()),
        ({"unused_days": 0}, set()),
        ({"unused_days": 9}, {"new"}),
        ({"unused_days": 11}, {"new", "old"}),
        ({"unused_days": 1e300}, {"new", "old", "older"}),
        ({"unused_days": float("inf")}, {"new", "old", "older"}),
        ({"model": "old"}, {"new", "older"}),
        ({"model": "nobody"}, {"new", "old", "older"}),
        ({"unused_days": 11, "model": "old"}, {"new", "old", "older"}),
        ({"unused_days": 9, "model": "old"}, {"new", "older"}),
    ],
)
def test_pruning_forgets_what_it_says_and_no_more(three: Path, what: dict[str, Any], left: set[str]) -> None:
    with closing(ReplyCache(three)) as cache:
        assert cache.prune(**what) == 3 - len(left)
        assert {each.model for each in cache.models()} == left


def test_a_reply_that_is_used_again_is_young_again(three: Path) -> None:
    with closing(ReplyCache(three)) as cache:
        assert cache.get(KEY | {"model": "older"}) == VALUE
        assert cache.prune(unused_days=9) == 1
        assert {each.model for each in cache.models()} == {"new", "older"}


@pytest.mark.parametrize("days", [-1, float("nan")])
def test_an_age_that_is_none_is_refused(three: Path, days: float) -> None:
    with closing(ReplyCache(three)) as cache:
        with pytest.raises(InputError, match="must be at least 0"):
            cache.prune(unused_days=days)
        assert len(cache.models()) == 3


def test_pruning_gives_the_room_back_though_others_have_the_file_open(path: Path) -> None:
    with closing(ReplyCache(path)) as cache, closing(ReplyCache(path)) as other:
        for seed in range(50):
            cache.put(KEY | {"seed": seed}, {"text": "x" * 10_000})
        assert other.prune() == 50
        assert cache.get(KEY | {"seed": 3}) is None
        cache.put(KEY, VALUE)
    assert path.stat().st_size < 50_000
    assert len(rows(path)) == 1


WRITER = """
import sys, time
from pathlib import Path
from chatir.models.reply_cache import ReplyCache
path, who, count, begin = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
time.sleep(max(0, begin - time.time()))
cache = ReplyCache(path)
for n in range(count):
    cache.put({"backend": "chat", "model": "shared", "seed": n}, {"text": f"question {n}"})
    cache.put({"backend": "chat", "model": who, "seed": n}, {"text": f"{who} {n}"})
    assert cache.get({"backend": "chat", "model": who, "seed": n}) == {"text": f"{who} {n}"}
    if n == 20:
        print("writing", flush=True)
"""


def writer(path: Path, who: str, count: int, begin: float = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), who, str(count), str(begin)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_that_make_and_fill_one_file_at_once_lose_nothing(path: Path) -> None:
    begin = time.time() + 1.5
    processes = [writer(path, f"writer{number}", 200, begin) for number in range(4)]
    for process in processes:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
    with closing(ReplyCache(path)) as cache:
        assert {each.model: each.replies for each in cache.models()} == {
            "shared": 200,
            **{f"writer{number}": 200 for number in range(4)},
        }
        for number in range(4):
            who = f"writer{number}"
            assert all(
                cache.get({"backend": "chat", "model": who, "seed": n}) == {"text": f"{who} {n}"} for n in range(200)
            )


def test_threads_that_share_a_cache_lose_nothing(path: Path) -> None:
    troubles: list[BaseException] = []
    with closing(ReplyCache(path)) as cache:

        def fill(who: str) -> None:
            try:
                for n in range(200):
                    cache.put(KEY | {"model": who, "seed": n}, {"text": f"{who} {n}"})
                    assert cache.get(KEY | {"model": who, "seed": n}) == {"text": f"{who} {n}"}
            except BaseException as error:
                troubles.append(error)

        threads = [threading.Thread(target=fill, args=(f"thread{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not troubles
        assert [each.replies for each in cache.models()] == [200] * 4


@pytest.mark.parametrize("attempt", range(8))
def test_many_opening_one_new_file_at_the_same_moment_all_get_it(path: Path, attempt: int) -> None:
    troubles: list[BaseException] = []
    together = threading.Barrier(8)

    def open_it(number: int) -> None:
        together.wait()
        try:
            with closing(ReplyCache(path)) as cache:
                cache.put(KEY | {"seed": number}, VALUE)
        except BaseException as error:
            troubles.append(error)

    threads = [threading.Thread(target=open_it, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not troubles
    assert len(rows(path)) == 8


def test_a_killed_writer_leaves_a_file_that_opens_with_all_that_it_kept(path: Path) -> None:
    for turn in range(3):
        process = writer(path, f"killed{turn}", 1_000_000)
        assert process.stdout
        assert process.stdout.readline() == "writing\n"
        time.sleep(0.03 * turn)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=20)
        with closing(ReplyCache(path)) as cache:
            kept = {each.model: each.replies for each in cache.models()}[f"killed{turn}"]
            assert kept >= 20
            key = {"backend": "chat", "model": f"killed{turn}", "seed": kept - 1}
            assert cache.get(key) == {"text": f"killed{turn} {kept - 1}"}
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def filled(path: Path) -> None:
    with closing(ReplyCache(path)) as cache:
        for seed in range(100):
            cache.put(KEY | {"seed": seed}, VALUE)


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE mine (thing)")


def foreign_of_an_application(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript("PRAGMA application_id = 1; PRAGMA journal_mode = WAL; CREATE TABLE replies (thing)")


def newer(path: Path) -> None:
    filled(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")


def damaged(path: Path) -> None:
    filled(path)
    content = bytearray(path.read_bytes())
    content[4096 : 4 * 4096] = os.urandom(3 * 4096)
    path.write_bytes(content)


def cut(length: int) -> Callable[[Path], None]:
    def cut_file(path: Path) -> None:
        filled(path)
        path.write_bytes(path.read_bytes()[:length])

    return cut_file


STRANGERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a database of another program": (foreign, "is not a reply cache"),
    "a database that names its program": (foreign_of_an_application, "is not a reply cache"),
    "text": (lambda path: path.write_text("my notes"), "is not a reply cache"),
    "long text": (lambda path: path.write_text("my notes" * 1000), "is not a reply cache"),
    "a directory": (lambda path: path.mkdir(), "is a directory"),
    "a pipe": (os.mkfifo, "is a pipe or a device"),
    "cut within its header": (cut(50), "is not a reply cache"),
    "cut after some pages": (cut(3 * 4096), "the reply cache"),
    "damaged": (damaged, "the reply cache"),
    "of a later chatir": (newer, "is a reply cache of format 99; this chatir reads 1"),
}


def snapshot(folder: Path) -> dict[str, tuple[bytes | None, int]]:
    return {
        file.name: (file.read_bytes() if file.is_file() else None, file.stat().st_mtime_ns) for file in folder.iterdir()
    }


@pytest.mark.timeout(30)
@pytest.mark.parametrize(("write", "told"), STRANGERS.values(), ids=STRANGERS)
@pytest.mark.parametrize("create", [True, False])
def test_what_is_no_whole_reply_cache_is_refused_unchanged(
    path: Path, write: Callable[[Path], object], told: str, create: bool
) -> None:
    write(path)
    before = snapshot(path.parent)
    with pytest.raises(InputError) as refused:
        ReplyCache(path, create=create)
    assert str(refused.value).startswith(f"{path}: {told}")
    assert len(str(refused.value).splitlines()) == 1
    assert snapshot(path.parent) == before


def test_an_empty_file_may_become_a_cache_but_not_by_looking_at_it(path: Path) -> None:
    path.touch()
    with pytest.raises(InputError, match="is not a reply cache"):
        ReplyCache(path, create=False)
    assert path.read_bytes() == b""
    with closing(ReplyCache(path)) as cache:
        cache.put(KEY, VALUE)
    assert len(rows(path)) == 1


def test_a_cache_that_is_not_there_is_made_with_its_folders_only_where_that_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "replies.cache"
    with pytest.raises(InputError, match="there is no such reply cache"):
        ReplyCache(path, create=False)
    assert not (tmp_path / "a").exists()
    ReplyCache(path).close()
    ReplyCache(path, create=False).close()
    below = path / "deeper.cache"
    with pytest.raises(InputError, match=r"b/replies\.cache"):
        ReplyCache(below)


@pytest.mark.parametrize("damage", ["value = '[not json'", "value = '[]'", "value = x'00ff'", "key = '{}'"])
def test_a_damaged_entry_is_a_miss_and_can_be_kept_again(path: Path, damage: str) -> None:
    with closing(ReplyCache(path)) as cache:
        cache.put(KEY, VALUE)
        with closing(sqlite3.connect(path)) as other, other:
            other.execute(f"UPDATE replies SET {damage}")
        assert cache.get(KEY) is None
        cache.put(KEY, VALUE)
        assert cache.get(KEY) == VALUE


def test_the_log_of_a_removed_cache_does_not_flow_into_the_next_one(path: Path) -> None:
    process = writer(path, "first", 100_000)
    assert process.stdout
    assert process.stdout.readline() == "writing\n"
    process.kill()
    process.communicate()
    path.unlink()
    noted: list[str] = []
    with closing(ReplyCache(path, note=noted.append)) as cache:
        assert cache.models() == []
    assert [line.split(": ")[1] for line in noted][:1] == [
        "is left over from a removed replies.cache; renamed to replies.cache-wal.old1, not used"
    ]


def test_what_goes_wrong_later_is_one_line_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply_cache, "BUSY_SECONDS", 0.05)
    cache = ReplyCache(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InputError, match=r"replies\.cache: the reply cache cannot be used: database is locked"):
            cache.put(KEY, VALUE)
    cache.close()
    with pytest.raises(InputError, match="closed"):
        cache.get(KEY)
