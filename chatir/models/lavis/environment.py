"""LAVIS's own environment: where it is, how it is made, and what is wrong with it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatir.datasets.data_folder import data_folder
from chatir.errors import InputError
from chatir.models.lavis.worker_process import FOREIGN, WorkerDiedError, WorkerError, lavis_worker, told
from chatir.storage.files import atomic_writer, os_error

PYTHONS = ((3, 11), (3, 10))
"""Versions of Python that LAVIS's packages and torch both know, the best one first."""

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
ALONE = Path(__file__).with_name("requirements-no-deps.txt")
STAMP = "chatir.json"
"""What is written last into an environment: it is whole."""
LOG = "chatir-install.log"
STEPS = ("Collecting", "Processing", "Downloading", "Building", "Installing")
"""What pip says that tells how far it is."""
MAKE = "'chatir lavis install' makes it"


@dataclass(frozen=True)
class Environment:
    """A virtual environment in a folder."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its Python."""
        return self.folder / "bin" / "python"

    @property
    def log(self) -> Path:
        """What was said as it was made."""
        return self.folder / LOG

    @property
    def versions(self) -> dict[str, Any] | None:
        """What is in it, None unless it is whole and of these requirements."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            stamp = json.loads((self.folder / STAMP).read_bytes())
            if stamp["requirements"] == requirements_sha256() and self.python.exists():
                return dict(stamp["versions"])
        return None


def environment() -> Environment:
    """LAVIS's environment, in the data folder; it need not exist."""
    return Environment((data_folder() / "lavis").resolve())


def requirements_sha256() -> str:
    """Hash of all that an environment is made by."""
    return hashlib.sha256(REQUIREMENTS.read_bytes() + ALONE.read_bytes()).hexdigest()


def lavis_python(python: Path | None = None) -> Path:
    """The Python to run LAVIS with: the one given, else that of the environment.

    Raises InputError where that is no program, or there is no whole environment.
    """
    if python is not None:
        if not python.is_file() or not os.access(python, os.X_OK):
            raise InputError(f"python={python}: is no program; name a Python that has LAVIS")
        return python
    made = environment()
    if not made.folder.exists():
        raise InputError(f"LAVIS has no environment in {made.folder}: {MAKE}")
    if made.versions is None:
        raise InputError(f"LAVIS's environment in {made.folder} is not whole, or of another chatir: {MAKE} anew")
    return made.python


def install(
    python: Path | None, tell: Callable[[str], None], show: Callable[[object], None], *, fresh: bool = False
) -> Environment:
    """Make LAVIS's environment, unless it is there; `fresh` makes it anew all the same.

    python: to make it of; by default the one at work or one on the PATH. tell: called with a line before it begins.
    show: called with what goes on.

    Raises InputError if it cannot be made.
    """
    made = environment()
    with _alone(made.folder):
        if made.versions is not None and not fresh:
            return made
        base = _base_python(python)
        _clear(made.folder)
        tell(f"installing LAVIS in {made.folder}: some minutes, 2 GB of disk, more where torch comes with CUDA")
        try:
            made.folder.mkdir(parents=True)
        except OSError as error:
            raise os_error(made.folder, error) from None
        pip: list[str | Path] = [made.python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
        _run([base, "-m", "venv", made.folder], made, show)
        _run([*pip, "-r", REQUIREMENTS], made, show)
        # What fairscale is built with must be at hand, and is: its build asks for torch.
        _run([*pip, "--no-deps", "--no-build-isolation", "-r", ALONE], made, show)
        show("importing LAVIS")
        stamp = {"requirements": requirements_sha256(), "versions": _tried(made)}
        with atomic_writer(made.folder / STAMP) as file:
            file.write(json.dumps(stamp, indent=2).encode())
    return made


def _tried(made: Environment) -> dict[str, Any]:
    """What a worker tells of the environment once it has imported LAVIS. Raises InputError if it cannot."""
    with closing(lavis_worker(made.python, made.log)) as worker:
        try:
            worker.ask("imports")
            return worker.ask("about")
        except (WorkerError, WorkerDiedError) as error:
            raise told(error) from None


def _base_python(python: Path | None) -> Path:
    """The Python to make the environment of. Raises InputError where there is none that will do."""
    wanted = " or ".join(f"{major}.{minor}" for major, minor in sorted(PYTHONS))
    if python is not None:
        version = _version_of(python)
        if version is None:
            raise InputError(f"--python {python}: is no Python")
        if version not in PYTHONS:
            raise InputError(f"--python {python}: is Python {version[0]}.{version[1]}, but LAVIS needs {wanted}")
        return python
    if sys.version_info[:2] in PYTHONS:
        return Path(sys.executable)
    for major, minor in PYTHONS:
        found = shutil.which(f"python{major}.{minor}")
        if found and _version_of(Path(found)) == (major, minor):
            return Path(found)
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    raise InputError(f"LAVIS needs Python {wanted}, chatir runs on {here}, and none is on the PATH: give --python PATH")


def _version_of(python: Path) -> tuple[int, int] | None:
    """Major and minor version of a Python, None if it is none."""
    code = "import sys; print(*sys.version_info[:2])"
    with suppress(OSError, ValueError, subprocess.SubprocessError):
        told = subprocess.run([python, "-I", "-c", code], capture_output=True, check=True, timeout=30).stdout
        major, minor = map(int, told.split())
        return major, minor
    return None


def _clear(folder: Path) -> None:
    """Remove an environment, whole or half-made. Raises InputError for a folder that is none."""
    old = folder.with_name(f".{folder.name}.old")
    try:
        if folder.exists():
            names = {each.name for each in folder.iterdir()} if folder.is_dir() else {"a file"}
            if names and not names & {LOG, STAMP}:
                raise InputError(f"{folder}: is there and is no environment that chatir made; move it away")
            _remove(old)
            folder.rename(old)  # whatever interrupts the removal, no ruin stands in its place
        _remove(old)
    except OSError as error:
        raise os_error(folder, error) from None


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _run(command: Sequence[str | Path], made: Environment, show: Callable[[object], None]) -> None:
    """Run a step, what it says into the log. Raises InputError with its last word if it fails."""
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    said = ""
    with made.log.open("a", encoding="utf-8") as log:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=surroundings,
            text=True,
            errors="replace",
        )
        assert process.stdout
        try:
            for line in process.stdout:
                log.write(line)
                if line.startswith("ERROR:") or (line.strip() and not said.startswith("ERROR:")):
                    said = line.strip()
                if line.startswith(STEPS):
                    show(line.strip()[:100])
        except BaseException:
            process.kill()
            raise
        finally:
            process.stdout.close()
            code = process.wait()
    if code:
        raise InputError(f"LAVIS cannot be installed: {said.removeprefix('ERROR:').strip()} (all is in {made.log})")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One installation at a time; the lock goes with the process that holds it."""
    lock = folder.with_name(f".{folder.name}.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    except OSError as error:
        raise os_error(lock, error) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{folder}: another 'chatir lavis install' is at work there; wait for it") from None
        yield
