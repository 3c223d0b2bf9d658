"""Near-duplicates: questions that ask almost what the same dialog has asked before, in other words."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from typing import IO

import numpy as np
from numpy.typing import NDArray

from chatir.dialog import Dialog
from chatir.errors import InputError
from chatir.measures.questions import normalised_question
from chatir.models.local.sentences import SentenceEncoder
from chatir.storage.files import os_error

ROUNDING = 1e-6
"""How far from 1 the cosine of two texts may come out that the model reads alike."""
AT_ONCE = 8192
"""Texts that are encoded from one report to the next."""
ROWS = 512
"""Questions of a dialog that are held against the earlier ones at once."""

Report = Callable[[object], None]


def near_duplicates(
    runs: Sequence[Sequence[Dialog]], threshold: float, *, report: Report = lambda progress: None
) -> list[NDArray[np.int64]]:
    """For each run, how many questions of each dialog [dialogs] are close to an earlier question of the same dialog.

    Close: the cosine of the normalised questions, as all-MiniLM-L6-v2 encodes them, reaches the threshold, which is
    above 0 and at most 1. Exact repeats always count. A text is encoded once, however often it is asked in whatever
    run, and its vector waits in a temporary file. report: called with what to show as it goes on.

    Raises InputError for another threshold, and without the package that carries the model.
    """
    if not 0 < threshold <= 1:
        raise InputError(f"the cosine of near-duplicates is {threshold}, but must be above 0 and at most 1")
    encoder = SentenceEncoder()
    places: dict[str, int] = {}
    asked = [[_places(dialog, places) for dialog in run] for run in runs]
    order = sorted(places, key=lambda text: (len(text), text))  # like lengths together: little padding
    row = np.empty(len(order), np.int64)
    row[[places[text] for text in order]] = np.arange(len(order))
    with _waiting_room() as file:
        vectors = _vectors(order, encoder, file, report)
        return [
            np.array([_close(row[texts], vectors, threshold - ROUNDING) for texts in run], dtype=np.int64)
            for run in asked
        ]


def _places(dialog: Dialog, places: dict[str, int]) -> NDArray[np.int64]:
    """Which text each question is [rounds]; a new text takes the next place."""
    texts = (normalised_question(one.question) for one in dialog.rounds)
    return np.array([places.setdefault(text, len(places)) for text in texts], dtype=np.int64)


def _vectors(texts: Sequence[str], encoder: SentenceEncoder, file: IO[bytes], report: Report) -> NDArray[np.float32]:
    """The texts' unit vectors [texts, d], read from the file as they are needed."""
    dimension = 0
    for start in range(0, len(texts), AT_ONCE):
        report(f"near-duplicates: {start} of {len(texts)} questions encoded")
        found = encoder.encode(texts[start : start + AT_ONCE])
        dimension = found.shape[1]
        try:
            file.write(found.tobytes())
            file.flush()
        except OSError as error:
            raise os_error(tempfile.gettempdir(), error) from None
    return np.memmap(file, np.float32, "r", shape=(len(texts), dimension)) if texts else np.empty((0, 0), np.float32)


def _close(texts: NDArray[np.int64], vectors: NDArray[np.float32], threshold: float) -> int:
    """Questions of one dialog that repeat an earlier one or reach its likeness."""
    _, first = np.unique(texts, return_index=True)
    new = vectors[texts[np.sort(first)]]
    close = len(texts) - len(new)
    for start in range(0, len(new), ROWS):
        likeness = new[start : start + ROWS] @ new[: start + ROWS].T
        close += int((np.tril(likeness, start - 1) >= threshold).any(axis=1).sum())
    return close


def _waiting_room() -> IO[bytes]:
    """A file that is gone when it is closed."""
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"sentence embeddings need a temporary file: {reason}; TMPDIR names another place") from None
