"""`chatir list`: what is installed."""

from __future__ import annotations

import click

from chatir.console import say


@click.command("list")
@click.argument("kind", required=False, type=click.Choice(["questioners", "answerers", "retrievers", "prompts"]))
def list_(kind: str | None) -> None:
    """List what is installed: players, retrievers, prompts.

    Each questioner, answerer and retriever is shown with its options, as -q, -a and -r take them.
    """
    from chatir.commands.listing import listing

    say(listing(kind))
