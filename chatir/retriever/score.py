"""Scoring: the rank of each target and the best images after every round, kept in the dialogue file's run file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatir.datasets.dialogue_json import read_dialogs
from chatir.errors import InputError
from chatir.measures.ranks import DialogRanks, Top, rank_table
from chatir.measures.retrieval import Figures, Ranks, truncated_share
from chatir.retriever.index.corpus import Corpus
from chatir.retriever.ranking.ranked_dialogs import TOP, check_targets, ranked
from chatir.retriever.retriever import Identity, Retriever, declared
from chatir.run.file import RunFile
from chatir.run.provenance import provenance
from chatir.run.ranks import Ranking, RunRanks
from chatir.run.schema import RunInUseError
from chatir.storage.files import file_sha256

AT_ONCE = 256
"""Dialogs that are ranked and kept together: what an interrupt can cost."""


@dataclass(frozen=True)
class ScoredFile:
    """The ranks of a dialogue file's targets.

    - `file`, `run_file`: the dialogue file, and where the ranks are kept
    - `ranking`: the retriever with all that fixes its vectors, and the corpus
    - `ranks`: 1-based, int64 [rounds + 1, dialogs], in the file's order; 0 beyond the end of a dialog
    - `truncated`: percentage of the dialogs that were played so far whose text is longer than the retriever reads
      [rounds + 1], nan where none was played any more, None if it cannot tell
    - `best`: the images ranked best after each round that a dialog played, best first, by dialog
    - `new`: how many dialogs this call ranked
    """

    file: Path
    run_file: Path
    ranking: Ranking
    ranks: Ranks
    truncated: Figures | None
    best: tuple[Top, ...]
    new: int


def score(
    file: Path | str,
    retriever: Retriever,
    corpus: Corpus,
    *,
    run_file: Path | str | None = None,
    typed: Sequence[str] = (),
    report: Callable[[object], None] = lambda progress: None,
    note: Callable[[str], None] = lambda line: None,
) -> ScoredFile:
    """Rank the target of every dialog after every round among the images of the corpus.

    Ranks are exact (`target_ranks`) and kept as they come, with the best images of every round; dialogs for which the
    run file holds both for this retriever and corpus are not ranked again. (Versions up to 0.1 kept five best images
    only: such ranks are made anew.)

    - `file`: the dialogue file; one that was made elsewhere is given a run file
    - `run_file`: where the ranks go, a file, or a folder to make it in, unless beside the dialogue file
    - `typed`: the options of `chatir score` that name retriever and corpus, noted with the ranks
    - `report`: called with what to show as it goes on
    - `note`: called with a line about the log of a removed run file, which is set aside

    Raises InputError for a bad file, targets that the corpus does not hold, another dimension than the corpus has,
    and a run file that is in use, belongs to another dialogue file or cannot be written.
    """
    file = Path(file)
    dialogs = read_dialogs(file)
    check_targets(dialogs, corpus.images, str(file), left_out=corpus.left_out)
    identity = Identity.of(retriever)
    ranking = Ranking(identity.name, identity.config, corpus.fingerprint, len(corpus))
    with closing(_run_of(file, run_file, note)) as run:
        kept = RunRanks(run)
        enough = min(TOP, len(corpus))
        known = {id_: one for id_, one in kept.ranks(ranking, dialogs).items() if one.top and len(one.top[0]) >= enough}
        new = [dialog for dialog in dialogs if dialog.id not in known]
        device = str(declared(retriever, "device", "cpu")) if new else ""
        made_with = provenance() | {"typed": list(typed), "device": device}
        for start in range(0, len(new), AT_ONCE):
            part = new[start : start + AT_ONCE]
            report(f"{file.name}: {start} of {len(new)} dialogs ranked")
            found = dict(zip([dialog.id for dialog in part], ranked(part, retriever, corpus), strict=True))
            kept.keep(ranking, ((dialog, found[dialog.id]) for dialog in part), made_with)
            known |= found
        # A run whose dialogs were all stopped early has as many rounds as one that was not.
        rounds = max(run.config.get("rounds", 0), *(len(dialog.rounds) for dialog in dialogs))
        return _scored(file, run.path, ranking, [known[dialog.id] for dialog in dialogs], rounds, len(new))


def _run_of(file: Path, run_file: Path | str | None, note: Callable[[str], None]) -> RunFile:
    """The run file that the ranks of a dialogue file go into, open; made where there is none."""
    path = file.with_suffix(".run")
    if run_file is not None:
        path = Path(run_file) / path.name if Path(run_file).is_dir() else Path(run_file)
    sha256 = file_sha256(file)
    try:
        run = RunFile.open(path) if path.exists() else RunFile.create(path, _imported(file, path, sha256), note)
    except RunInUseError:
        raise
    except InputError as error:
        raise InputError(f"{error}; --run names another place for the ranks") from None
    if run.belongs_to(sha256):
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
    truncated = truncated_share(ranks, [one.truncated for one in found])
    return ScoredFile(file, run_file, ranking, ranks, truncated, tuple(one.top or () for one in found), new)
