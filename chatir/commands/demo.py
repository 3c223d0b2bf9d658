"""`chatir demo`: the whole story on small scenes, offline, by commands that are shown as they are run."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path

import click

from chatir.console import duration, say
from chatir.errors import InputError

TYPED = ("SCENES", "SIMULATE", "SCORE", "COMPARE")
"""The commands that the demo types; options of theirs that are in the environment would make them others."""


@click.command()
@click.argument(
    "folder", required=False, type=click.Path(path_type=Path, file_okay=False), default="demo", metavar="[DIR]"
)
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=100,
    show_default=True,
    metavar="N",
    help="Targets of each run; a later call in the same DIR may have another N.",
)
@click.option(
    "--with-smollm2", "smollm2", envvar="CHATIR_DEMO_WITH_SMOLLM2", is_flag=True, help="Let SmolLM2 ask, too."
)
@click.pass_context
def demo(context: click.Context, folder: Path, limit: int, smollm2: bool) -> None:
    """Show the whole story, offline.

    On pictures that are drawn for it, people and three ways of asking a small T5 hold dialogs with people and a small
    BLIP-2; a small CLIP searches for the pictures; the runs are compared. It needs no GPU, key or download. Each
    step is a command that is printed before it is run. All is written to DIR, 'demo' unless given, but for the index
    of the pictures, which goes to the data folder as any index does. The same command goes on where it was.

    --with-smollm2 adds a real language model, SmolLM2-135M, on ten targets. 'chatir fetch smollm2' brings it.
    """
    from chatir.commands.demo_steps import Demo
    from chatir.plugins import build

    if str(folder).startswith("-"):
        raise InputError(f"{folder}: a folder whose name begins with - would be read as an option; name another")
    if smollm2:
        build("questioners", "smollm2", {})  # what it lacks is told before anything is done
    begun = time.monotonic()
    told = Demo(folder, limit, smollm2)
    _forget_options()
    bold = sys.stdout is not None and sys.stdout.isatty()
    for step in told.steps():
        line = f"$ {shlex.join(['chatir', *step.words])}"
        say(f"\n# {step.about}\n{click.style(line, bold=True) if bold else line}")
        code = context.find_root().command.main([*step.words], prog_name="chatir", standalone_mode=False)
        if code:
            raise click.exceptions.Exit(code)
    say(f"\nThat took {duration(time.monotonic() - begun)}. To be opened in a browser:")
    for report in told.reports:
        say(report)


def _forget_options() -> None:
    """Take out of the environment of this process what would change the commands that are shown."""
    for name in [*os.environ]:
        if name.startswith(tuple(f"CHATIR_{command}_" for command in TYPED)):
            del os.environ[name]
