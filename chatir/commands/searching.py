"""What the commands that search have in common: their options, and what is checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chatir.commands.arguments import FILE, Command, PlayerName, check_ready, is_there
from chatir.commands.completing import names, options_of
from chatir.errors import InputError

if TYPE_CHECKING:
    from chatir.dialog import Dialog


def search_options(*, required: bool) -> Callable[[Command], Command]:
    """The options that name a retriever and a corpus."""
    options = (
        click.option(
            "--retriever",
            type=PlayerName("retrievers", "-r", "hf-text-image"),
            required=required,
            metavar="NAME",
            shell_complete=names("retrievers"),
            help="Who ranks; see 'chatir list retrievers'.",
        ),
        click.option(
            "-r",
            "retriever_options",
            multiple=True,
            metavar="KEY=VALUE",
            shell_complete=options_of("retrievers", "retriever"),
            help="Its option, as in 'chatir list'; again for more.",
        ),
        click.option(
            "--corpus",
            type=FILE,
            metavar="LIST.json|DIR",
            help="The images to search in: a JSON list of their paths, or a folder, which then is --images too unless "
            "that names a folder around it. [default: the released list of 50,000 that 'chatir fetch' brings]",
        ),
        click.option(
            "--on-broken",
            type=click.Choice(["fail", "skip"]),
            default="fail",
            show_default=True,
            help="What to do about images of the corpus that cannot be opened: they are named, or left out.",
        ),
    )

    def with_options(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return with_options


def corpus_there(corpus: Path | None) -> None:
    """Raise InputError for a corpus that is not there."""
    from chatir.datasets.data_folder import default_corpus

    if corpus is None:
        default_corpus()
    elif not corpus.is_dir():
        is_there(corpus)


def check_in_list(dialogs: Sequence[Dialog], corpus: Path | None, root: Path | None, owner: str) -> None:
    """Raise InputError if some targets are not in a corpus that is there; `owner` is whose they are."""
    from chatir.retriever.ranking.ranked_dialogs import check_targets
    from chatir.retriever.search import corpus_list

    try:
        corpus_there(corpus)
    except InputError:
        return
    check_targets(dialogs, corpus_list(corpus, root), owner)


def check_search(name: str, options: Sequence[str], corpus: Path | None, files: Sequence[Path] = ()) -> None:
    """Raise InputError for all that searching lacks, before anything is loaded. files: the dialogue files."""
    from chatir.commands.doctoring.readiness import Wanted, look
    from chatir.datasets.dialogue_json import check_there
    from chatir.plugins import parse_options

    wanted = Wanted("retrievers", name, parse_options(options, "-r"))
    there = [partial(check_there, file) for file in files]
    check_ready(look([wanted], files=[*there, lambda: corpus_there(corpus)]))
