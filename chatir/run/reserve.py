"""Room on the disk that a run keeps for the replies that have come when the disk is full."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import IO

from chatir.errors import InputError

RESERVED = 4 * 2**20
"""Bytes: more than the replies that can be under way, and the pages of the run file that they change."""


class Reserve:
    """A file without a name, so that it is gone with its process, in the folder of a run file.

    Raises InputError where the disk has no room for it, before anything is asked.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = tempfile.TemporaryFile(dir=path.resolve().parent)  # noqa: SIM115 - closed by `release`
            _fill(self._file)
        except OSError as error:
            told = (error.strerror or str(error)).lower()
            raise InputError(f"{path}: {told}: a run begins with {RESERVED / 2**20:.0f} MiB of room") from None

    @property
    def kept(self) -> bool:
        """Whether the room is still held."""
        return not self._file.closed

    def release(self) -> None:
        """Give the room back."""
        self._file.close()


def _fill(file: IO[bytes]) -> None:
    """Take room for a file. Raises OSError where there is not enough."""
    try:
        os.posix_fallocate(file.fileno(), 0, RESERVED)
    except (AttributeError, OSError) as error:  # macOS has no such call, and some file systems refuse it
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        file.write(bytes(RESERVED))
        file.flush()
