"""`chatir runs` over real runs: finished, failed, killed, being written, scored, from elsewhere, damaged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest
from compare.made_runs import made_run, named, same_question
from players import Answering, Asking
from simulate.test_resume import SCRIPT, snapshot, wait_for

from chatir import Dialog, Reply, Round
from chatir.compare.shown.overview_table import overview_text
from chatir.compare.shown.overviews import RunOverview, find_runs
from chatir.errors import StoppedRunError
from chatir.simulate import simulate, write_dialogs

Typed = Callable[..., tuple[int, str, str]]
Process = Callable[[Path, str], "subprocess.Popen[str]"]


@pytest.fixture
def playing(tmp_path: Path) -> Iterator[Process]:
    """Starts a run of many dialogs that has committed its first replies; its dialogs take long."""
    started: list[subprocess.Popen[str]] = []

    def start(out: Path, speed: str) -> subprocess.Popen[str]:
        log = tmp_path / "log"
        words = [sys.executable, str(SCRIPT), str(out), "400", "10", speed, str(log)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(SCRIPT.parents[1]), *sys.path])}
        started.append(subprocess.Popen(words, env=environment, text=True))
        while not log.exists():
            assert started[-1].poll() is None
        wait_for(log, "answer")
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def told(typed: Typed, *words: str) -> dict[str, dict[str, object]]:
    """What `chatir runs --format json` says, by the run's name."""
    code, out, err = typed("runs", *words, "--format", "json")
    assert code == 0, err
    return {one["name"]: one for one in json.loads(out)}


def test_every_state_of_a_run_is_told(typed: Typed, playing: Process) -> None:
    outputs = Path("outputs")
    made_run(outputs, "same", targets=3, ask=same_question)
    made_run(outputs, "refused", targets=4, failing=["images/1.jpg"])
    (outputs / "sub" / ".hidden").mkdir(parents=True)
    write_dialogs(outputs / "sub" / "theirs.json", named(5))
    write_dialogs(outputs / "sub" / ".hidden" / "passed.json", named(5))
    simulate(named(2), Asking(), Answering(), out=outputs / "paid.json", rounds=2)
    killed = playing(outputs / "killed.json", "slow")
    killed.kill()
    killed.wait()
    before = snapshot(outputs)
    assert (outputs / "killed.run-wal").stat().st_size
    found = told(typed)
    assert snapshot(outputs) == before, "nothing on the disk changes"
    assert {name: one["state"] for name, one in found.items()} == {
        "killed": "unfinished",
        "paid": "done",
        "refused": "failed dialogs",
        "same": "done",
        "sub/theirs": "imported",
    }
    assert found["same"]["repeats_per_dialog"] == 2.0
    assert (found["same"]["questioner"], found["same"]["answerer"]) == ("same", "Sees")
    assert found["paid"]["cost"] == 2.0
    assert found["same"]["cost"] is None
    assert [found["refused"][key] for key in ("dialogs", "failed", "targets")] == [3, 1, 4]
    assert found["sub/theirs"]["questioner"] is None
    assert found["killed"]["dialogs"] < found["killed"]["targets"]
    table = typed("runs")[1]
    assert f"{found['killed']['dialogs']}/{found['killed']['targets']}+" in table
    assert "3/4" in table
    assert "1 failed" in table


def test_a_run_that_is_being_written_is_told_and_goes_on(typed: Typed, playing: Process) -> None:
    made_run(Path("outputs"), "done")
    process = playing(Path("outputs/busy.json"), "slow")
    for _ in range(3):
        found = told(typed)
        assert {name: one["state"] for name, one in found.items()} == {"busy": "being written", "done": "done"}
    assert found["busy"]["dialogs"] is None
    assert process.wait(60) == 0, "it was not disturbed"
    assert told(typed)["busy"]["dialogs"] == 400


def test_a_run_that_is_given_more_targets_is_unfinished_again(typed: Typed) -> None:
    asking = Asking(lambda dialog: Reply("is it?", cost=1.0))
    asking.max_cost = lambda dialog: 1.0
    for count, state in ((2, "done"), (4, "unfinished")):
        with nullcontext() if state == "done" else pytest.raises(StoppedRunError):
            simulate(named(count), asking, Answering(), out="outputs/x.json", rounds=2, cost_limit=5.5)
        assert told(typed)["x"]["state"] == state
    assert [told(typed)["x"][key] for key in ("dialogs", "targets", "cost")] == [2, 4, 5.0]


def test_a_run_that_was_set_aside_stays_done(typed: Typed) -> None:
    for rounds in (1, 2):
        simulate(named(2), Asking(), Answering(), out="outputs/x.json", rounds=rounds, fresh=True)
    assert {name: one["state"] for name, one in told(typed).items()} == {"x": "done", "x.old1": "done"}
    assert typed("show", "x.old1")[1].startswith("outputs/x.old1.json.kept and outputs/x.old1.run\n")


def test_a_scored_file_from_elsewhere_is_imported_and_its_ranks_may_be_of_another(typed: Typed) -> None:
    from contextlib import closing

    from chatir.run.file import RunFile
    from chatir.storage.files import file_sha256

    file = Path("outputs/theirs.json")
    write_dialogs(file, named(3))
    with closing(RunFile.create(file.with_suffix(".run"), {"imported": file_sha256(file)})):
        pass
    assert [told(typed)["theirs"][key] for key in ("state", "dialogs", "problem")] == ["imported", 3, None]
    write_dialogs(file, named(2))
    assert "was written for another version of theirs.json" in str(told(typed)["theirs"]["problem"])
    file.unlink()
    assert "is not beside it" in str(told(typed)["theirs"]["problem"])


def test_what_is_damaged_or_foreign_is_one_row_or_none(typed: Typed) -> None:
    outputs = Path("outputs")
    made_run(outputs, "whole")
    content = (outputs / "whole.run").read_bytes()
    (outputs / "cut.run").write_bytes(content[:9000])
    (outputs / "text.run").write_text("hello")
    (outputs / "broken.json").write_text('[{"img": ')
    (outputs / "empty.json").touch()
    (outputs / "corpus.json").write_text('["a.jpg", "b.jpg"]')
    (outputs / "settings.json").write_text('{"img": 1}')
    (outputs / "report.html").write_text("<html>")
    (outputs / "gone.json").symlink_to("nowhere.json")
    (outputs / "lost.run").symlink_to("nowhere.run")
    (outputs / "loop").symlink_to(".", target_is_directory=True)
    os.mkfifo(outputs / "pipe.json")
    os.mkfifo(outputs / "cut.json")
    made_run(outputs, "other")
    write_dialogs(outputs / "other.json", named(1))
    code, out, err = typed("runs")
    assert (code, err) == (0, "")
    found = told(typed)
    states = {name: one["state"] for name, one in found.items()}
    assert states.pop("whole") == "done"
    assert states == dict.fromkeys(["broken", "cut", "empty", "gone", "lost", "other", "pipe", "text"], "damaged")
    for name in states:
        assert sum(line.startswith(f"{name} ") for line in out.splitlines()) == 1
        assert sum(line.startswith(f"{name}: ") for line in out.splitlines()) == 1, "and a line that says why"
    assert "other.json: is not the file that its run wrote" in out


def test_a_dialogue_file_of_queries_has_no_repeats(typed: Typed) -> None:
    write_dialogs(Path("outputs/queries.json"), [Dialog("a.jpg", "a", (Round.parse("a red dog"),) * 3)])
    write_dialogs(Path("outputs/asked.json"), [Dialog("a.jpg", "a", (Round.parse("a dog? no"),) * 3)])
    found = told(typed)
    assert found["queries"]["repeats_per_dialog"] is None
    assert found["asked"]["repeats_per_dialog"] == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_named_and_passed_over(typed: Typed) -> None:
    made_run(Path("outputs"), "x")
    Path("outputs/closed").mkdir(mode=0)
    code, out, err = typed("runs")
    Path("outputs/closed").chmod(0o700)
    assert code == 0
    assert "x" in out
    assert "outputs/closed: permission denied: it is not searched" in err


def test_a_folder_without_runs_and_one_that_is_not_there(typed: Typed) -> None:
    assert typed("runs") == (0, "", "chatir: there are no runs in outputs\n")
    assert typed("runs", "--format", "json") == (0, "[]\n", "")
    code, out, err = typed("runs", "nowhere")
    assert (code, out) == (2, "")
    assert "nowhere: there is no such folder" in err


def test_names_are_printed_and_never_obeyed(typed: Typed) -> None:
    made_run(Path("outputs"), "[red]x\x1b[31m", questioner={"name": "\x1b[2J[bold]"})
    (Path("outputs") / os.fsdecode(b"odd\xff.json")).write_text("[]")
    code, out, err = typed("runs")
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert "[red]x" in out
    assert len(told(typed)) == 2


def test_ordinary_runs_fit_a_hundred_columns(tmp_path: Path) -> None:
    for name, asks in (("ChatGPT_BLIP2", "ChatGPT"), ("FLAN_ALPACA_XL_BLIP2", "FLAN_ALPACA_XL")):
        made_run(tmp_path, name, questioner={"name": asks}, answerer={"name": "BLIP2"}, failing=["images/1.jpg"])
    found = [*find_runs(tmp_path, print), RunOverview("busy_BLIP2", None, None, "being written", datetime.now(UTC))]
    lines = overview_text(found, width=100).splitlines()
    assert len(lines) == 4, "no row is folded"
    assert max(map(len, lines)) <= 100
    old = overview_text(found, width=100, now=datetime(2100, 1, 1, tzinfo=UTC))
    assert f"{datetime.now():%Y}" in old, "a change long ago is told with its year"
    narrow = overview_text(found, width=60).splitlines()
    assert max(map(len, narrow)) <= 60
