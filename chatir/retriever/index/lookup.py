"""Finding the vectors of a corpus: imported ones, those of an image folder, or an index that is at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chatir.datasets.data_folder import default_images
from chatir.errors import InputError
from chatir.retriever.index.corpus import Corpus, checked_images
from chatir.retriever.index.image_vectors import MISSING, stamp
from chatir.retriever.index.index_folder import IndexFolder, Note, found_index_folders
from chatir.retriever.index.indexing import Report, index_images, silent, tell_of_foreign_images
from chatir.retriever.retriever import Identity, Retriever


def open_corpus(
    retriever: Retriever,
    images: Sequence[str],
    root: Path | None = None,
    *,
    on_broken: str = "fail",
    report: Report = silent,
    note: Note = silent,
) -> Corpus:
    """The vectors of a list of images, encoded as far as no index has them.

    With a root: the index of the images there. Without one: vectors that were imported for this retriever and list;
    else the images of the data folder, if all are there; else a complete index of the same, whose images may be gone
    or elsewhere (none of them is looked at); else the images of the data folder, as `on_broken` says.
    Arguments and errors are those of `index_images`. Raises InputError if there is neither an index nor a folder, and
    for vectors of several corpora with the same list, none of which is named.
    """
    names = checked_images(images, "the corpus")
    if root is None:
        found = found_index_folders(Identity.of(retriever), names)
        if corpus := _at_hand([index for index in found if index.imported], "fail", note):
            note("the vectors of the images are those that were imported; --images DIR would take a folder's instead")
            return corpus
        root = default_images()
        all_there = root is not None and all(stamp(root, image) != MISSING for image in names)
        others = [] if all_there else [index for index in found if not index.imported]
        if corpus := _at_hand(others, on_broken, note):
            note("the vectors of the images are those of an earlier index; whether the images changed is not looked at")
            tell_of_foreign_images(Identity.of(retriever), names, Path(others[0].root), note)
            return corpus
    if root is None:
        raise InputError(
            f"there are no vectors of the corpus ({len(names):,} images, {names[0]} first) for "
            f"{Identity.of(retriever).shown}: name the folder of the images with --images, bring them with "
            "'chatir fetch images --whole-corpus', or take vectors from elsewhere with 'chatir index --vectors FILE'"
        )
    return index_images(retriever, names, root, on_broken=on_broken, report=report, note=note).corpus


def _at_hand(indexes: list[IndexFolder], on_broken: str, note: Note) -> Corpus | None:
    """The corpus of the indexes that are complete, None if none is. Raises InputError if they hold different ones."""
    corpora: dict[str, tuple[Path, Corpus]] = {}
    for index in indexes:
        shards = index.read()
        if shards is None and index.imported:
            raise InputError(
                f"{index.folder}: the vectors that were imported are not all there, or damaged: import them again "
                "with 'chatir index --vectors FILE', or delete the folder"
            )
        if shards is None or (on_broken == "fail" and any(record.broken for each in shards for record in each.records)):
            continue
        corpus = index.corpus(shards, on_broken, note)
        corpora.setdefault(corpus.fingerprint, (index.folder, corpus))
    if len(corpora) > 1:
        folders = ", ".join(str(folder) for folder, _ in corpora.values())
        raise InputError(
            f"there are vectors of several corpora with the same list of images: {folders}; name --images, or delete "
            "those that are not meant"
        )
    return next((corpus for _, corpus in corpora.values()), None)
