"""What tests of commands share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from chatir.cli import run


@pytest.fixture
def typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Type a command in a folder of its own, which has a folder `outputs`: its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHATIR_DATA", str(tmp_path / "data"))
    Path("outputs").mkdir()

    def type_(*words: str) -> tuple[int, str, str]:
        code = run(words)
        return code, *capsys.readouterr()

    return type_
