"""`chatir scenes`: draw small scenes whose content is known."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from chatir.commands.arguments import FILE
from chatir.console import say, shown_progress


@click.command()
@click.argument("folder", required=False, type=FILE, metavar="[DIR]")
@click.option(
    "--count", type=click.IntRange(1, 100_000), default=1000, show_default=True, metavar="N", help="Pictures to draw."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="S", help="Another seed, other scenes."
)
@click.option("--checkpoints", is_flag=True, help="Print where the built-in models are, as JSON, and draw nothing.")
@click.pass_context
def scenes(context: click.Context, folder: Path | None, count: int, seed: int, checkpoints: bool) -> None:
    """Draw small scenes whose content is known.

    DIR gets images/, corpus.json (their list, to search in) and targets.json (a vague caption of each and ten
    rounds in which simulated people talk about it). The same count and seed give the same bytes.

    Three small models that were trained on such scenes come with chatir: an answerer (scenes:blip2), a retriever
    (scenes:clip) and a questioner (scenes:t5). None of the scenes drawn here was shown to them in training.
    """
    if (folder is not None) == checkpoints:
        raise click.UsageError("give a folder to write to, or --checkpoints")
    if folder is None:
        import json

        from click.core import ParameterSource

        for name in ("count", "seed"):
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
                raise click.UsageError(f"--{name} goes with a folder, not with --checkpoints")

        from chatir.models.builtin import checkpoints as built_in

        say(json.dumps({name: str(path) for name, path in built_in().items()}))
        return
    from chatir.datasets.scenes.folder import write_scenes

    with shown_progress(sys.stderr) as show:
        write_scenes(folder, count, seed, show)
    say(folder)
