"""`chatir export`: a run as tables or as a dataset, for notebooks."""

from __future__ import annotations

from pathlib import Path

import click

from chatir.commands.arguments import FILE
from chatir.console import note, say


@click.command()
@click.argument("file", type=FILE, metavar="FILE")
@click.argument("folder", type=FILE, metavar="DIR")
@click.option(
    "--to",
    envvar="CHATIR_EXPORT_TO",
    type=click.Choice(["csv", "parquet", "datasets"]),
    required=True,
    help="What to write.",
)
def export(file: Path, folder: Path, to: str) -> None:
    """Write dialogs and their ranks for notebooks.

    CSV and PARQUET are a file for each table: dialogs, rounds and, if the run was scored, ranks. DATASETS is a folder
    that datasets.load_from_disk() reads, a row for each dialog. DIR is a new or an empty folder; nothing is
    overwritten. The dialogue file can be made again from each of them.
    """
    from chatir.run.export import export as export_file

    for path, rows in export_file(file, to, folder, note).items():
        say(f"{path}: {rows:,} rows")
