import os
import stat
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from http_source import Served, Source

from chatir.datasets.data_folder import RELEASED, ReleasedFile
from chatir.datasets.fetch import FetchError, fetch_released
from chatir.errors import InputError

QUERIES = b'[{"img": "unlabeled2017/000000185565.jpg", "dialog": ["a cat"]}]'
CORPUS = b'["unlabeled2017/000000185565.jpg"]'
TABLE = (
    ReleasedFile("dialogues/queries.json", sha256(QUERIES).hexdigest()),
    ReleasedFile("protocol/corpus.json", sha256(CORPUS).hexdigest()),
)


@pytest.fixture
def released(source: Source) -> Source:
    source.give = {"/main/dialogues/queries.json": [Served(QUERIES)], "/main/protocol/corpus.json": [Served(CORPUS)]}
    return source


def fetch(source: Source, folder: Path, **options: object) -> list[Path]:
    defaults = {"base_url": f"{source.url}main/", "table": TABLE, "retries": 0, "timeout": 5}
    return fetch_released(folder, **(defaults | options))


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_files_lie_where_they_lay_in_their_repository(released: Source, tmp_path: Path) -> None:
    lines: list[str] = []
    paths = fetch(released, tmp_path / "new" / "data", progress=lines.append)
    assert paths == [tmp_path / "new" / "data" / file.name for file in TABLE]
    assert [path.read_bytes() for path in paths] == [QUERIES, CORPUS]
    assert lines == ["dialogues/queries.json: fetched", "protocol/corpus.json: fetched"]


def test_nothing_is_printed(released: Source, tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from chatir.datasets.data_folder import ReleasedFile
from chatir.datasets.fetch import fetch_released
fetch_released(Path(sys.argv[1]), {released.url + "main"!r}, table={TABLE!r})
"""
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert len(released.requests) == len(TABLE)


def test_others_may_read_what_was_fetched(released: Source, tmp_path: Path) -> None:
    assert all(path.stat().st_mode & stat.S_IROTH for path in fetch(released, tmp_path))


def test_what_a_killed_download_left_is_removed(released: Source, tmp_path: Path) -> None:
    (tmp_path / "protocol").mkdir()
    left = {name: tmp_path / "protocol" / name for name in ("tmpk3v_9x0q", "tmpwritten_", "tmpk3v_9x0q.txt")}
    for name, path in left.items():
        path.touch()
        if name != "tmpwritten_":
            os.utime(path, (1e9, 1e9))
    fetch(released, tmp_path)
    assert not left.pop("tmpk3v_9x0q").exists()
    assert all(path.exists() for path in left.values()), "what is being written, and what is none"


def test_what_is_there_is_not_asked_for_again(released: Source, tmp_path: Path) -> None:
    fetch(released, tmp_path)
    lines: list[str] = []
    asked = len(released.requests)
    fetch(released, tmp_path, progress=lines.append)
    assert asked == len(released.requests) == 2
    assert lines == ["dialogues/queries.json: already there", "protocol/corpus.json: already there"]


def test_a_partial_folder_is_completed(released: Source, tmp_path: Path) -> None:
    fetch(released, tmp_path)
    (tmp_path / TABLE[0].name).unlink()
    released.requests.clear()
    fetch(released, tmp_path)
    assert released.requests == ["/main/dialogues/queries.json"]


def test_an_address_needs_no_slash_at_its_end(released: Source, tmp_path: Path) -> None:
    assert fetch(released, tmp_path, base_url=f"{released.url}main")[0].read_bytes() == QUERIES


def test_a_file_that_its_owner_changed_is_never_overwritten(released: Source, tmp_path: Path) -> None:
    mine = tmp_path / TABLE[1].name
    mine.parent.mkdir()
    mine.write_text("my own corpus")
    with pytest.raises(InputError, match=rf"{mine}: is not the released file .* move it away") as refused:
        fetch(released, tmp_path)
    assert "\n" not in str(refused.value)
    assert mine.read_text() == "my own corpus"
    assert released.requests == []


@pytest.mark.parametrize(
    ("served", "reason"),
    [
        (Served(QUERIES.replace(b"cat", b"dog")), "sha256 differs"),
        (Served(QUERIES[:20]), "sha256 differs"),
        (Served(b"<html>sign in</html>"), "sha256 differs"),
        (Served(QUERIES[:20], length=len(QUERIES)), "the connection failed"),
        (Served(status=404), "HTTP 404"),
        (Served(status=500), "HTTP 500"),
        (Served(hang=True), "no answer within 0.2 s"),
        (Served(status=302, location="/main/dialogues/queries.json"), "the connection failed .TooManyRedirects"),
    ],
    ids=["tampered", "short", "html", "truncated", "missing", "broken", "hanging", "circular"],
)
def test_what_is_not_the_whole_released_file_never_gets_its_name(
    released: Source, tmp_path: Path, served: Served, reason: str
) -> None:
    released.give["/main/dialogues/queries.json"] = [served]
    with pytest.raises(FetchError, match=reason) as error:
        fetch(released, tmp_path, timeout=0.2 if served.hang else 5)
    message = str(error.value)
    assert error.value.exit_code == 1
    assert str(tmp_path / TABLE[0].name) in message
    assert f"{released.url}main/dialogues/queries.json" in message
    assert "type the same command again" in message
    assert "--base-url" in message
    assert "\n" not in message
    assert files(tmp_path) == []


def test_what_came_before_a_failure_is_kept_and_the_same_call_completes_it(released: Source, tmp_path: Path) -> None:
    released.give["/main/protocol/corpus.json"] = [Served(status=404), Served(CORPUS)]
    with pytest.raises(FetchError):
        fetch(released, tmp_path)
    assert files(tmp_path) == [TABLE[0].name]
    assert fetch(released, tmp_path)[1].read_bytes() == CORPUS


def test_a_server_that_stumbles_is_asked_again(released: Source, tmp_path: Path) -> None:
    released.give["/main/dialogues/queries.json"] = [Served(status=503), Served(QUERIES)]
    assert fetch(released, tmp_path, retries=1)[0].read_bytes() == QUERIES


def test_a_file_that_is_missing_is_asked_for_once(released: Source, tmp_path: Path) -> None:
    released.give["/main/dialogues/queries.json"] = [Served(status=404)]
    with pytest.raises(FetchError):
        fetch(released, tmp_path, retries=3)
    assert len(released.requests) == 1


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"http://127\.0\.0\.1:9/main/dialogues/queries\.json: the connection failed"):
        fetch(Source("http://127.0.0.1:9/"), tmp_path)


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "example.org/data",
        "file:///etc/",
        "doi:10.5281/zenodo.1",
        "http://",
        "http://[1/",
        "http://h:x/",
        "http://h/?k=v",
    ],
)
def test_an_address_that_is_none(base_url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--base-url: must be an http"):
        fetch_released(tmp_path, base_url)


def test_a_password_is_neither_used_nor_repeated(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        fetch_released(tmp_path, "http://me:secret@127.0.0.1:9/")
    assert "secret" not in str(refused.value)


def test_a_folder_that_cannot_be_written(released: Source, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match=rf"{tmp_path}/file/.*: not a directory"):
        fetch(released, tmp_path / "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_must_not_be_written(released: Source, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="permission denied"):
        fetch(released, tmp_path)


def test_the_sums_are_those_of_the_released_files(shared: Path) -> None:
    here = [file for file in RELEASED if (shared / "data" / "chatir" / file.name).is_file()]
    assert here
    for file in here:
        assert sha256((shared / "data" / "chatir" / file.name).read_bytes()).hexdigest() == file.sha256, file.name
