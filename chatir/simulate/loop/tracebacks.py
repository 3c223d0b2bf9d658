"""Exceptions of players as lines to read, whatever these exceptions do when they are printed."""

from __future__ import annotations

import traceback
from pathlib import Path

FIRST_LINES, LAST_LINES = 12, 28
"""Lines of a longer traceback that are shown."""
_LOOP = Path(__file__).parent


def exception_line(error: BaseException) -> str:
    """An exception as the last line of its traceback shows it; its type alone where it has no text."""
    try:
        told = str(error)
    except BaseException:  # an exception may do anything there
        told = ""
    return f"{type(error).__name__}: {told}" if told else type(error).__name__


def exception_text(error: BaseException, *, own: bool = False) -> str:
    """The whole traceback, or what Python can tell of it. own: without the frames of the loop, which called."""
    frames = error.__traceback__
    while own and frames is not None and Path(frames.tb_frame.f_code.co_filename).parent == _LOOP:
        frames = frames.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, frames))
    except BaseException:  # an exception that cannot even be printed
        return exception_line(error)


def shown_lines(error: BaseException) -> list[str]:
    """The lines of a traceback, cut in the middle where they are many."""
    lines = [line for line in exception_text(error, own=True).splitlines() if line.strip()]
    if (more := len(lines) - FIRST_LINES - LAST_LINES) <= 0:
        return lines
    return [*lines[:FIRST_LINES], f"  ... {more} lines are left out", *lines[-LAST_LINES:]]
