"""Reading a run file changes nothing, disturbs no run, and never gives what a run was just changing."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from shutil import copytree

import pytest
from players import Answering, Asking, query, targets
from simulate.test_resume import SCRIPT, snapshot, wait_for

from chatir import Dialog, Reply
from chatir.errors import InputError
from chatir.run.file import RunFile
from chatir.run.provenance import provenance
from chatir.run.schema import RunInUseError
from chatir.simulate import simulate

READ = """
import sys
from pathlib import Path
from chatir.run.file import RunFile

with RunFile.reading(Path(sys.argv[1])) as run:
    print(len(run.targets()), flush=True)
    sys.stdin.readline()
    print(run.rounds(), flush=True)
"""
WRITE = """
import sys
from pathlib import Path
from chatir.run.file import RunFile

run = RunFile.open(Path(sys.argv[1]))
for line in sys.stdin:
    if line == "commit\\n":
        run.start_session({})
    print("done", flush=True)
run.close()
"""

Process = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def process() -> Iterator[Process]:
    """Starts Python with a script, and ends what is left of it."""
    with ExitStack() as stack:

        def start(*words: str) -> subprocess.Popen[str]:
            started = subprocess.Popen(
                [sys.executable, *words],
                env=os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(started)
            stack.callback(started.kill)
            return started

        yield start


def told(process: subprocess.Popen[str], line: str = "") -> str:
    """Say a line to a process, and wait for the next line that it prints."""
    assert process.stdin
    assert process.stdout
    if line:
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
    return process.stdout.readline().strip()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    simulate(targets(4), Asking(), Answering(), out=folder / "x.json", rounds=2)
    return folder


@pytest.fixture
def file(made: Path, tmp_path: Path) -> Path:
    """The run file of four dialogs with two rounds each, in a folder of its own."""
    return Path(copytree(made, tmp_path / "runs")) / "x.run"


@pytest.fixture
def killed(tmp_path: Path, process: Process) -> Path:
    """The run file of a killed run, with its log."""
    (tmp_path / "runs").mkdir()
    log = tmp_path / "log"
    run = process(str(SCRIPT), str(tmp_path / "runs" / "x.json"), "4000", "10", "slow", str(log))
    assert told(run) == "ready"
    wait_for(log, "answer")
    run.kill()
    run.wait()
    assert (tmp_path / "runs" / "x.run-wal").stat().st_size > 0
    return tmp_path / "runs" / "x.run"


def read(path: Path, look: Callable[[RunFile], object] = RunFile.targets) -> object:
    with RunFile.reading(path) as run:
        return look(run)


def replies(run: RunFile) -> list[object]:
    return list(run.rows("SELECT * FROM replies ORDER BY reply"))


def test_reading_changes_nothing_on_the_disk(file: Path) -> None:
    before = snapshot(file.parent)
    with RunFile.reading(file) as run:
        during = snapshot(file.parent)
        assert len(list(run.dialogs())) == 4
        assert run.config["rounds"] == 2
    assert before == during == snapshot(file.parent)


def test_two_processes_may_read_at_once_and_neither_keeps_a_run_from_going_on(file: Path, process: Process) -> None:
    before = snapshot(file.parent)
    other = process("-c", READ, str(file))
    assert told(other) == "4"
    with RunFile.reading(file) as run:
        assert told(other, "go on") == "8"
        assert run.rounds() == 8
        assert other.wait(20) == 0
        assert snapshot(file.parent) == before
    held = process("-c", READ, str(file))
    assert told(held) == "4"
    writer = process("-c", WRITE, str(file))
    assert told(writer, "commit") == "done", "a reader keeps no run waiting"


@pytest.mark.parametrize(
    "name", ["a?mode=rw", "a#b", "50%25", "a b", 'it\'s "it"', "ü\udcff", "a&b;c", "a\nb", ":memory:"]
)
def test_any_file_name_will_do(file: Path, name: str) -> None:
    odd = file.parent / name / f"{name}.run"
    odd.parent.mkdir()
    file.rename(odd)
    before = snapshot(odd.parent)
    with RunFile.reading(odd) as run:
        assert len(run.targets()) == 4
    assert snapshot(odd.parent) == before


def test_a_relative_path_will_do(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    with RunFile.reading(Path("x.run")) as run:
        assert len(run.targets()) == 4


@pytest.mark.parametrize("linked", [False, True])
def test_what_a_killed_run_left_in_its_log_is_read_and_stays_there(killed: Path, tmp_path: Path, linked: bool) -> None:
    continued = copytree(killed.parent, tmp_path / "copy") / "x.run"
    in_file_alone = query(
        copytree(killed.parent, tmp_path / "c", ignore=lambda *_: ["x.run-wal"]) / "x.run",
        "SELECT count(*) FROM replies",
    )
    path = killed
    if linked:
        path = tmp_path / "link.run"
        path.symlink_to(killed)
    before = snapshot(killed.parent)
    with RunFile.reading(path) as run:
        found = replies(run)
    assert snapshot(killed.parent) == before
    assert [(len(found),)] > in_file_alone
    with closing(RunFile.open(continued)) as run:
        assert found == replies(run)


def test_a_killed_run_leaves_no_copy_behind(killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "aside").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "aside"))
    with RunFile.reading(killed):
        assert list((tmp_path / "aside").iterdir())
    assert not list((tmp_path / "aside").iterdir())


def test_a_killed_run_that_cannot_be_copied_is_told(
    killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(InputError, match=r"x\.run: its run was killed, .*: no space left on device; TMPDIR names"):
        read(killed)


def test_a_run_that_is_on_is_refused_and_goes_on(tmp_path: Path, process: Process) -> None:
    log = tmp_path / "log"
    run = process(str(SCRIPT), str(tmp_path / "x.json"), "120", "10", "slow", str(log))
    assert told(run) == "ready"
    wait_for(log, "answer")
    for _ in range(20):
        with pytest.raises(RunInUseError, match=r"x\.run: another chatir is writing this run; wait for it, or stop it"):
            read(tmp_path / "x.run")
    assert run.poll() is None
    assert run.wait(60) == 0, "the readers did not disturb it"
    with RunFile.reading(tmp_path / "x.run") as ended:
        assert ended.rounds() == 1200


def test_a_run_that_has_not_yet_written_is_on_too(file: Path, process: Process) -> None:
    writer = process("-c", WRITE, str(file))
    assert told(writer, "wait") == "done"
    with pytest.raises(RunInUseError, match="another chatir is writing"):
        read(file)


@pytest.mark.parametrize("ended", [False, True])
def test_a_run_that_writes_while_it_is_read_is_told_at_the_end(file: Path, process: Process, ended: bool) -> None:
    def meanwhile(run: RunFile) -> None:
        writer = process("-c", WRITE, str(file))
        assert told(writer, "commit") == "done"
        if ended:
            writer.communicate()
        assert len(run.targets()) == 4

    with pytest.raises(RunInUseError, match=r"x\.run: was written while it was read; wait for its run to end"):
        read(file, meanwhile)


def test_a_run_that_was_only_begun_meanwhile_has_changed_nothing(file: Path, process: Process) -> None:
    with RunFile.reading(file) as run:
        writer = process("-c", WRITE, str(file))
        assert told(writer, "wait") == "done"
        assert file.with_name("x.run-wal").exists()
        assert len(run.targets()) == 4


def test_an_error_in_a_file_that_was_written_meanwhile_is_told_as_that(file: Path) -> None:
    def meanwhile(run: RunFile) -> None:
        file.write_bytes(file.read_bytes() + bytes(4096))
        raise InputError("what a torn page looks like")

    with pytest.raises(RunInUseError, match="was written while it was read"):
        read(file, meanwhile)


def test_a_file_that_was_replaced_while_it_was_read_is_told(file: Path) -> None:
    twin = file.with_name("twin")
    twin.write_bytes(file.read_bytes())
    stat = file.stat()
    os.utime(twin, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(RunInUseError, match="was written while it was read"):
        read(file, lambda run: twin.replace(file))


def test_the_process_that_writes_a_run_cannot_read_it_and_keeps_its_lock(file: Path, process: Process) -> None:
    with closing(RunFile.open(file)):
        with pytest.raises(RunInUseError, match="this process is writing this run"):
            read(file)
        other = process("-c", READ, str(file))
        assert told(other) == ""
        assert other.wait(20) != 0


@pytest.mark.parametrize("state", ["closed", "killed"])
def test_what_is_only_read_cannot_be_written(state: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue("file" if state == "closed" else "killed")
    before = snapshot(path.parent)
    with RunFile.reading(path) as run:
        for write in (lambda: run.note_export("ab"), lambda: run.start_session({})):
            with pytest.raises(InputError, match="is open to be read only"):
                write()
        with pytest.raises(InputError, match="readonly"):
            list(run.rows("DELETE FROM replies"))
    assert snapshot(path.parent) == before


def with_pages_lost(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096 : 3 * 4096] = b"\xa5" * (2 * 4096)
    path.write_bytes(content)


def changed(statement: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute(statement)

    return change


def other_database(path: Path) -> None:
    path.unlink()
    changed("CREATE TABLE mine (thing)")(path)


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "why"),
    {
        "text": (lambda path: path.write_text("hello"), "is not a run file"),
        "empty": (lambda path: path.write_bytes(b""), "is not a run file"),
        "cut short": (lambda path: path.write_bytes(path.read_bytes()[:50]), "is not a run file"),
        "gone": (Path.unlink, "is not a run file"),
        "a directory": (as_folder, "is not a run file"),
        "a database of another program": (other_database, "is a database of another program"),
        "damaged": (with_pages_lost, r"the run file is damaged \(.*\)"),
        "without a table": (changed("DROP TABLE dialogs"), r"the run file is damaged \(no such table: dialogs\)"),
        "of a later chatir": (changed("PRAGMA user_version = 99"), "is a run file of format 99; this chatir reads 2"),
    }.values(),
)
def test_what_cannot_be_read_is_told_with_a_way_out_for_a_reader(
    file: Path, spoil: Callable[[Path], object], why: str
) -> None:
    spoil(file)
    before = snapshot(file.parent)
    with pytest.raises(InputError, match=rf"x\.run: {why}; move it away to go on without it$"):
        read(file)
    assert snapshot(file.parent) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_read(killed: Path) -> None:
    killed.parent.chmod(0o500)
    try:
        with RunFile.reading(killed) as run:
            assert run.targets()
    finally:
        killed.parent.chmod(0o700)


def test_every_dialog_and_every_sitting_is_told(tmp_path: Path) -> None:
    def script(dialog: Dialog) -> Reply:
        if dialog.image == targets(3)[1].image:
            return Reply.failed("refused", "will not")
        return Reply("is it?")

    for count in (2, 3):
        simulate(targets(count), Asking(script), Answering(), out=tmp_path / "x.json", rounds=1)
    with RunFile.reading(tmp_path / "x.run") as run:
        assert [id_ for id_, *_ in run.targets()] == [target.id for target in targets(3)]
        sittings = run.sittings()
        assert sum(seconds for _, seconds, _ in sittings) == pytest.approx(run.seconds())
    assert [ran_on.keys() for _, _, ran_on in sittings] == 2 * [provenance().keys()]
    assert all(started.endswith("Z") for started, _, _ in sittings)


@pytest.mark.parametrize("text", ["nonsense", "[]", "[" * 100_000])
def test_facts_that_are_damaged_are_told(file: Path, text: str) -> None:
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("UPDATE sessions SET provenance = ?", (text,))
        db.execute("UPDATE run SET value = ?", (text,))
    with RunFile.reading(file) as run:
        with pytest.raises(InputError, match=r"x\.run: the run file is damaged: its configuration is gone"):
            _ = run.config
        with pytest.raises(InputError, match=r"x\.run: the run file is damaged: what it ran on is gone"):
            run.sittings()


def test_rows_left_unread_are_no_trouble(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", noise.append)
    with RunFile.reading(file) as run:
        digests = run.digests()
        next(digests)
    del digests
    assert not noise
