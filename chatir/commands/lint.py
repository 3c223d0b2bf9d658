"""`chatir lint`: count the defects of dialogue files."""

from __future__ import annotations

from pathlib import Path

import click

from chatir.commands.arguments import FILE, format_option
from chatir.console import note, say


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@click.option(
    "--reference", type=FILE, metavar="FILE", help="A dialogue file over the same targets to hold each file against."
)
@click.option(
    "--rounds",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    metavar="N",
    help="Rounds that a dialog should have.",
)
@format_option("LINT", "table", "json")
def lint(files: tuple[Path, ...], reference: Path | None, rounds: int, form: str) -> None:
    """Count the defects of dialogue files.

    Leaked labels, lost question marks, empty answers, odd spacing, images named twice and more; with
    --reference also dialogs that are missing, extra, of another caption or in another order. Findings do not
    change the exit code.
    """
    import json

    from chatir.datasets.lint import lint as lint_file
    from chatir.datasets.lint_table import lint_table
    from chatir.measures.counts import QUERIES

    reports = [lint_file(file, reference, rounds=rounds) for file in files]
    for report in reports:
        if not report.asks:
            note(f"{report.file}: {QUERIES}")
    say(json.dumps([report.as_json() for report in reports], indent=2) if form == "json" else lint_table(reports))
