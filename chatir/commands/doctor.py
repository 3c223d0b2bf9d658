"""`chatir doctor`: what can run here, and the line that mends what cannot."""

from __future__ import annotations

import click

from chatir.commands.arguments import format_option
from chatir.console import say


@click.command()
@format_option("DOCTOR", "table", "json")
def doctor(form: str) -> None:
    """Say what can run here, and what mends the rest.

    Machine and GPUs, packages, data, LAVIS, keys (set or not, never shown), the weights that the hub's cache
    has, and each installed questioner, answerer and retriever, with the line that mends each gap. Asks no
    server, changes nothing, and can go into a bug report as it is. Gaps are no errors: the exit code is 0.
    """
    import os
    import shutil
    import sys

    from chatir.commands.doctoring.examination import examine
    from chatir.commands.doctoring.examination_json import as_json
    from chatir.commands.doctoring.table import as_text

    found = examine()
    if form == "json":
        say(as_json(found))
        return
    terminal = sys.stdout is not None and sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else None
    color = terminal and "NO_COLOR" not in os.environ
    say(as_text(found, width=width, color=color, encoding=getattr(sys.stdout, "encoding", None) or "utf-8"))
