from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest

from chatir.datasets.data_folder import (
    RELEASED,
    data_folder,
    default_corpus,
    default_images,
    default_targets,
    read_corpus,
)
from chatir.errors import InputError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHATIR_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_the_environment_names_the_data_folder(folder: Path) -> None:
    assert data_folder() == folder
    assert not folder.exists()


@pytest.mark.parametrize("value", [None, ""])
def test_without_it_the_folder_is_in_the_users_cache(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHATIR_DATA", raising=False)
    if value is not None:
        monkeypatch.setenv("CHATIR_DATA", value)
    assert data_folder() == platformdirs.user_cache_path("chatir")


def test_the_six_released_files() -> None:
    assert len({file.name for file in RELEASED}) == len({file.sha256 for file in RELEASED}) == 6
    assert all(len(bytes.fromhex(file.sha256)) == 32 for file in RELEASED)


@pytest.mark.parametrize(
    ("default", "name"),
    [
        (default_targets, "dialogues/VisDial_v1.0_queries_val.json"),
        (default_corpus, "ChatIR_Protocol/Search_Space_val_50k.json"),
    ],
)
def test_a_default_file_is_a_released_one(folder: Path, default: Callable[[], Path], name: str) -> None:
    assert name in {file.name for file in RELEASED}
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("[]")
    assert default() == folder / name


def test_the_default_images_lie_in_the_data_folder(folder: Path) -> None:
    assert default_images() is None
    (folder / "images").mkdir(parents=True)
    assert default_images() == folder / "images"


@pytest.mark.parametrize(("default", "option"), [(default_targets, "--targets"), (default_corpus, "--corpus")])
def test_what_is_missing_names_its_path_and_the_way_to_it(
    folder: Path, default: Callable[[], Path], option: str
) -> None:
    with pytest.raises(InputError) as missing:
        default()
    message = str(missing.value)
    assert message.startswith(f"{folder}/")
    assert "'chatir fetch' " in message
    assert option in message
    assert "\n" not in message


def test_a_corpus_keeps_its_order(tmp_path: Path) -> None:
    (tmp_path / "corpus.json").write_text('["b.jpg", "a.jpg"]')
    assert read_corpus(tmp_path / "corpus.json") == ["b.jpg", "a.jpg"]


@pytest.mark.parametrize("text", ['{"img": "a.jpg"}', '[{"img": "a.jpg"}]', "[1]", "[", ""])
def test_what_is_no_corpus_list_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "corpus.json").write_text(text)
    with pytest.raises(InputError, match=str(tmp_path / "corpus.json")):
        read_corpus(tmp_path / "corpus.json")
