"""Scoring: the rank of each target after every round of its dialog, kept in the dialogue file's run file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from chatir.dialog import Dialog
from chatir.dialogue_json import read_dialogs
from chatir.errors import ChatirError, InputError
from chatir.files import file_sha256
from chatir.retriever.corpus import Corpus
from chatir.retriever.given import given_vectors
from chatir.retriever.metrics import Figures, Ranks
from chatir.retriever.ranks import target_ranks
from chatir.retriever.retriever import Identity, Retriever, declared
from chatir.simulate.provenance import provenance
from chatir.simulate.run_file import RunFile
from chatir.simulate.run_ranks import DialogRanks, Ranking, RunRanks
from chatir.simulate.run_schema import RunInUseError

AT_ONCE = 256
"""Dialogs that are ranked and kept together: what an interrupt can cost."""


@dataclass(frozen=True)
class ScoredFile:
    """Ranks of a dialogue file's targets.

    ranks: [rounds + 1, dialogs], in the file's order; 0 beyond the end of a dialog. truncated: percentage of the
    dialogs that were played so far whose text is longer than the retriever reads [rounds + 1], nan where none was
    played any more, None if it cannot tell. new: dialogs that this call ranked.
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
    report: Callable[[object], None] = lambda progress: None,
) -> ScoredFile:
    """Rank the target of every dialog after every round among the images of the corpus.

    Ranks go into the run file beside the dialogue file, or into `run_file` (a file, or a folder to make it in), as
    they come; a dialogue file that was made elsewhere is given one. Ranks that it holds for this retriever and corpus
    are not computed again. report: called with what to show as it goes on.

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
        known = kept.ranks(ranking, dialogs)
        new = [dialog for dialog in dialogs if dialog.id not in known]
        made_with = provenance() if new else {}
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
    """The ranks of each dialog's target, for its caption and after each of its rounds."""
    seen = [prefix for dialog in dialogs for prefix in prefixes(dialog)]
    ranks = ranks_now(seen, retriever, corpus)
    cut = _truncated_now(seen, retriever)
    start = 0
    for dialog in dialogs:
        part = slice(start, start := start + len(dialog.rounds) + 1)
        yield DialogRanks(tuple(ranks[part]), None if cut is None else [*cut[part], True].index(True))


def ranks_now(dialogs: Sequence[Dialog], retriever: Retriever, corpus: Corpus) -> list[int]:
    """The rank of each dialog's target, the dialog taken as it stands. Its target must be in the corpus."""
    import torch

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
        queries = torch.from_numpy(vectors).to(str(device))
        return list(target_ranks(queries, corpus.shards, targets).tolist())
    except (RuntimeError, AssertionError) as error:  # torch has one for each kind of trouble
        raise InputError(f"{name}: nothing can be ranked on its device {device!r}: {error}") from None


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
        with suppress(InputError), closing(RunFile.open(own)) as run:
            if run.exported(sha256):
                config["rounds"] = run.config["rounds"]
    return config


def _scored(
    file: Path, run_file: Path, ranking: Ranking, found: Sequence[DialogRanks], rounds: int, new: int
) -> ScoredFile:
    ranks = np.zeros((rounds + 1, len(found)), dtype=np.int64)
    for place, one in enumerate(found):
        ranks[: len(one.ranks), place] = one.ranks
    return ScoredFile(file, run_file, ranking, ranks, _truncated(ranks, [one.truncated for one in found]), new)


def _truncated(ranks: Ranks, first: Sequence[int | None]) -> Figures | None:
    told = [number for number in first if number is not None]
    if len(told) < len(first):
        return None
    played = ranks > 0
    cut = np.arange(len(ranks))[:, np.newaxis] >= np.array(told)
    with np.errstate(invalid="ignore"):
        return np.asarray(100 * (cut & played).sum(axis=1) / played.sum(axis=1))
