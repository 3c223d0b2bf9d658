"""Scoring: the rank of each target and the best images after every round, kept in the dialogue file's run file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chatir.dialog import Dialog
from chatir.dialogue_json import read_dialogs
from chatir.errors import ChatirError, InputError
from chatir.files import file_sha256
from chatir.retriever.corpus import Corpus
from chatir.retriever.given import given_vectors
from chatir.retriever.metrics import Figures, Ranks, truncated_share
from chatir.retriever.ranks import target_ranks
from chatir.retriever.retriever import Identity, Retriever, declared
from chatir.retriever.top_images import top_k
from chatir.simulate.provenance import provenance
from chatir.simulate.run_file import RunFile
from chatir.simulate.run_ranks import DialogRanks, Ranking, RunRanks, rank_table
from chatir.simulate.run_schema import RunInUseError

AT_ONCE = 256
"""Dialogs that are ranked and kept together: what an interrupt can cost."""
TOP = 5
"""Images that are kept of every round: those that a reader of a report is shown."""

Found = TypeVar("Found")


@dataclass(frozen=True)
class ScoredFile:
    """The ranks of a dialogue file's targets.

    - `file`, `run_file`: the dialogue file, and where the ranks are kept
    - `ranking`: the retriever with all that fixes its vectors, and the corpus
    - `ranks`: 1-based, int64 [rounds + 1, dialogs], in the file's order; 0 beyond the end of a dialog
    - `truncated`: percentage of the dialogs that were played so far whose text is longer than the retriever reads
      [rounds + 1], nan where none was played any more, None if it cannot tell
    - `new`: how many dialogs this call ranked
    """

    file: Path
    run_file: Path
    ranking: Ranking
    ranks: Ranks
    truncated: Figures | None
    new: int


def score(
    file: Path | str,
    retriever: Retriever,
    corpus: Corpus,
    *,
    run_file: Path | str | None = None,
    typed: Sequence[str] = (),
    report: Callable[[object], None] = lambda progress: None,
) -> ScoredFile:
    """Rank the target of every dialog after every round among the images of the corpus.

    Ranks are exact (`target_ranks`) and kept as they come, with the best images of every round; dialogs for which the
    run file holds both for this retriever and corpus are not ranked again.

    - `file`: the dialogue file; one that was made elsewhere is given a run file
    - `run_file`: where the ranks go, a file, or a folder to make it in, unless beside the dialogue file
    - `typed`: the options of `chatir score` that name retriever and corpus, noted with the ranks
    - `report`: called with what to show as it goes on

    Raises InputError for a bad file, targets that the corpus does not hold, another dimension than the corpus has,
    and a run file that is in use, belongs to another dialogue file or cannot be written.
    """
    file = Path(file)
    dialogs = read_dialogs(file)
    check_targets(dialogs, corpus.images, str(file), left_out=corpus.left_out)
    identity = Identity.of(retriever)
    ranking = Ranking(identity.name, identity.config, corpus.fingerprint, len(corpus))
    with closing(_run_of(file, run_file)) as run:
        kept = RunRanks(run)
        known = {id_: ranks for id_, ranks in kept.ranks(ranking, dialogs).items() if ranks.top is not None}
        new = [dialog for dialog in dialogs if dialog.id not in known]
        made_with = provenance() | {"typed": list(typed)} if new else {}
        for start in range(0, len(new), AT_ONCE):
            part = new[start : start + AT_ONCE]
            report(f"{file.name}: {start} of {len(new)} dialogs ranked")
            found = dict(zip([dialog.id for dialog in part], ranked(part, retriever, corpus), strict=True))
            kept.keep(ranking, ((dialog, found[dialog.id]) for dialog in part), made_with)
            known |= found
        # A run whose dialogs were all stopped early has as many rounds as one that was not.
        rounds = max(run.config.get("rounds", 0), *(len(dialog.rounds) for dialog in dialogs))
        return _scored(file, run.path, ranking, [known[dialog.id] for dialog in dialogs], rounds, len(new))


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

    Raises InputError for vectors that are none or of another dimension, and for a device that will not do.
    """
    name = Identity.of(retriever).name
    vectors = given_vectors(name, retriever.encode_dialogs, dialogs, "dialogs")
    if vectors.shape[1] != corpus.dimension:
        raise InputError(
            f"{name}: encodes dialogs in {vectors.shape[1]} dimensions, but the images of this corpus have "
            f"{corpus.dimension}; their vectors are another model's"
        )
    targets = np.array([corpus.position(dialog.image) for dialog in dialogs])
    device = declared(retriever, "device", "cpu")
    try:
        return search(torch.from_numpy(vectors).to(str(device)), corpus, targets)
    except (RuntimeError, AssertionError) as error:  # torch has one for each kind of trouble
        raise InputError(f"{name}: nothing can be ranked on its device {device!r}: {error}") from None


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
    name = Identity.of(retriever).name
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
    held = set(images)
    missing = [dialog.image for dialog in dialogs if dialog.image not in held]
    if missing:
        named = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        told = f"{owner}: {len(missing)} of {len(dialogs)} targets"
        if set(missing) <= set(left_out):
            raise InputError(f"{told} have broken images, which are left out of the corpus: {named}; mend them")
        raise InputError(
            f"{told} are not in the corpus of {len(images)} images: {named}; "
            "name the corpus that they are from with --corpus"
        )


def _run_of(file: Path, run_file: Path | str | None) -> RunFile:
    """The run file that the ranks of a dialogue file go into, open; made where there is none."""
    path = file.with_suffix(".run")
    if run_file is not None:
        path = Path(run_file) / path.name if Path(run_file).is_dir() else Path(run_file)
    sha256 = file_sha256(file)
    try:
        run = RunFile.open(path) if path.exists() else RunFile.create(path, _imported(file, path, sha256))
    except RunInUseError:
        raise
    except InputError as error:
        raise InputError(f"{error}; --run names another place for the ranks") from None
    if run.exported(sha256) or run.config.get("imported") == sha256:
        return run
    run.close()
    raise InputError(
        f"{path}: is the run file of another {file.name} than {file} is now; bring back the file that belongs to it, "
        "or name another run file with --run"
    )


def _imported(file: Path, path: Path, sha256: str) -> dict[str, Any]:
    """What a run file is told that is made for ranks: whose, and of how many rounds, if another one tells."""
    config: dict[str, Any] = {"imported": sha256}
    own = file.with_suffix(".run")
    if own != path and own.exists():
        with suppress(InputError), RunFile.reading(own) as run:
            if run.exported(sha256):
                config["rounds"] = run.config["rounds"]
    return config


def _scored(
    file: Path, run_file: Path, ranking: Ranking, found: Sequence[DialogRanks], rounds: int, new: int
) -> ScoredFile:
    ranks = rank_table(found, rounds)
    return ScoredFile(file, run_file, ranking, ranks, truncated_share(ranks, [one.truncated for one in found]), new)
