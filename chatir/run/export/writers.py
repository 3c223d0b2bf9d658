"""What exports are written by: a writer fills an empty folder, and tells the rows of each file in it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from chatir.errors import InputError
from chatir.run.export.dataset import dialog_rows, features
from chatir.run.export.tables import Row, tables
from chatir.run.runs import Run
from chatir.storage.files import part_folder_of

ROWS_AT_ONCE = 8192
DIALOGS_AT_ONCE = 1024
"""What is held in memory at once, beside the run."""

Writer = Callable[[Run, Path], dict[str, int]]


def csv_files(run: Run, folder: Path) -> dict[str, int]:
    """A CSV file for each table: UTF-8, every text in quotes, what is not known left empty.

    Texts are as they stand, whatever they look like: `pandas.read_csv(file, dtype=str, keep_default_na=False)` gives
    each of them back. A program for spreadsheets may take one that begins with `=` for a formula.
    """
    written = {}
    for table in tables(run):
        name = f"{table.name}.csv"
        with (folder / name).open("x", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
            writer.writerow(table.columns)
            written[name] = 0
            for row in table.rows:
                writer.writerow([row[column] for column in table.columns])
                written[name] += 1
    return written


def parquet_files(run: Run, folder: Path) -> dict[str, int]:
    """A Parquet file for each table, with typed columns; what is not known is null.

    Raises InputError without the package pyarrow.
    """
    arrow, parquet = _needed("pyarrow", "parquet"), _needed("pyarrow.parquet", "parquet")
    kinds = {str: arrow.string(), int: arrow.int64(), bool: arrow.bool_()}
    written = {}
    for table in tables(run):
        name = f"{table.name}.parquet"
        schema = arrow.schema([(column, kinds[kind]) for column, kind in table.columns.items()])
        with parquet.ParquetWriter(folder / name, schema) as writer:
            written[name] = 0
            for rows in _chunks(table.rows, ROWS_AT_ONCE):
                writer.write_table(arrow.Table.from_pylist(rows, schema))
                written[name] += len(rows)
    return written


def dataset_folder(run: Run, folder: Path) -> dict[str, int]:
    """The dialogs, a row each, as `datasets.load_from_disk` reads them. Raises InputError without that package."""
    datasets, arrow = _needed("datasets", "datasets"), _needed("pyarrow", "datasets")
    typed = features(datasets)
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        # Through a file, which the package maps, and which takes no memory from anybody.
        with part_folder_of(folder.with_name(f"{folder.name}.stream")) as beside:
            stream_file = str(Path(beside, "dialogs.arrow"))
            with arrow.ipc.new_stream(stream_file, typed.arrow_schema) as stream:
                for rows in _chunks(dialog_rows(run), DIALOGS_AT_ONCE):
                    stream.write_table(arrow.Table.from_pylist(rows, typed.arrow_schema))
            dataset = datasets.Dataset.from_file(stream_file)
            dataset.save_to_disk(folder)
    finally:
        if shown:
            datasets.enable_progress_bars()
    return {"": len(dataset)}


WRITERS: Mapping[str, Writer] = {"csv": csv_files, "parquet": parquet_files, "datasets": dataset_folder}
"""What a run can be exported to."""


def _chunks(rows: Iterable[Row], most: int) -> Iterator[list[Row]]:
    rows = iter(rows)
    while some := list(islice(rows, most)):
        yield some


def _needed(module: str, form: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise InputError(f"{form} is written by the package {package}: pip install 'chatir[datasets]'") from None
