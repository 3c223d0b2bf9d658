"""`chatir index`: encode the images of a corpus."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chatir.commands.arguments import FILE, check_folder
from chatir.commands.searching import check_search, search_options
from chatir.console import duration, note, printable, say, shown_progress
from chatir.errors import InputError, InterruptedRunError

if TYPE_CHECKING:
    from chatir.retriever.index.indexing import Indexed
    from chatir.retriever.search import Search


@click.command()
@search_options(required=True)
@click.option(
    "--images",
    type=FILE,
    metavar="DIR",
    help="Folder that the paths are relative to. [default: where 'chatir fetch images' puts them]",
)
@click.option(
    "--vectors",
    type=FILE,
    metavar="FILE",
    help="Encode nothing, but take vectors that were computed elsewhere: .npy or .pth, [N, d] in the list's order; "
    "or the corpus_*.pth of ChatIR's own evaluation.",
)
def index(
    retriever: str,
    retriever_options: tuple[str, ...],
    corpus: Path | None,
    on_broken: str,
    images: Path | None,
    vectors: Path | None,
) -> None:
    """Encode the images of a corpus, to be searched in.

    The vectors lie in the data folder, for every run and command that names the same retriever, list and images.
    The same command typed again goes on where it stopped, and encodes what has changed since.

    Exit codes: 0 all there, 2 wrong use or bad input (broken images too), 3 a GPU failed, 130 interrupted;
    what came is saved.
    """
    from chatir.datasets.data_folder import default_corpus
    from chatir.retriever.index.imported import import_vectors
    from chatir.retriever.search import Search

    check_folder(images)
    if vectors is not None and images is not None:
        raise InputError("--images does not go with --vectors, which needs no images")
    if vectors is not None and corpus is not None and corpus.is_dir():
        raise InputError("--vectors needs a list as --corpus: its order tells which vector is of which image")
    if vectors is None:
        check_search(retriever, retriever_options, corpus)
    search = Search.of(retriever, retriever_options, corpus, images, on_broken)
    try:
        if vectors is None:
            indexed = _encoded(search)
        else:
            where = str(corpus or default_corpus())
            indexed = import_vectors(search.retriever, search.images, vectors, where=where, note=note)
    except KeyboardInterrupt:
        raise InterruptedRunError("interrupted: what was encoded is kept; the same command goes on") from None
    finally:
        search.close()
    say(_table(indexed))


def _encoded(search: Search) -> Indexed:
    from chatir.datasets.data_folder import default_images
    from chatir.retriever.index.indexing import index_images

    if (root := search.root or default_images()) is None:
        fetch = "'chatir fetch images --whole-corpus'"
        raise InputError(f"there is no folder of images: name it with --images, or {fetch} brings them")
    with shown_progress(sys.stderr) as report:
        return index_images(search.retriever, search.images, root, on_broken=search.on_broken, report=report, note=note)


def _table(indexed: Indexed) -> str:
    """What there is now, a line each."""
    corpus = indexed.corpus
    lines = {
        "images": f"{len(corpus):,}",
        "dimension": str(corpus.dimension),
        "left out": f"{len(corpus.left_out):,}",
        "fingerprint": corpus.fingerprint,
        "encoded": "nothing: the index was complete",
        "folder": printable(str(indexed.folder)),
    }
    if indexed.seconds:
        speed = indexed.encoded / indexed.seconds
        lines["encoded"] = f"{indexed.encoded:,} in {duration(indexed.seconds)}, {speed:,.1f} images/s"
    elif indexed.imported:
        lines["encoded"] = f"nothing: {indexed.imported:,} vectors were imported"
    return "\n".join(f"{name:<11}  {value}" for name, value in lines.items())
