"""`chatir score`: rank the targets of dialogue files among the images of a corpus."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from chatir.commands.arguments import FILE, check_folder, cutoff_option, format_option
from chatir.commands.searching import check_search, search_options
from chatir.console import say
from chatir.errors import InputError


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@search_options(required=True)
@click.option("--images", type=FILE, metavar="DIR", help="Folder of the images.")
@click.option(
    "--run",
    "run_file",
    envvar="CHATIR_SCORE_RUN",
    type=FILE,
    metavar="FILE",
    help="Where to keep the ranks, a file or a folder, if not beside the dialogue file.",
)
@cutoff_option("SCORE", "10")
@format_option("SCORE", "table", "json")
def score(
    files: tuple[Path, ...],
    retriever: str,
    retriever_options: tuple[str, ...],
    corpus: Path | None,
    on_broken: str,
    images: Path | None,
    run_file: Path | None,
    ks: list[int],
    form: str,
) -> None:
    """Rank the targets of dialogue files after every round.

    Each dialog, cut after every round, searches the corpus for its target; the exact ranks are kept in the run file
    beside the dialogue file, and the curve is printed. What a run file holds already, for the same retriever and
    corpus, is not computed again. An index of the corpus is made first if there is none; see 'chatir index'.

    Exit codes: 0 done, 2 wrong use or bad input, 3 a GPU failed, 130 interrupted; ranks are saved as they come.
    """
    check_folder(images)
    check_search(retriever, retriever_options, corpus, files)  # before what imports torch
    import json

    from chatir.datasets.dialogue_json import read_dialogs
    from chatir.retriever.score_table import curve_json, curve_text
    from chatir.retriever.search import Search

    if run_file is not None and len(files) > 1 and not run_file.is_dir():
        raise InputError(f"--run {run_file}: is one file for the ranks of {len(files)} files; name a folder")
    told = []
    with closing(Search.of(retriever, retriever_options, corpus, images, on_broken)) as search:
        for file in files:
            search.check_list(read_dialogs(file), str(file))
        for file in files:
            scores = search.score(file, run_file)
            if form == "table":
                say(curve_text(scores, ks))
            told.append(curve_json(scores, ks))
    if form == "json":
        say(json.dumps(told, indent=2))
