"""Exporting a run: its dialogue file, and the ranks of the run file beside it, into a new folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from chatir.errors import InputError
from chatir.run.export.tables import labelled_rankings
from chatir.run.export.writers import WRITERS
from chatir.run.runs import read_runs
from chatir.storage.files import os_error, part_folder_of


def export(
    file: Path | str, to: str, folder: Path | str, note: Callable[[str], None] = lambda line: None
) -> dict[Path, int]:
    """Export a dialogue file, with the ranks of its run file, and tell what was written, with the rows of each.

    - `file`: the dialogue file
    - `to`: `csv` or `parquet`, a file for each table; or `datasets`, a folder that `datasets.load_from_disk` reads
    - `folder`: a new or an empty one, filled as a whole or not at all
    - `note`: called with a line for what is left out

    Raises InputError for another `to`, a folder that holds something or cannot be written, what is no dialogue file, a
    run file that is damaged, and without the packages that are needed.
    """
    if (write := WRITERS.get(to)) is None:
        raise InputError(f"{to!r} is nothing that a run is exported to; it is one of: {', '.join(WRITERS)}")
    folder = Path(folder)
    _check_free(folder)
    (run,) = read_runs([file], note)
    for label, _, ranks in labelled_rankings(run):
        if missing := len(run.dialogs) - len(ranks):
            told = f"{missing} of {len(run.dialogs)} dialogs have no ranks by {label}, or only ranks of other texts"
            note(f"{file}: {told}; 'chatir score' makes them")
    with _new_folder(folder) as part:
        written = write(run, part)
    return {folder / name: rows for name, rows in written.items()}


def _check_free(folder: Path) -> None:
    """Raise InputError unless the folder is empty or not there."""
    try:
        for path in (folder, *folder.parents):
            if path.exists() and not path.is_dir():
                raise InputError(f"{path}: is a file, but a folder is needed; name a new one")
        if folder.is_dir() and any(folder.iterdir()):
            raise InputError(f"{folder}: holds something already, which is not overwritten; name a new folder")
        if folder.resolve() == Path.cwd():
            raise InputError(f"{folder}: is the folder that you are in; name a new one")
    except OSError as error:
        raise os_error(folder, error) from None


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, beside the one that it becomes once that is done; an empty one is replaced."""
    folder = folder.resolve()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise os_error(folder, error) from None
    with part_folder_of(folder) as part:
        yield part
        part.rename(folder)
