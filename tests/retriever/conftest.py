"""What tests of indexes share: images, their list, and a data folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from retriever.colors import COUNT, SHARD, Colors, Index, write_images

from chatir.retriever.index import index_folder
from chatir.retriever.index.indexing import Indexed, index_images


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Images that nobody changes, and their list."""
    root = tmp_path_factory.mktemp("collection")
    return root, write_images(root, COUNT)


@pytest.fixture
def images(collection: tuple[Path, list[str]], tmp_path: Path) -> Path:
    """A copy of them to change."""
    return Path(shutil.copytree(collection[0], tmp_path / "images"))


@pytest.fixture
def names(collection: tuple[Path, list[str]]) -> list[str]:
    return list(collection[1])


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of its own, and shards of a few images."""
    monkeypatch.setenv("CHATIR_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(index_folder, "SHARD_SIZE", SHARD)
    return tmp_path / "data"


@pytest.fixture
def index(images: Path, names: list[str], data: Path) -> Index:
    """Index the images, with some options of its own each time."""

    def made(retriever: object | None = None, root: Path = images, **options: object) -> Indexed:
        given = {"images": names, "threads": 2, **options}
        return index_images(retriever or Colors(), root=root, **given)

    return made
