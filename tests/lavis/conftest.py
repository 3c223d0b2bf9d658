"""What the tests of LAVIS share: its environment, where it is installed, the small model in it, and scenes."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatir.models.lavis.environment import environment


@pytest.fixture(scope="session")
def lavis() -> Path:
    """The Python of the LAVIS environment."""
    made = environment()
    if made.versions is None:
        pytest.skip("the LAVIS environment is not installed: make lavis")
    return made.python


@pytest.fixture(scope="session")
def plugin(lavis: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in small BLIP-2 for LAVIS, as the plugin that registers it."""
    from lavis.converted import write_for_lavis

    return write_for_lavis(tmp_path_factory.mktemp("small") / "lavis")


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 32 scenes that no training saw."""
    from chatir.datasets.scenes.folder import write_scenes

    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, 32, 5)
    return folder
