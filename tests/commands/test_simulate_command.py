"""`chatir simulate` with a cost limit, several seeds, a dry run and a reply cache, as a user types it."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from players import install, query, said

from chatir import Dialog
from chatir.cli import run
from chatir.models.reply_cache import ReplyCache
from chatir.simulate import read_dialogs, write_dialogs

Typed = Callable[..., tuple[int, str, str]]

PLAYERS = '''
from pathlib import Path
from pydantic import BaseModel
from chatir import Reply
from chatir.plugins import Context

class Options(BaseModel):
    price: float | None = 0.5
    fails: int | None = None

class Paid:
    """Its questions show the seed."""
    name = "Paid"
    def __init__(self, options: Options, context: Context):
        self.options, self.cache = options, context.cache
    def ask(self, dialogs):
        return [self.one(dialog) for dialog in dialogs]
    def one(self, dialog):
        Path("called").touch()
        if self.cache is not None:
            key = {"backend": "test", "model": "paid", "id": dialog.id, "seed": dialog.seed}
            if (known := self.cache.get(key)) is not None:
                return Reply(known["text"], cost=0.0)
        if self.options.fails is not None and dialog.image.startswith(str(self.options.fails)):
            return Reply.failed("server", "fell over")
        text = f"is it number {dialog.seed % 1000}?"
        if self.cache is not None:
            self.cache.put(key, {"text": text})
        return Reply(text, cost=self.options.price)
    def max_cost(self, dialog):
        return self.options.price

class Yes:
    def answer(self, dialogs, questions):
        return [Reply("yes") for _ in dialogs]
    def max_cost(self, dialog, question):
        return 0.0
'''


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Type a command in a folder with four targets and a questioner `paid`, registered as any other."""
    install(tmp_path / "site", "paid_questioner", PLAYERS, questioners="paid = Paid", answerers="yes = Yes")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CHATIR_DATA", str(tmp_path / "data"))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    talk = said("is it? no", "is it big? yes")
    write_dialogs(Path("t.json"), [Dialog(f"{n}.jpg", f"cat {n}", talk) for n in range(4)])

    def type_in(*arguments: str) -> tuple[int, str, str]:
        code = run(("simulate", *arguments))
        return code, *capsys.readouterr()

    return type_in


PAID = ("--questioner", "paid", "--answerer", "yes", "--targets", "t.json", "--rounds", "2")
CHATGPT = ("--questioner", "chatgpt", "--answerer", "yes", "--targets", "t.json", "--rounds", "2")


def files() -> set[str]:
    return {str(path) for path in Path().rglob("*") if path.is_file()} - {"called", "t.json"}


def spent(run_file: str) -> float:
    ((cost,),) = query(Path(run_file), "SELECT total(cost) FROM replies")
    return float(cost)


def test_a_cost_limit_exits_3_with_one_line_that_says_how_to_go_on(typed: Typed) -> None:
    assert typed(*PAID, "--out", "whole.json")[0] == 0
    for _ in range(2):
        code, out, error = typed(*PAID, "--out", "x.json", "--cost-limit", "1.7")
        assert (code, out) == (3, "")
        assert error.startswith(
            "chatir: stopped: the next reply may cost up to $0.5, which could pass the cost limit of $1.7"
        )
        assert "the same command with a higher --cost-limit goes on" in error
        assert "saved in x.run" in error
        assert len(error.splitlines()) == 1
        assert spent("x.run") == 1.5
        assert not Path("x.json").exists()
    code, _, error = typed(*PAID, "--out", "x.json", "--cost-limit", "4")
    assert (code, error) == (0, "")
    assert Path("x.json").read_bytes() == Path("whole.json").read_bytes()


@pytest.mark.parametrize("limit", ["0", "-1", "nan", "few"])
def test_a_cost_limit_that_is_none_is_wrong_use(typed: Typed, limit: str) -> None:
    code, out, error = typed(*PAID, "--cost-limit", limit)
    assert (code, out) == (2, "")
    assert limit in error
    assert len(error.splitlines()) == 1
    assert not files()


def test_a_cost_limit_for_a_player_without_a_price_is_wrong_use(typed: Typed) -> None:
    code, _, error = typed(*PAID, "-q", "price=none", "--cost-limit", "4")
    assert code == 2
    assert "Paid: its price is unknown" in error
    assert "price_in and price_out" in error
    assert len(error.splitlines()) == 1
    assert not Path("called").exists()


def test_several_seeds_make_a_run_each_as_each_seed_alone_would(typed: Typed) -> None:
    code, out, error = typed(*PAID, "--seed", "0,1,2")
    assert (code, error) == (0, "")
    assert [line for line in out.splitlines() if line.endswith(".json")] == [
        f"outputs/Paid_Yes_rounds=2_seed{seed}.json" for seed in range(3)
    ]
    assert files() == {f"outputs/Paid_Yes_rounds=2_seed{seed}.{end}" for seed in range(3) for end in ("json", "run")}
    contents = []
    for seed in range(3):
        assert typed(*PAID, "--seed", str(seed), "--out", f"alone{seed}.json")[0] == 0
        contents.append(Path(f"outputs/Paid_Yes_rounds=2_seed{seed}.json").read_bytes())
        assert Path(f"alone{seed}.json").read_bytes() == contents[-1]
    assert len(set(contents)) == 3
    before = {name: Path(name).read_bytes() for name in files()}
    assert typed(*PAID, "--seed", "2,0,1")[2].count("this run was complete") == 3
    assert {name: Path(name).read_bytes() for name in files() if name.endswith("json")} == {
        name: content for name, content in before.items() if name.endswith("json")
    }


def test_seeds_typed_again_go_on_where_they_stopped(typed: Typed) -> None:
    command = (*PAID, "--seed", "5,6", "--out", "x.json")
    assert typed(*command, "--cost-limit", "2.2")[0] == 3
    assert files() == {"x_seed5.run"}
    assert typed(*command, "--cost-limit", "4.2")[0] == 0, "each run has the limit to itself"
    assert (spent("x_seed5.run"), spent("x_seed6.run")) == (4.0, 4.0)
    assert typed(*PAID, "--seed", "5", "--out", "alone.json")[0] == 0
    assert Path("alone.json").read_bytes() == Path("x_seed5.json").read_bytes()


def test_a_single_seed_does_not_change_the_name(typed: Typed) -> None:
    assert typed(*PAID, "--seed", "-3", "--out", "x.json")[0] == 0
    assert files() == {"x.json", "x.run"}


def test_seeds_come_from_the_environment_too(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATIR_SIMULATE_SEED", "3,4")
    assert typed(*PAID, "--out", "x.json")[0] == 0
    assert files() == {f"x_seed{seed}.{end}" for seed in (3, 4) for end in ("json", "run")}


@pytest.mark.parametrize("seeds", ["1,1", "1,2,01", "a", "", ",", "1,", "1;2", "1.5", "0x1"])
@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_seeds_that_are_none_are_wrong_use(typed: Typed, seeds: str, more: tuple[str, ...]) -> None:
    code, out, error = typed(*PAID, "--seed", seeds, *more)
    assert (code, out) == (2, "")
    assert "Invalid value for '--seed'" in error
    assert len(error.splitlines()) == 1
    assert not files()


def test_targets_that_a_later_seed_would_overwrite_are_seen_before_the_first(typed: Typed) -> None:
    Path("t.json").rename("x_seed1.json")
    command = [*PAID, "--seed", "0,1", "--out", "x.json"]
    command[command.index("t.json")] = "x_seed1.json"
    code, _, error = typed(*command)
    assert code == 2
    assert "x_seed1.json: holds the targets" in error
    assert files() == {"x_seed1.json"}


def test_failed_dialogs_of_any_seed_exit_1(typed: Typed) -> None:
    code, out, error = typed(*PAID, "-q", "fails=2", "--seed", "0,1", "--out", "x.json")
    assert code == 1
    assert error.splitlines()[-1].startswith("chatir: 2 dialogs failed and are left out; the same command tries them")
    assert error.count("failed: 2.jpg: question of round 1: server: fell over") == 2
    assert out.count("3 with 6 rounds") == 2
    code, _, error = typed(*PAID, "--seed", "0,1", "--out", "x.json")
    assert (code, error) == (0, ""), "options that fix nothing may change; what failed was tried again"
    assert len(read_dialogs("x_seed1.json")) == 4


def test_a_dry_run_tells_on_stdout_and_calls_and_makes_nothing(typed: Typed) -> None:
    code, out, error = typed(*PAID, "--dry-run", "--cache", "replies.cache")
    assert (code, error) == (0, "")
    assert out.splitlines() == [
        "outputs/Paid_Yes_rounds=2.json: 4 dialogs",
        "  Paid asks    8 calls, tokens unknown, cost unknown",
        "  Yes answers  8 calls, tokens unknown, cost unknown",
    ]
    assert not files()
    assert not Path("called").exists()


def test_a_dry_run_of_chatgpt_needs_no_key_and_tells_dollars(typed: Typed) -> None:
    code, out, error = typed(*CHATGPT, "--dry-run")
    assert code == 0
    assert error == "chatir: https://api.openai.com/v1 wants a key: put it into the environment, as OPENAI_API_KEY\n"
    assert re.search(r"ChatGPT asks +8 calls, about [\d,]+ tokens in \+ 96 out, about \$0\.\d+\n", out)
    assert not files()
    code, out, error = typed(*CHATGPT, "--dry-run", "-q", "base_url=http://127.0.0.1:9/v1")
    assert (code, error) == (0, "")
    assert re.search(r"ChatGPT asks +8 calls, about [\d,]+ tokens in \+ 96 out, cost unknown\n", out)
    prices = ("-q", "price_in=1000000", "-q", "price_out=0")
    tokens = int(re.search(r"about ([\d,]+) tokens in", out)[1].replace(",", ""))  # type: ignore[index]
    out = typed(*CHATGPT, "--dry-run", "-q", "base_url=http://127.0.0.1:9/v1", *prices)[1]
    assert f"about ${tokens}.00\n" in out


def test_a_dry_run_counts_what_is_left_of_each_seed(typed: Typed) -> None:
    assert typed(*PAID, "--seed", "1", "--out", "x_seed1.json", "--limit", "3")[0] == 0
    before = {name: Path(name).read_bytes() for name in files()}
    code, out, error = typed(*PAID, "--seed", "0,1", "--out", "x.json", "--dry-run")
    assert (code, error) == (0, "")
    first, second = out.split("x_seed1.json: ")
    assert first.startswith("x_seed0.json: 4 dialogs\n")
    assert "Paid asks    8 calls" in first
    assert second.startswith("4 dialogs, 3 of them done\n")
    assert "Paid asks    2 calls" in second
    assert {name: Path(name).read_bytes() for name in files()} == before


def test_a_dry_run_refuses_another_configuration_as_the_run_would(typed: Typed) -> None:
    assert typed(*PAID, "--out", "x.json")[0] == 0
    other = (*PAID, "--out", "x.json", "--seed", "4")
    refused = typed(*other)
    assert refused[0] == 2
    assert "was made with another configuration (seed: 0 there, 4 now)" in refused[2]
    assert typed(*other, "--dry-run") == refused


def test_what_the_cache_knows_is_not_paid_for_again(typed: Typed) -> None:
    assert typed(*PAID, "--out", "a.json", "--cache", "r.cache")[0] == 0
    assert typed(*PAID, "--out", "b.json", "--cache", "r.cache", "--cost-limit", "0.5")[0] == 0
    assert (spent("a.run"), spent("b.run")) == (4.0, 0.0)
    assert Path("a.json").read_bytes() == Path("b.json").read_bytes()
    with closing(ReplyCache(Path("r.cache"), create=False)) as cache:
        assert [(each.model, each.replies) for each in cache.models()] == [("paid", 8)]


def test_a_file_that_is_no_cache_is_refused_before_the_run(typed: Typed) -> None:
    Path("notes.txt").write_text("my notes")
    code, _, error = typed(*PAID, "--cache", "notes.txt")
    assert code == 2
    assert "notes.txt: is not a reply cache" in error
    assert len(error.splitlines()) == 1
    assert files() == {"notes.txt"}
