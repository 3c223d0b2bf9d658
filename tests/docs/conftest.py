"""A data folder as `chatir fetch` leaves it, as far as the released files are at hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from docs.pages import PROJECT

RELEASED = PROJECT.parent / "shared" / "data" / "chatir"


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of the released files, and the indexes that pages make, for later pages to find."""
    folder = tmp_path_factory.mktemp("data")
    if RELEASED.is_dir():
        shutil.copytree(RELEASED, folder, dirs_exist_ok=True)
    return folder
