"""`chatir lavis`: the environment that the answerer `blip2-lavis` runs in."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from chatir.commands.arguments import FILE
from chatir.console import note, say, shown_progress


@click.group()
def lavis() -> None:
    """The environment that the answerer 'blip2-lavis' runs in.

    LAVIS, the original home of BLIP-2, needs older packages than chatir, and so a Python environment of its own.
    """


@lavis.command()
@click.option(
    "--python",
    type=FILE,
    metavar="PATH",
    help="Python 3.10 or 3.11 to make it of. [default: chatir's own, else one on the PATH]",
)
@click.option("--fresh", is_flag=True, help="Make it anew, even if it is there.")
def install(python: Path | None, fresh: bool) -> None:
    """Make the environment, in the data folder (CHATIR_DATA).

    It takes some minutes and 2 GB of disk, more where torch comes with CUDA. If it is there, nothing is done;
    what an interruption left is made anew.
    """
    from chatir.models.lavis.environment import environment
    from chatir.models.lavis.environment import install as make

    made = environment()
    if known := made.versions if not fresh else None:
        note("LAVIS is installed already; --fresh makes its environment anew")
    else:
        with shown_progress(sys.stderr) as show:
            known = make(python, note, show, fresh=fresh).versions
    say("  ".join(f"{name} {version}" for name, version in (known or {}).items() if name != "cuda"))
    say(made.folder)
