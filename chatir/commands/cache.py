"""`chatir cache`: look into a reply cache, and make room in it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from chatir.commands.arguments import FILE
from chatir.console import say


@click.group()
def cache() -> None:
    """Look into a reply cache, and make room in it.

    FILE is what 'chatir simulate --cache FILE' keeps: replies of models by all that fixes them, so that the same
    request need not be paid for twice.
    """


@cache.command("list")
@click.argument("file", type=FILE, metavar="FILE")
def list_(file: Path) -> None:
    """Show how many replies of which models there are."""
    from chatir.models.reply_cache import ReplyCache

    with closing(ReplyCache(file, create=False)) as replies:
        models = replies.models()
    for model in models:
        say(f"{model.replies:>9,} replies  {model.size / 1e6:>8.1f} MB  {model.backend}  {model.model}")
    if not models:
        say("empty")


@cache.command()
@click.argument("file", type=FILE, metavar="FILE")
@click.option("--unused-days", type=click.FloatRange(min=0), metavar="DAYS", help="What no run used for so long.")
@click.option("--model", metavar="NAME", help="What this model replied, named as 'chatir cache list' shows it.")
def prune(file: Path, unused_days: float | None, model: str | None) -> None:
    """Forget what was not used for a time, or the replies of one model."""
    from chatir.models.reply_cache import ReplyCache

    if unused_days is None and model is None:
        raise click.UsageError("give --unused-days or --model; 'chatir cache clear' forgets all")
    with closing(ReplyCache(file, create=False)) as replies:
        gone = replies.prune(unused_days=unused_days, model=model)
    say(f"{gone:,} replies forgotten")


@cache.command()
@click.argument("file", type=FILE, metavar="FILE")
def clear(file: Path) -> None:
    """Forget all replies."""
    from chatir.models.reply_cache import ReplyCache

    with closing(ReplyCache(file, create=False)) as replies:
        gone = replies.prune()
    say(f"{gone:,} replies forgotten")
