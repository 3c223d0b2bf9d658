"""Runs that are killed, interrupted, continued, refused and begun anew."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from players import Answering, Asking, query, question, targets

from chatir import Dialog, Reply
from chatir.errors import InputError
from chatir.run.runs import read_runs
from chatir.simulate import RunSummary, Targets, read_dialogs, simulate, write_dialogs
from chatir.simulate.dry_run import dry_run
from chatir.simulate.summary import summary_text

SCRIPT = Path(__file__).with_name("scripted_run.py")


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def started() -> Iterator[Start]:
    """Starts scripted runs, and ends what is left of them."""
    with ExitStack() as stack:

        def start(out: Path, count: int, rounds: int, speed: str, log: Path) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, str(SCRIPT), str(out), str(count), str(rounds), speed, str(log)],
                env=os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            return process

        yield start


def wait_for(log: Path, text: str) -> None:
    deadline = time.monotonic() + 20
    while text not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)


REQUESTS = {"question": "ask", "answer": "answer"}


def committed(run_file: Path) -> set[str]:
    """The requests that the run file holds a reply to, as the log writes them."""
    if not run_file.exists():
        return set()
    rows = query(run_file, "SELECT role, id, round FROM replies JOIN dialogs USING (position)")
    return {f"{REQUESTS[role]} {id_} {number - 1}" for role, id_, number in rows}


def built_upon(asked: Iterable[str]) -> set[str]:
    """The requests whose replies these ones build on: an answer on its question, a question on the answer before."""
    requests = [(role, id_, int(rounds)) for role, id_, rounds in map(str.split, asked)]
    questions = {f"ask {id_} {rounds}" for role, id_, rounds in requests if role == "answer"}
    return questions | {f"answer {id_} {rounds - 1}" for role, id_, rounds in requests if role == "ask" and rounds}


@pytest.mark.slow
@pytest.mark.parametrize(("speed", "count", "longest"), [("instant", 1500, 0.12), ("slow", 240, 0.09)])
def test_thirty_kills_change_nothing_and_nothing_committed_is_asked_again(
    tmp_path: Path, started: Start, speed: str, count: int, longest: float
) -> None:
    rounds, kills = 10, 0
    undisturbed, out, log = tmp_path / "undisturbed.json", tmp_path / "x.json", tmp_path / "log"
    assert started(undisturbed, count, rounds, speed, tmp_path / "other.log").wait(120) == 0

    moments = random.Random(7)
    while True:
        run_file = out.with_suffix(".run")
        known = committed(run_file)
        log.write_text("")
        process = started(out, count, rounds, speed, log)
        try:
            process.wait(moments.uniform(0, longest) if kills < 30 else 120)
        except subprocess.TimeoutExpired:
            process.kill()
        code = process.wait()
        assert code in (0, -signal.SIGKILL), process.stderr and process.stderr.read()
        asked = Counter(log.read_text().splitlines())
        assert not known & set(asked), "what is committed is never asked again"
        assert asked.total() == len(asked), "nor is anything asked twice in a session"
        assert not built_upon(asked) - committed(run_file), "a reply is committed before its dialog moves on"
        kills += code != 0
        if code == 0:
            assert out.read_bytes() == undisturbed.read_bytes()
            if kills >= 30:
                break
            for file in (out, run_file):  # done before it could be killed again: from the beginning
                file.unlink()
    assert not list(tmp_path.glob("*-wal"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_everything_and_exits_130(tmp_path: Path, started: Start, number: signal.Signals) -> None:
    out, log = tmp_path / "x.json", tmp_path / "log"
    process = started(out, 2000, 10, "slow", log)
    wait_for(log, "answer")
    process.send_signal(number)
    assert process.wait(30) == 130
    told = process.stderr.read() if process.stderr else ""
    assert told.startswith("interrupted: ")
    assert "the same command goes on" in told
    assert len(told.splitlines()) == 1
    assert not out.exists()
    asked = Counter(log.read_text().splitlines())
    saved = query(tmp_path / "x.run", "SELECT count(*) FROM replies")
    assert saved == [(asked.total(),)], "what was under way is saved"
    process = started(out, 2000, 10, "slow", log)
    assert process.wait(120) == 0
    assert Counter(log.read_text().splitlines()).most_common(1)[0][1] == 1, "nothing was asked twice"


def test_a_closed_terminal_saves_everything(tmp_path: Path) -> None:
    out, log = tmp_path / "x.json", tmp_path / "log"
    log.touch()
    child, terminal = os.forkpty()
    if not child:
        os.environ["PYTHONPATH"] = str(SCRIPT.parents[1])
        os.execv(sys.executable, [sys.executable, str(SCRIPT), str(out), "2000", "10", "slow", str(log)])
    wait_for(log, "answer")
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    asked = log.read_text().splitlines()
    assert query(tmp_path / "x.run", "SELECT count(*) FROM replies") == [(len(asked),)], "what was under way is saved"


def test_nohup_keeps_a_run_going_when_its_terminal_is_closed(tmp_path: Path) -> None:
    out, log = tmp_path / "x.json", tmp_path / "log"
    process = subprocess.Popen(
        ["nohup", sys.executable, str(SCRIPT), str(out), "60", "10", "slow", str(log)],
        env=os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    log.touch()
    wait_for(log, "answer")
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 0
    assert len(read_dialogs(out)) == 60


def test_a_second_signal_does_not_wait_for_a_player_that_hangs(tmp_path: Path, started: Start) -> None:
    process = started(tmp_path / "x.json", 3, 10, "hanging", tmp_path / "log")
    wait_for(tmp_path / "log", "answer")
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None, "it waits for the reply under way"
    process.send_signal(signal.SIGINT)
    assert process.wait(9) == 130, "the ten seconds of grace are not waited for"
    asked = [line for line in (tmp_path / "log").read_text().splitlines() if line.startswith("ask")]
    assert query(tmp_path / "x.run", "SELECT count(*) FROM replies") == [(len(asked),)], "all that came back is saved"


def run(folder: Path, count: int = 10, *, asking: object = None, rounds: int = 3, **more: object):
    return simulate(targets(count), asking or Asking(), Answering(), out=folder / "x.json", rounds=rounds, **more)


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir() if file.is_file()}


def test_a_complete_run_only_exports_again(tmp_path: Path) -> None:
    run(tmp_path)
    written = (tmp_path / "x.json").read_bytes()
    (tmp_path / "x.json").unlink()
    asking = Asking()
    summary = run(tmp_path, asking=asking)
    assert not asking.calls.batches
    assert (tmp_path / "x.json").read_bytes() == written
    assert summary.dialogs == 10
    assert summary.questions.cost == 15.0


def test_the_limit_may_grow_and_costs_and_times_add_up(tmp_path: Path) -> None:
    first = run(tmp_path, 6)
    asking = Asking()
    second = run(tmp_path, 10, asking=asking)
    assert sum(map(len, asking.calls.batches)) == 12
    assert (first.questions.cost, second.questions.cost) == (9.0, 15.0)
    assert second.seconds > first.seconds
    assert len(read_dialogs(tmp_path / "x.json")) == 10


@pytest.mark.parametrize("as_given", [list, iter], ids=["list", "generator"])
def test_a_lower_limit_plays_what_is_missing_and_exports_just_that_many(
    tmp_path: Path, as_given: Callable[[list[Dialog]], Iterable[Dialog]]
) -> None:
    def fails_on_some(dialog: Dialog) -> Reply:
        broken = any(f" {number} " in dialog.caption for number in (2, 8))
        return Reply.failed("server", "fell over") if broken else question(dialog)

    run(tmp_path, asking=Asking(fails_on_some))
    asking = Asking()
    some = simulate(as_given(targets(6)), asking, Answering(), out=tmp_path / "x.json", rounds=3)
    assert {dialog.id for batch in asking.calls.batches for dialog in batch} == {targets(3)[2].id}
    exported = read_dialogs(tmp_path / "x.json")
    assert [dialog.id for dialog in exported] == [target.id for target in targets(6)]
    assert (some.dialogs, some.rounds, some.given, some.targets, some.failed) == (6, 18, 6, 10, ())
    assert re.search(r"\n  targets +6 of the run's 10; time, tokens and cost are of all\n", summary_text(some))
    notes: list[str] = []
    (read,) = read_runs([tmp_path / "x.json"], notes.append)
    assert notes == [], "the file lacks nothing that it was to hold"
    assert read.record is not None
    assert not read.record.gone
    assert len(read.record.digests) == 6
    every = run(tmp_path)
    assert (every.dialogs, every.given, every.targets) == (10, 10, 10)
    assert "of the run's" not in summary_text(every)
    assert len(read_dialogs(tmp_path / "x.json")) == 10
    asking = Asking()
    run(tmp_path, 6, asking=asking)
    assert not asking.calls.batches
    assert read_dialogs(tmp_path / "x.json") == exported


def test_progress_of_a_lower_limit_counts_the_given_targets(tmp_path: Path) -> None:
    run(tmp_path)
    seen = []
    simulate(
        targets(6),
        Asking(),
        Answering(),
        out=tmp_path / "x.json",
        rounds=3,
        report=lambda progress: seen.append((progress.dialogs, progress.total, progress.rounds)),
    )
    assert set(seen) == {(6, 6, 18)}


def test_a_lower_limit_that_would_change_fixed_batches_is_refused_with_a_way_out(tmp_path: Path) -> None:
    def script(dialog: Dialog) -> Reply:
        if " 5 " in dialog.caption:
            raise InputError("stopped on purpose")
        return question(dialog)

    def play(count: int, asking: Asking) -> RunSummary:
        out = tmp_path / "x.json"
        return simulate(targets(count), asking, Answering(), out=out, rounds=1, deterministic=True)

    assert play(4, Asking(batch_size=4)).dialogs == 4
    with pytest.raises(InputError, match="stopped on purpose"):
        play(8, Asking(script, batch_size=4))
    with pytest.raises(InputError, match=r"its last batch would have been another one: give a multiple of 4 of its 8"):
        play(6, Asking(batch_size=4))
    assert play(3, Asking(batch_size=4)).dialogs == 3, "nothing is left to be played of these"
    assert play(8, Asking(batch_size=4)).dialogs == 8
    assert play(6, Asking(batch_size=4)).dialogs == 6


def test_a_run_of_other_targets_is_not_a_longer_one(tmp_path: Path) -> None:
    run(tmp_path)
    before = snapshot(tmp_path)
    with pytest.raises(InputError, match=r"its target 1 .* use --fresh"):
        simulate([*targets(1), targets(3)[2]], Asking(), Answering(), out=tmp_path / "x.json", rounds=3)
    assert snapshot(tmp_path) == before


class Configured(Asking):
    name = "Asking"

    def __init__(self, **config: object) -> None:
        super().__init__()
        self.config = config


def test_another_configuration_is_refused_with_the_differences_listed(tmp_path: Path) -> None:
    run(tmp_path, asking=Configured(model="small", heat={"top": 1}))
    before = snapshot(tmp_path)
    with pytest.raises(InputError) as refused:
        run(tmp_path, asking=Configured(model="large", heat={"top": 1}, new=None), seed=3, rounds=4)
    told = str(refused.value)
    assert 'questioner.config.model: "small" there, "large" now' in told
    assert "seed: 0 there, 3 now" in told
    assert "rounds: 3 there, 4 now" in told
    assert "heat" not in told
    assert "--fresh" in told
    assert snapshot(tmp_path) == before


class Broken(Asking):
    """Cannot even begin."""

    name = "Asking"

    def __init__(self, config: dict[str, str]) -> None:
        super().__init__()
        self.config = config

    def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:
        raise InputError("the model cannot be loaded")


def test_a_run_in_which_nobody_said_anything_does_not_stand_in_the_way_of_another(tmp_path: Path) -> None:
    out = tmp_path / "x.json"
    with pytest.raises(InputError, match="cannot be loaded"):
        simulate(targets(2), Broken({"model": "wrong"}), Answering(), out=out, rounds=1)
    assert (tmp_path / "x.run").exists()
    settings: dict[str, Any] = {"rounds": 1, "seed": 0, "ask_again": 2, "deterministic": False, "fresh": False}
    assert dry_run(targets(2), Asking(), Answering(), out=out, **settings).to_play == 2
    simulate(targets(2), Asking(), Answering(), out=out, rounds=1)
    assert len(read_dialogs(out)) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.json", "x.run"]
    with pytest.raises(InputError, match="another configuration"):
        simulate(targets(2), Asking(), Answering(), out=out, rounds=2)


def test_batch_size_and_concurrency_are_free(tmp_path: Path) -> None:
    run(tmp_path, 5)
    asking = Asking(batch_size=9, concurrency=3)
    assert run(tmp_path, 10, asking=asking).dialogs == 10


def test_other_targets_are_refused(tmp_path: Path) -> None:
    run(tmp_path)
    before = snapshot(tmp_path)
    changed = targets(10)
    changed[4] = Dialog(changed[4].image, "another caption")
    with pytest.raises(InputError, match=r"target 4 .* has another caption"):
        simulate(changed, Asking(), Answering(), out=tmp_path / "x.json", rounds=3)
    with pytest.raises(InputError, match=r"target 0 .* is .*9\.jpg' now"):
        simulate(changed[::-1], Asking(), Answering(), out=tmp_path / "x.json", rounds=3)
    assert snapshot(tmp_path) == before
    with pytest.raises(InputError, match="target 4 is not"):
        simulate(iter(changed), Asking(), Answering(), out=tmp_path / "x.json", rounds=3)


def test_a_second_writer_is_refused(tmp_path: Path, started: Start) -> None:
    process = started(tmp_path / "x.json", 4000, 10, "slow", tmp_path / "log")
    try:
        wait_for(tmp_path / "log", "answer")
        for fresh in (False, True):
            with pytest.raises(InputError, match="another chatir is writing this run"):
                run(tmp_path, fresh=fresh)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_the_process_that_writes_a_run_keeps_it_to_itself_though_it_asks_twice(tmp_path: Path) -> None:
    told: list[str] = []
    other = (
        "from players import *; from chatir.simulate import simulate;"
        f"simulate(targets(2), Asking(), Answering(), out={str(tmp_path / 'x.json')!r})"
    )

    def script(dialog: Dialog) -> Reply:
        try:
            simulate(targets(2), Asking(), Answering(), out=tmp_path / "x.json", rounds=1)
        except InputError as error:
            told.append(str(error))
        environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])}
        done = subprocess.run([sys.executable, "-c", other], env=environment, capture_output=True, text=True)
        told.append(done.stderr)
        return Reply("is it?")

    simulate(targets(1), Asking(script), Answering(), out=tmp_path / "x.json", rounds=1)
    assert "this process is writing this run already" in told[0]
    assert "another chatir is writing this run" in told[1]


def test_a_file_system_without_hard_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr(os, "link", no_links)
    assert run(tmp_path).dialogs == 10
    assert {file.name for file in tmp_path.iterdir()} == {"x.json", "x.run"}


def test_resuming_many_failures_looks_each_one_up(tmp_path: Path) -> None:
    run(tmp_path, 3)
    columns = "SELECT round FROM replies WHERE position = 1"
    plan = query(
        tmp_path / "x.run", f"EXPLAIN QUERY PLAN {columns} AND kind IS NULL UNION ALL {columns} AND kind IS NOT NULL"
    )
    assert not [step for *_, step in plan if step.startswith("SCAN")]


def test_fixed_batches_let_a_limit_grow_by_whole_batches_only(tmp_path: Path) -> None:
    fixed = {"deterministic": True, "rounds": 2}
    run(tmp_path, 6, asking=Asking(batch_size=4), **fixed)
    with pytest.raises(InputError, match="its 6 targets cannot become more"):
        run(tmp_path, 8, asking=Asking(batch_size=4), **fixed)
    run(tmp_path / "b", 8, asking=Asking(batch_size=4), **fixed)
    assert run(tmp_path / "b", 10, asking=Asking(batch_size=4), **fixed).dialogs == 10


def test_fresh_keeps_the_old_run_aside(tmp_path: Path) -> None:
    run(tmp_path)
    old = (tmp_path / "x.json").read_bytes()
    for seed in (1, 2):
        assert run(tmp_path, seed=seed, fresh=True).dialogs == 10
    assert {file.name for file in tmp_path.iterdir()} == {
        "x.json", "x.run", "x.old1.run", "x.old1.json.kept", "x.old2.run", "x.old2.json.kept",
    }  # fmt: skip
    assert (tmp_path / "x.old1.json.kept").read_bytes() == old
    assert [file.name for file in tmp_path.glob("*.json")] == ["x.json"]
    shutil.copy(tmp_path / "x.old1.run", tmp_path / "y.run")
    assert simulate(targets(10), Asking(), Answering(), out=tmp_path / "y.json", rounds=3).questions.replies == 30
    assert (tmp_path / "y.json").read_bytes() == old


def test_fresh_begins_where_nothing_was(tmp_path: Path) -> None:
    assert run(tmp_path, fresh=True).dialogs == 10


def test_a_killed_run_is_kept_aside_whole(tmp_path: Path, started: Start) -> None:
    process = started(tmp_path / "x.json", 4000, 10, "slow", tmp_path / "log")
    wait_for(tmp_path / "log", "answer")
    process.kill()
    process.wait()
    run(tmp_path, fresh=True)
    assert query(tmp_path / "x.old1.run", "SELECT count(*) FROM replies") > [(0,)]
    assert not (tmp_path / "x.old1.run-wal").exists()


def test_a_dialogue_file_that_no_run_made_is_not_overwritten(tmp_path: Path) -> None:
    write_dialogs(tmp_path / "x.json", targets(2))
    before = snapshot(tmp_path)
    with pytest.raises(InputError, match="has no run file x"):
        run(tmp_path)
    assert snapshot(tmp_path) == before
    run(tmp_path, fresh=True)
    assert (tmp_path / "x.old1.json.kept").read_bytes() == before["x.json"][0]


def test_an_edited_dialogue_file_is_not_overwritten(tmp_path: Path) -> None:
    run(tmp_path)
    with (tmp_path / "x.json").open("ab") as file:
        file.write(b"\n")
    before = snapshot(tmp_path)
    with pytest.raises(InputError, match="was not written by this run"):
        run(tmp_path)
    assert snapshot(tmp_path) == before


def test_a_json_left_from_before_the_limit_grew_is_known(tmp_path: Path) -> None:
    run(tmp_path, 5)
    with pytest.raises(InputError, match="out of order"):
        run(tmp_path, 10, asking=Asking(lambda dialog: (_ for _ in ()).throw(InputError("out of order"))))
    assert len(read_dialogs(tmp_path / "x.json")) == 5
    assert run(tmp_path, 10).dialogs == 10


def test_the_run_file_tells_all_that_fixes_the_result_and_what_it_ran_on(tmp_path: Path) -> None:
    run(tmp_path, asking=Configured(model="small", prompt={"text": "Ask!", "sha256": "ab"}), seed=4)
    ((config,),) = query(tmp_path / "x.run", "SELECT value FROM run WHERE key = 'config'")
    ((provenance,),) = query(tmp_path / "x.run", "SELECT provenance FROM sessions")
    assert '"text": "Ask!"' in config
    assert '"seed": 4' in config
    assert '"chatir"' in provenance
    assert '"python"' in provenance


def test_targets_that_name_an_image_twice_are_told(tmp_path: Path) -> None:
    twice = [*targets(3), targets(3)[1]]
    with pytest.raises(InputError, match=r"target 3: .* is named twice"):
        simulate(iter(twice), Asking(), Answering(), out=tmp_path / "x.json", rounds=1)
    with pytest.raises(InputError, match=r"target 3: .* is named twice \(first as target 1\)"):
        simulate(twice, Asking(), Answering(), out=tmp_path / "y.json", rounds=1)
    assert not (tmp_path / "y.run").exists()
    file = tmp_path / "t.csv"
    file.write_text("image,caption\na.jpg,x\na.jpg,y\n")
    with pytest.raises(InputError, match=r"t\.csv: target 1: 'a\.jpg' is named twice"):
        simulate(Targets(file), Asking(), Answering(), out=tmp_path / "z.json", rounds=1)


def test_failures_stay_in_the_run_file_after_they_are_mended(tmp_path: Path) -> None:
    run(tmp_path, 3, asking=Asking(lambda dialog: Reply.failed("refused", "will not")))
    run(tmp_path, 3)
    kept = query(tmp_path / "x.run", "SELECT kind, message, count(*) FROM replies WHERE kind IS NOT NULL")
    assert kept == [("refused", "will not", 3)]
