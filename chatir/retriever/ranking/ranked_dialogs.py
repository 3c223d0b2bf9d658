"""Ranking dialogs: each text encoded, its target ranked in the corpus, the best images found. Nothing is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chatir.dialog import Dialog
from chatir.errors import ChatirError, InputError
from chatir.measures.ranks import DialogRanks
from chatir.models.hardware.gpu_errors import memory_ended, stopped_by_gpu_failure
from chatir.models.local.batches import make_room
from chatir.retriever.index.checked_vectors import given_vectors
from chatir.retriever.index.corpus import Corpus
from chatir.retriever.ranking.ranks import target_ranks
from chatir.retriever.ranking.top_images import top_k
from chatir.retriever.retriever import Identity, Retriever, declared
from chatir.storage.image_names import image_key

TOP = 10
"""Images that are kept of every round: as many as a Hits@10 by chance is counted from."""

Found = TypeVar("Found")


def ranked(dialogs: Sequence[Dialog], retriever: Retriever, corpus: Corpus) -> Iterator[DialogRanks]:
    """The ranks of each dialog's target and the best images, for its caption and after each of its rounds."""
    seen = [prefix for dialog in dialogs for prefix in prefixes(dialog)]
    ranks, best = _searched(seen, retriever, corpus, _ranks_and_best)
    cut = _truncated_now(seen, retriever)
    start = 0
    for dialog in dialogs:
        part = slice(start, start := start + len(dialog.rounds) + 1)
        top = tuple(tuple(corpus.images[position] for position in positions) for positions in best[part])
        yield DialogRanks(tuple(ranks[part]), None if cut is None else [*cut[part], True].index(True), top)


def ranks_now(dialogs: Sequence[Dialog], retriever: Retriever, corpus: Corpus) -> list[int]:
    """The 1-based rank of each dialog's target, the dialog taken as it stands.

    Raises KeyError for a target that is not in the corpus.
    """
    return _searched(dialogs, retriever, corpus, _ranks)


def _searched(
    dialogs: Sequence[Dialog],
    retriever: Retriever,
    corpus: Corpus,
    search: Callable[[Tensor, Corpus, NDArray[np.int64]], Found],
) -> Found:
    """What a search finds, which is given the dialogs' vectors, on the retriever's device, and their targets' places.

    Raises InputError for vectors that are none or of another dimension, and for a device that will not do, and
    StoppedRunError for a GPU that failed.
    """
    name = Identity.of(retriever).shown
    vectors = given_vectors(name, retriever.encode_dialogs, dialogs, "dialogs")
    if vectors.shape[1] != corpus.dimension:
        raise InputError(
            f"{name}: encodes dialogs in {vectors.shape[1]} dimensions, but the images of this corpus have "
            f"{corpus.dimension}; their vectors are another model's"
        )
    targets = np.array([corpus.position(dialog.image) for dialog in dialogs])
    device = declared(retriever, "device", "cpu")
    try:
        with stopped_by_gpu_failure(name):
            return _placed(lambda queries: search(queries, corpus, targets), torch.from_numpy(vectors), str(device))
    except (RuntimeError, AssertionError) as error:  # torch has one for each kind of trouble
        raise InputError(f"{name}: nothing can be ranked on its device {device!r}: {error}") from None


def _placed(search: Callable[[Tensor], Found], queries: Tensor, device: str) -> Found:
    """What a search finds on a device, or on the CPU if the device has no memory at all."""
    try:
        return search(queries.to(device))
    except RuntimeError as error:
        if not memory_ended(error):
            raise
    make_room()  # out of the except clause, whose traceback holds the tensors
    return search(queries)


def _ranks(queries: Tensor, corpus: Corpus, targets: NDArray[np.int64]) -> list[int]:
    """The rank of each query's target."""
    return list(target_ranks(queries, corpus.shards, targets).tolist())


def _ranks_and_best(queries: Tensor, corpus: Corpus, targets: NDArray[np.int64]) -> tuple[list[int], list[list[int]]]:
    """The rank of each query's target, and the positions of its best images [n, TOP], best first."""
    _, best = top_k(queries, corpus.shards, TOP)
    places = torch.from_numpy(targets).to(best.device)
    hits = best == places[:, None]
    ranks = 1 + hits.long().argmax(1)
    # A target among the best images has the rank of its column: counting is for the others only.
    if len(beyond := (~hits.any(1)).nonzero()[:, 0]):
        ranks[beyond] = target_ranks(queries[beyond], corpus.shards, places[beyond])
    return ranks.tolist(), best.tolist()


def _truncated_now(dialogs: Sequence[Dialog], retriever: Retriever) -> list[bool] | None:
    """Whether each text is longer than the retriever reads, None if it cannot tell. Raises InputError."""
    if (tell := declared(retriever, "truncated", None)) is None:
        return None
    name = Identity.of(retriever).shown
    try:
        cut = [bool(one) for one in tell(dialogs)]
    except (MemoryError, ChatirError):
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{name}: its truncated() fails: {type(error).__name__}: {error}") from error
    if len(cut) != len(dialogs):
        raise InputError(f"{name}: its truncated() tells of {len(cut)} texts, but was given {len(dialogs)}")
    return cut


def prefixes(dialog: Dialog) -> list[Dialog]:
    """A dialog as it stood at its caption, and after each round."""
    return [replace(dialog, rounds=dialog.rounds[:count]) for count in range(len(dialog.rounds) + 1)]


def check_targets(
    dialogs: Sequence[Dialog], images: Sequence[str], owner: str, *, left_out: Sequence[str] = ()
) -> None:
    """Raise InputError if a dialog's image is not in the corpus; `owner` is whose dialogs they are.

    left_out: images that its list names, and that are broken.
    """
    if not dialogs:
        raise InputError(f"{owner}: holds no dialogs")
    held = set(map(image_key, images))
    missing = [dialog.image for dialog in dialogs if image_key(dialog.image) not in held]
    if missing:
        named = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        told = f"{owner}: {len(missing)} of {len(dialogs)} targets"
        if set(map(image_key, missing)) <= set(map(image_key, left_out)):
            raise InputError(f"{told} have broken images, which are left out of the corpus: {named}; mend them")
        raise InputError(
            f"{told} are not in the corpus of {len(images)} images: {named}; "
            "name the corpus that they are from with --corpus"
        )
