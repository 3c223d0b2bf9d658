"""`chatir show`: one run, or some of its dialogs."""

from __future__ import annotations

import click

from chatir.commands.arguments import format_option, terminal_width
from chatir.commands.completing import run_names
from chatir.console import say


@click.command()
@click.argument("run", metavar="RUN", shell_complete=run_names)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="X",
    help="Show the dialog about this target: its id, its image, or its number from 0; again for more.",
)
@format_option("SHOW", "table", "json")
def show(run: str, targets: tuple[str, ...], form: str) -> None:
    """Show how a run was made, or what was said in a dialog.

    RUN is a dialogue file, a run file, or a name in the folder outputs as 'chatir runs' shows it. Without --target:
    players, settings, state, sessions, what ranked the run, and failures. With it: the caption, each question and
    answer, the target's rank after each round, repeated questions, what a model said where that was cleaned, and what
    failed. Dialogs that failed or are unfinished are shown as far as they are. Nothing is changed.
    """
    import json

    from chatir.compare.shown.run_text import run_text
    from chatir.compare.shown.shown_run import show_run

    shown = show_run(run, targets)
    say(json.dumps(shown.as_json(), indent=2) if form == "json" else run_text(shown, width=terminal_width()))
