"""`chatir runs`: what runs a folder holds."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from chatir.commands.arguments import format_option, terminal_width
from chatir.console import note, say, shown_progress


@click.command()
@click.argument("folder", default="outputs", type=click.Path(path_type=Path, file_okay=False), metavar="[DIR]")
@format_option("RUNS", "table", "json")
def runs(folder: Path, form: str) -> None:
    """List the runs in a folder, with their states and costs.

    DIR (outputs unless named) is searched with the folders in it, for run files and for dialogue files. A state is
    done, unfinished, being written, failed dialogs (the same 'chatir simulate' tries them again), imported (a dialogue
    file that was made elsewhere) or damaged. Nothing is changed, and a run that is being written goes on undisturbed.
    """
    import json

    from chatir.compare.shown.overview_table import overview_text
    from chatir.compare.shown.overviews import find_runs

    with shown_progress(sys.stderr) as report:
        found = find_runs(folder, note, report)
    if form == "json":
        say(json.dumps([run.as_json() for run in found], indent=2))
    elif found:
        say(overview_text(found, width=terminal_width()))
    else:
        note(f"there are no runs in {folder}")
