"""Room on the disk that a run keeps for the replies that have come when the disk is full."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

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
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._file.fileno(), 0, RESERVED)
            else:
                self._file.write(bytes(RESERVED))
                self._file.flush()
        except OSError as error:
            told = (error.strerror or str(error)).lower()
            raise InputError(f"{path}: {told}: a run begins with {RESERVED / 2**20:.0f} MiB of room") from None

    def release(self) -> None:
        """Give the room back."""
        self._file.close()
