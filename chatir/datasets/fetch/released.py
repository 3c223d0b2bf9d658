"""The released dialogues and corpus list, through pooch: a file appears only with the sum that we know it by."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pooch
from requests import HTTPError, RequestException, Timeout

from chatir.datasets.data_folder import RELEASED, RELEASED_URL, ReleasedFile
from chatir.datasets.fetch.source import FetchError, base_address
from chatir.errors import InputError
from chatir.storage.files import os_error

PASSING = (408, 429)
"""Client errors that another attempt may not meet; after any other 4xx none is made."""

SLOWEST = 4
"""Time-outs without a byte after which nobody is writing a file."""

pooch.get_logger().setLevel(logging.WARNING)


def fetch_released(
    folder: Path,
    base_url: str = RELEASED_URL,
    progress: Callable[[str], None] = lambda line: None,
    *,
    table: Sequence[ReleasedFile] = RELEASED,
    retries: int = 3,
    timeout: float = 30.0,
) -> list[Path]:
    """Bring the released files into `folder`, under the paths they have in their repository.

    Files already there are kept. base_url: what their paths follow. progress: called with one line for each file.
    table: the files to bring. retries: further attempts for each file. timeout: seconds without a byte.

    Raises InputError, before anything is fetched, for a file there with another content (never overwritten),
    or when the folder cannot be written; FetchError when the source does not give a file, or another one.
    """
    base_url = base_address(base_url)
    missing = [file for file in table if not _present(folder / file.name, file.sha256)]
    for file in table:
        if file in missing:
            _fetch(file, folder, base_url, retries, timeout)
        progress(f"{file.name}: {'fetched' if file in missing else 'already there'}")
    return [folder / file.name for file in table]


def _present(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            same = hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False
    except OSError as error:
        raise os_error(path, error) from None
    if not same:
        raise InputError(
            f"{path}: is not the released file (its sha256 differs); move it away, then type the same command again"
        )
    return True


def _fetch(file: ReleasedFile, folder: Path, base_url: str, retries: int, timeout: float) -> None:
    path, url = folder / file.name, base_url + file.name
    _remove_leftovers(path.parent, SLOWEST * timeout)
    download = pooch.HTTPDownloader(timeout=timeout)

    def failure(reason: str) -> FetchError:
        return FetchError(
            f"{path}: not fetched from {url}: {reason}; type the same command again, or name a mirror with --base-url"
        )

    def downloader(url: str, part: str, source: object) -> None:
        try:
            download(url, part, source)
        except HTTPError as error:
            if (status := _status(error)) < 500 and status not in PASSING:
                raise failure(f"HTTP {status}") from None
            raise
        Path(part).chmod(0o644)  # pooch's temporary files are their owner's alone, a data folder may be shared

    registry = {file.name: file.sha256}
    source = pooch.create(folder.absolute(), base_url, registry=registry, retry_if_failed=retries)
    try:
        source.fetch(file.name, downloader=downloader)
    except HTTPError as error:
        raise failure(f"HTTP {_status(error)}") from None
    except Timeout:
        raise failure(f"no answer within {timeout:g} s") from None
    except RequestException as error:
        raise failure(f"the connection failed ({type(error).__name__})") from None
    except ValueError:
        raise failure("what came is not the released file (its sha256 differs)") from None
    except PermissionError:  # pooch's own text tells the rest at length
        raise InputError(f"{path}: permission denied") from None
    except OSError as error:
        raise os_error(path, error) from None


def _remove_leftovers(folder: Path, seconds: float) -> None:
    """Remove what killed processes left of downloads: pooch's temporary files to which nothing came for so long."""
    for file in folder.glob("tmp*"):
        with suppress(OSError):
            if re.fullmatch(r"tmp[a-z0-9_]{8}", file.name) and time.time() - file.stat().st_mtime > seconds:
                file.unlink()


def _status(error: HTTPError) -> int:
    assert error.response is not None  # only a response makes an HTTPError
    return error.response.status_code
