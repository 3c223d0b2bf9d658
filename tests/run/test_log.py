"""A run file and its log belong together: no log flows into another run, and nothing is lost when one is taken away."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import sqlite3
import stat
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path
from shutil import copy2, copytree
from tempfile import gettempdir
from typing import Any

import pytest
from players import Answering, Asking, query, targets
from run.test_reading import Process, killed, process, read, told
from simulate.test_resume import Start, snapshot, started, wait_for

from chatir import Dialog, Reply
from chatir.errors import InputError
from chatir.run import file as run_file
from chatir.run import log as run_log
from chatir.run.file import RunFile
from chatir.run.log import check_log
from chatir.run.reserve import RESERVED
from chatir.run.schema import FullDiskError
from chatir.simulate import simulate

__all__ = ["killed", "process", "started"]


def other_run(folder: Path, noted: list[str] | None = None, **more: object) -> Path:
    """A run of another configuration than the scripted one, at the same place."""
    note = (lambda line: None) if noted is None else noted.append
    asking = Asking(lambda dialog: Reply(f"another {len(dialog.rounds)}?"))
    simulate(targets(60), asking, Answering(), out=folder / "x.json", rounds=2, note=note, **more)  # type: ignore[arg-type]
    return folder / "x.run"


def test_the_log_of_a_removed_run_does_not_flow_into_the_next_one(killed: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    other_run(tmp_path / "elsewhere")
    log = killed.with_name("x.run-wal").read_bytes()
    killed.unlink()
    noted: list[str] = []
    other_run(killed.parent, noted)
    assert (killed.parent / "x.json").read_bytes() == (tmp_path / "elsewhere" / "x.json").read_bytes()
    kept = killed.with_name("x.run-wal.old1")
    assert kept.read_bytes() == log
    assert noted == [
        f"{killed}-wal: is left over from a removed x.run; renamed to x.run-wal.old1, not used",
    ]
    assert {file.name for file in killed.parent.iterdir()} == {"x.json", "x.run", kept.name}


@pytest.mark.parametrize("end", ["-wal", "-journal"])
def test_a_log_that_is_another_run_s_is_refused_and_nothing_changes(killed: Path, tmp_path: Path, end: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    copy2(other_run(tmp_path / "elsewhere"), killed)
    if end != "-wal":
        killed.with_name("x.run-wal").rename(killed.with_name(f"x.run{end}"))
    before = snapshot(killed.parent)
    for look in (RunFile.open, read):
        with pytest.raises(InputError, match=rf"x\.run{end}: .* x\.run.*; move it away"):
            look(killed)  # type: ignore[operator]
    with pytest.raises(InputError, match=rf"x\.run{end}: "):
        other_run(killed.parent)
    assert snapshot(killed.parent) == before


@pytest.mark.parametrize("length", [0, 10, 32, 32 + 24 + 4095])
def test_a_log_in_which_no_transaction_is_complete_holds_nothing(killed: Path, length: int) -> None:
    os.truncate(killed.with_name("x.run-wal"), length)
    before = read(killed, RunFile.sittings)
    with closing(RunFile.open(killed)) as run:
        assert run.sittings() == before


def test_a_marked_log_does_not_fit_a_run_file_of_version_0_1_beyond_its_first_mark(
    killed: Path, tmp_path: Path, process: Process
) -> None:
    (tmp_path / "old").mkdir()
    old = other_run(tmp_path / "old")
    with closing(sqlite3.connect(old)) as db, db:
        db.execute("DELETE FROM run WHERE key = 'log'")
    copy2(old, killed)
    with pytest.raises(InputError, match="belongs to another run than"):
        RunFile.open(killed)
    writer = process("-c", KILLED_WRITER, str(old))
    assert told(writer) == "written"
    writer.kill()
    writer.wait()
    with closing(RunFile.open(old)) as run:
        assert len(run.sittings()) == 2


def test_a_log_does_not_fit_an_older_copy_of_its_own_run_file(tmp_path: Path, process: Process) -> None:
    file = other_run(tmp_path)
    older = file.read_bytes()
    for _ in range(2):  # the second time over the log that the first one leaves
        writer = process("-c", KILLED_WRITER, str(file))
        assert told(writer) == "written"
        writer.kill()
        writer.wait()
    with closing(RunFile.open(Path(copytree(tmp_path, tmp_path / "copy")) / "x.run")) as run:
        assert len(run.sittings()) == 3
    file.write_bytes(older)
    with pytest.raises(InputError, match="belongs to another run than"):
        RunFile.open(file)


KILLED_WRITER = """
import sys, time
from pathlib import Path
from chatir.run.file import RunFile
RunFile.open(Path(sys.argv[1])).start_session({})
print("written", flush=True)
time.sleep(60)
"""

DYING = """
import os, sys
from pathlib import Path
from chatir.run import log
from chatir.run.file import RunFile

left = int(sys.argv[2])

def dying(function):
    def called(*arguments):
        global left
        left -= 1
        if left == 0:
            os._exit(9)
        result = function(*arguments)
        left -= 1
        if left == 0:
            os._exit(9)
        return result
    return called

log.RunLog._write = dying(log.RunLog._write)
log.RunLog.move = dying(log.RunLog.move)
log.LARGEST = 20_000
run = RunFile.open(Path(sys.argv[1]))
for number in range(9):
    run.start_session({"number": number})
    print(number, flush=True)
"""


def test_a_process_that_dies_as_it_folds_its_log_loses_nothing_and_leaves_a_log_that_fits(tmp_path: Path) -> None:
    file = other_run(tmp_path)
    before = len(read(file, RunFile.sittings))  # type: ignore[arg-type]
    deaths = 0
    for step in range(1, 40):
        folder = Path(copytree(tmp_path, tmp_path.parent / f"{tmp_path.name}-{step}"))
        done = subprocess.run([sys.executable, "-c", DYING, str(folder / "x.run"), str(step)], capture_output=True)
        written = len(done.stdout.split())
        check_log(folder / "x.run", "")
        sittings = read(folder / "x.run", RunFile.sittings)
        assert len(sittings) in (before + written, before + written + 1)  # type: ignore[arg-type]
        with closing(RunFile.open(folder / "x.run")) as run:
            assert run.sittings() == sittings
        deaths += done.returncode == 9
        if not done.returncode:
            break
    assert deaths > 12


def test_a_run_file_with_two_names_is_refused_by_both_until_it_has_a_file_of_its_own(tmp_path: Path) -> None:
    file = other_run(tmp_path)
    other = tmp_path / "other.run"
    os.link(file, other)
    before = snapshot(tmp_path)
    for name in (file, other):
        for look in (RunFile.open, read):
            with pytest.raises(InputError, match=rf"{name.name}: has 2 names \(hard links\).* cp '"):
                look(name)  # type: ignore[operator]
    assert snapshot(tmp_path) == before
    copy2(other, tmp_path / "copy")
    (tmp_path / "copy").replace(other)
    for name in (file, other):
        RunFile.open(name).close()


def test_a_name_left_by_a_process_that_was_killed_as_it_made_the_file_is_in_nobody_s_way(tmp_path: Path) -> None:
    file = other_run(tmp_path)
    os.link(file, tmp_path / ".x.run.part")
    before = read(file)
    RunFile.open(file).close()
    other_run(tmp_path, fresh=True)
    assert not list(tmp_path.glob(".*"))
    assert read(tmp_path / "x.old1.run") == before


def saved(run_file: Path, log: Path) -> tuple[int, int]:
    """Replies in a run file, and requests that were made."""
    (count,) = query(run_file, "SELECT count(*) FROM replies")[0]
    return count, len(log.read_text().splitlines())


def remove_log(out: Path) -> Path:
    out.with_suffix(".run-wal").unlink()
    return out.with_suffix(".run")


def rename_file(out: Path) -> Path:
    return out.with_suffix(".run").rename(out.with_name("y.run"))


def rename_folder(out: Path) -> Path:
    folder = out.parent.rename(out.parent.with_name("moved"))
    return folder / out.with_suffix(".run").name


@pytest.mark.parametrize(
    ("take_away", "why"),
    [
        (remove_log, r"x\.run-wal: was removed while its run was on; all replies that came are in x\.run"),
        (rename_file, r"x\.run: was renamed or moved while its run was on; its replies are all in it"),
        (rename_folder, r"x\.run: was renamed or moved while its run was on; its replies are all in it"),
    ],
)
def test_what_is_taken_away_from_a_run_that_is_on_is_noticed_and_no_reply_is_lost(
    tmp_path: Path, started: Start, take_away: Callable[[Path], Path], why: str
) -> None:
    out, log = tmp_path / "runs" / "x.json", tmp_path / "log"
    out.parent.mkdir()
    process = started(out, 3000, 10, "slow", log)
    wait_for(log, "answer")
    run_file = take_away(out)
    assert process.wait(30) == 2
    message = process.stderr.read() if process.stderr else ""
    assert len(message.splitlines()) == 1
    assert re.search(why, message)
    count, asked = saved(run_file, log)
    assert count == asked
    assert not [file for file in run_file.parent.iterdir() if file.name.startswith("x.run-") and file.stat().st_size]
    if run_file.name == "x.run":
        again = started(run_file.with_suffix(".json"), 3000, 10, "instant", log)
        assert again.wait(120) == 0
        assert Counter(log.read_text().splitlines()).most_common(1)[0][1] == 1, "nothing was asked twice"


@pytest.mark.parametrize("end", ["", "-wal"])
def test_a_file_that_another_program_writes_over_is_noticed_and_left_as_that_made_it(
    tmp_path: Path, started: Start, end: str
) -> None:
    out, log = tmp_path / "x.json", tmp_path / "log"
    (tmp_path / "elsewhere").mkdir()
    other = other_run(tmp_path / "elsewhere")
    process = started(out, 3000, 10, "slow", log)
    wait_for(log, "answer")
    file = tmp_path / f"x.run{end}"
    content = b"" if end else other.read_bytes()
    file.write_bytes(content)
    assert process.wait(30) == 2
    assert process.stderr
    assert f"{file.name}: was changed by another program while its run was on" in process.stderr.read()
    assert end or file.read_bytes() == content


@pytest.mark.parametrize("content", [b"", bytes(40_000)])
def test_a_log_that_is_written_over_amid_a_transaction_is_noticed(tmp_path: Path, content: bytes) -> None:
    def change(run: RunFile) -> None:
        with run.transaction() as db:
            db.execute("INSERT INTO run VALUES ('much', ?)", ("x" * 20_000,))
            (tmp_path / "x.run-wal").write_bytes(content)

    with closing(RunFile.open(other_run(tmp_path))) as run:
        run.start_session({})
        with pytest.raises(InputError, match=r"x\.run-wal: was changed by another program while its run was on"):
            change(run)


def test_a_removed_run_file_is_noticed(tmp_path: Path, started: Start) -> None:
    out, log = tmp_path / "x.json", tmp_path / "log"
    process = started(out, 3000, 10, "slow", log)
    wait_for(log, "answer")
    out.with_suffix(".run").unlink()
    assert process.wait(30) == 2
    assert process.stderr
    assert "x.run: was removed while its run was on" in process.stderr.read()
    assert not list(tmp_path.glob("x.*"))


def test_a_run_whose_folder_was_moved_leaves_the_log_of_the_run_in_its_place_alone(
    tmp_path: Path, started: Start
) -> None:
    out, log = tmp_path / "runs" / "x.json", tmp_path / "log"
    out.parent.mkdir()
    first = started(out, 3000, 10, "slow", log)
    wait_for(log, "answer")
    first.send_signal(signal.SIGSTOP)
    out.parent.rename(tmp_path / "moved")
    out.parent.mkdir()
    second = started(out, 60, 10, "slow", tmp_path / "other.log")
    wait_for(tmp_path / "other.log", "answer")
    first.send_signal(signal.SIGCONT)
    assert first.wait(30) == 2
    assert second.wait(60) == 0
    assert query(out.with_suffix(".run"), "SELECT count(*) FROM replies") == [(1200,)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    with suppress(OSError):
        if subprocess.run(mount, capture_output=True).returncode == 0:
            yield folder
            subprocess.run(["umount", "-l", str(folder)], check=True)
            return
    pytest.skip("a file system cannot be mounted here")


def fill(folder: Path) -> Path:
    filler = folder / "filler"
    with suppress(OSError), filler.open("ab", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    return filler


def test_a_full_disk_loses_no_reply_and_the_same_command_goes_on(
    tmp_path: Path, small_disk: Path, started: Start
) -> None:
    out, log = small_disk / "x.json", tmp_path / "log"
    process = started(out, 3000, 10, "slow", log)
    wait_for(log, "answer")
    fill(small_disk)
    assert process.wait(60) == 2
    message = process.stderr.read() if process.stderr else ""
    assert "x.run: the disk is full; all replies that came are saved" in message
    assert len(message.splitlines()) == 1
    (small_disk / "filler").unlink()
    count, asked = saved(out.with_suffix(".run"), log)
    assert count == asked, "replies that were under way are saved, too"
    process = started(out, 3000, 10, "instant", log)
    assert process.wait(120) == 0
    assert Counter(log.read_text().splitlines()).most_common(1)[0][1] == 1, "nothing was asked twice"


def test_a_disk_that_has_no_room_is_told_before_anybody_is_asked(small_disk: Path) -> None:
    filler = fill(small_disk)
    os.truncate(filler, filler.stat().st_size - RESERVED // 2)
    asking = Asking()
    with pytest.raises(InputError, match=r"x\.run: no space left on device: a run begins with 4 MiB of room"):
        simulate(targets(2), asking, Answering(), out=small_disk / "x.json", rounds=1)
    assert not asking.calls.batches


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
@pytest.mark.parametrize("mode", ["folder", "file"])
def test_a_folder_or_file_that_may_not_be_written_is_told_as_that(tmp_path: Path, mode: str) -> None:
    file = other_run(tmp_path)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to(gettempdir()) and folder != Path(gettempdir()):
            folder.chmod(0o755)
    file.chmod(0o444 if mode == "file" else 0o666)
    if mode == "file":
        tmp_path.chmod(0o777)
    code = (
        f"import os, traceback\nfrom pathlib import Path\nfrom chatir.run.file import RunFile\n"
        f"os.setuid(65534)\nRunFile.open(Path({str(file)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "InputError" in done.stderr
    assert f"x.run: permission denied: {tmp_path if mode == 'folder' else file} cannot be written to" in done.stderr


def test_the_log_is_folded_in_before_it_grows_large(tmp_path: Path) -> None:
    sizes = []
    with closing(RunFile.open(other_run(tmp_path))) as run:
        for _ in range(40):
            run.start_session({"long": "x" * 500_000})
            sizes.append((tmp_path / "x.run-wal").stat().st_size)
            check_log(tmp_path / "x.run", "")
    assert max(sizes) < 5 * 2**20
    assert sum(after < before for before, after in pairwise(sizes)) == 4


def full(*_: object) -> None:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


class FullDisk:
    """A database whose log is written to its file in part, until the disk is full."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db

    def execute(self, query: str, *parameters: object) -> sqlite3.Cursor:
        if "wal_checkpoint" in query:
            self.db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            full()
        return self.db.execute(query, *parameters)


def test_a_log_that_cannot_be_folded_in_goes_on_and_stays_its_run_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = other_run(tmp_path)
    with closing(RunFile.open(file)) as run:
        run.start_session({})
        monkeypatch.setattr(run._log, "_db", FullDisk(run._db))
        monkeypatch.setattr(run_log, "LARGEST", 1000)
        for number in range(5):
            run.start_session({"number": number})
        assert len(read(Path(copytree(tmp_path, tmp_path / "copy")) / "x.run", RunFile.sittings)) == 7  # type: ignore[arg-type]
        monkeypatch.undo()
        run.start_session({})
    assert len(read(file, RunFile.sittings)) == 8  # type: ignore[arg-type]


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE])  # a full disk, a full quota
def test_a_commit_that_finds_no_room_is_made_in_the_room_that_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    asked: list[str] = []
    rows = run_file.reply_values

    def once(*arguments: Any) -> tuple[Any, ...]:
        if len(asked) >= 5:
            monkeypatch.setattr(run_file, "reply_values", rows)
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = code
            raise error
        return rows(*arguments)

    def script(dialog: Dialog) -> Reply:
        asked.append(dialog.id)
        return Reply("is it?")

    monkeypatch.setattr(run_file, "reply_values", once)
    with pytest.raises(
        FullDiskError, match=r"full.*; all replies that came are saved; make room, then the same command"
    ):
        simulate(targets(9), Asking(script), Answering(), out=tmp_path / "x.json", rounds=1)
    count = len(asked)
    assert count >= 5
    questions = "SELECT count(*) FROM replies WHERE role = 'question'"
    assert query(tmp_path / "x.run", questions) == [(count,)]
    assert simulate(targets(9), Asking(script), Answering(), out=tmp_path / "x.json", rounds=1).dialogs == 9
    assert sorted(asked) == sorted(dialog.id for dialog in targets(9))


def test_replies_that_no_room_is_left_for_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[str] = []
    monkeypatch.setattr(run_file, "reply_values", full)
    asking = Asking()
    with pytest.raises(FullDiskError, match="what was committed before is kept"):
        simulate(targets(9), asking, Answering(), out=tmp_path / "x.json", rounds=1, note=noted.append)
    assert noted == [f"{len(asking.calls.batches)} replies that came could not be saved"]


def test_a_run_whose_log_was_removed_can_be_opened_again_by_the_same_process(tmp_path: Path) -> None:
    run = RunFile.open(other_run(tmp_path))
    run.start_session({})
    (tmp_path / "x.run-wal").unlink()
    with pytest.raises(InputError, match=r"x\.run-wal: was removed while its run was on"):
        run.start_session({})
    run.close()
    run.close()
    with closing(RunFile.open(tmp_path / "x.run")) as again:
        assert len(again.sittings()) == 3


def test_a_log_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = other_run(tmp_path)
    (tmp_path / "x.run-wal").mkdir()
    for look in (RunFile.open, read):
        with pytest.raises(InputError, match=r"x\.run-wal: is a directory"):
            look(file)  # type: ignore[operator]


def test_a_run_begins_where_the_two_kinds_of_locks_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on network file systems and BSD, where a lock by flock keeps SQLite out."""

    def flock(descriptor: int, how: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EBADF, "bad file descriptor")
        lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)
        fcntl.fcntl(descriptor, 37 if how & fcntl.LOCK_NB else 38, lock)  # F_OFD_SETLK, F_OFD_SETLKW of Linux

    monkeypatch.setattr(fcntl, "flock", flock)
    other_run(tmp_path)
    assert (tmp_path / "x.json").exists()
