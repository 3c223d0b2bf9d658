"""Comparing runs: read them, keep what they have in common, count, test, conclude."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from chatir.compare.common_dialogs import common_dialogs
from chatir.compare.comparison import Agreement, ComparedRun, Comparison, Summary
from chatir.compare.counted.agreement import agreement
from chatir.compare.counted.near_duplicates import near_duplicates as count_near_duplicates
from chatir.compare.counted.retrieval import BAND_RESAMPLES, Retrieval, retrievals
from chatir.compare.statistics.differences import descriptive_differences
from chatir.compare.statistics.estimates import summaries
from chatir.compare.statistics.failures import failure_bounds, failure_differences
from chatir.compare.statistics.method import method
from chatir.compare.statistics.primary import primary_differences
from chatir.compare.statistics.sides import Pair, Side, seed_group, sides_of
from chatir.compare.statistics.streams import Stream
from chatir.compare.statistics.verdicts import verdict
from chatir.console import printable
from chatir.dialog import Dialog
from chatir.errors import InputError
from chatir.measures.counts import (
    NO_MARKS,
    QUERIES,
    Counts,
    defects,
    dialog_counts,
    language,
    most_lack_questions,
    repetition,
)
from chatir.measures.names import PRIMARY_K
from chatir.run.dialogue_files import dialogue_files
from chatir.run.runs import Run, read_runs


def compare(
    files: Path | str | Sequence[Path | str],
    *,
    baseline: str | None = None,
    ks: Sequence[int] = (1, 5, 10),
    all_pairs: bool = False,
    near_duplicates: float | None = None,
    worst: int = 0,
    seed: int = 0,
    report: Callable[[object], None] = lambda progress: None,
) -> Comparison:
    """Compare the runs of dialogue files over the images that all of them have.

    - `files`: dialogue files, or a folder of them; what stands in the run file beside each, ranks too, is taken in.
      Where several are named, those that are no dialogue files are skipped, with a note
    - `baseline`: the run that the others are held against, by its name or its file; the first one unless given
    - `ks`: ranks that count as a hit; 10, which verdicts are about, is always among them
    - `all_pairs`: test every pair, not only those with the baseline
    - `near_duplicates`: also count questions whose meaning is as close as this to an earlier one's, by cosine, above 0
      and at most 1
    - `worst`: how many of each run's most repetitive dialogs are named
    - `seed`: of all resampling, 0 or more; the same files and seed give the same figures
    - `report`: called with what to show as it goes on

    Needs no model, no images and no GPU, but for near-duplicates a small model that a package carries. Raises
    InputError for files that cannot be compared, a baseline that is none of them, a run that is being written, and a K,
    threshold, seed or number out of range.
    """
    if not ks or min(ks) < 1:
        raise InputError(f"ks is {list(ks)}, but must name ranks of at least 1")
    if worst < 0 or seed < 0:
        raise InputError(f"worst is {worst} and seed {seed}, but neither can be less than 0")
    notes: list[str] = []
    left_out: list[str] = []
    named = [files] if isinstance(files, str | Path) else files
    runs = read_runs(dialogue_files([Path(file) for file in named], left_out.append), notes.append, report)
    rounds, dialogs = common_dialogs(runs, left_out.append)
    cutoffs = tuple(sorted({*ks, PRIMARY_K}))
    ranked = retrievals(runs, dialogs, rounds, cutoffs, seed, notes.append)
    near = None if near_duplicates is None else count_near_duplicates(dialogs, near_duplicates, report=report)
    compared = [
        _compared(run, some, own, None if near is None else near[place])
        for place, (run, some, own) in enumerate(zip(runs, dialogs, ranked, strict=True))
    ]
    images = len({dialog.image for dialog in dialogs[0]})
    report(f"comparing over {images:,} images")
    _check_round_zero(compared, notes.append)
    _tell_of_unlike_dialogs(compared, notes.append)
    sides = sides_of(compared)
    _tell_of_stopped(compared, notes.append)
    told = summaries(sides, rounds, seed)
    _tell_of_chance(told, notes.append)
    first = _side(sides, baseline)
    pairs = list(_pairs(first, sides, all_pairs))
    primary = primary_differences(pairs, rounds, seed)
    described = descriptive_differences(pairs, rounds, cutoffs, seed)
    return Comparison(
        baseline=first.name,
        images=images,
        rounds=rounds,
        ks=cutoffs,
        runs=tuple(compared),
        groups=tuple(seed_group(side, rounds) for side in sides if len(side.runs) > 1),
        summaries=tuple(told),
        differences=(*primary, *described, *failure_differences(pairs, seed)),
        verdicts=tuple(verdict(pair, primary) for pair in pairs),
        agreements=tuple(_agreements(compared, first, all_pairs, seed)),
        bounds=tuple(failure_bounds(pairs, rounds)),
        notes=(*notes, *left_out),
        method=method(sides, primary, images, any(ranked)),
        tests=len(primary),
        worst={run.name: _worst(run, worst) for run in compared} if worst else {},
    )


def _compared(
    run: Run, dialogs: tuple[Dialog, ...], retrieval: Mapping[str, Retrieval], near: Counts | None
) -> ComparedRun:
    counts = dialog_counts(dialogs, near)
    wrong = defects(dialogs)
    asks = not most_lack_questions(wrong, int(counts.rounds.sum()))
    return ComparedRun(
        run=run,
        dialogs=dialogs,
        counts=counts,
        repetition=repetition(counts) if asks else None,
        language=language(counts) if asks else None,
        defects=wrong,
        retrieval=retrieval,
    )


def _check_round_zero(runs: Sequence[ComparedRun], note: Callable[[str], None]) -> None:
    """Tell of retrievers that rank the same caption of the same image differently: the ranks are not repeatable."""
    first, *others = runs
    for run in others:
        for label in (label for label in first.retrieval if label in run.retrieval):
            same = [one.caption == other.caption for one, other in zip(first.dialogs, run.dialogs, strict=True)]
            ranks = [each.retrieval[label].ranks[0] for each in (first, run)]
            if count := int(((ranks[0] != ranks[1]) & np.array(same)).sum()):
                names = f"{printable(run.name)} otherwise than the same ones of {printable(first.name)}"
                note(f"{printable(label)}: ranks {count:,} captions of {names}; are its ranks made in low precision?")


def _tell_of_unlike_dialogs(runs: Sequence[ComparedRun], note: Callable[[str], None]) -> None:
    """Tell of what makes rows less alike than they look: no questions, dialogs of several lengths, failed ones."""
    for run in runs:
        if not run.asks:
            record = run.run.record
            why = QUERIES if record is None or record.imported else NO_MARKS
            note(f"{printable(run.name)}: {why}; its repeats are not counted")
    if any((run.counts.rounds != runs[0].counts.rounds).any() for run in runs):
        lengths = ", ".join(f"{printable(run.name)} {run.counts.rounds.mean():.2f}" for run in runs)
        note(f"dialogs have several lengths ({lengths} rounds on average): such runs' questions are not compared")
    for run in runs:
        if run.run.record and (failed := len(run.run.record.failed)):
            note(f"{printable(run.name)}: {failed:,} of its {len(run.run.record.digests):,} dialogs failed")


def _tell_of_stopped(runs: Sequence[ComparedRun], note: Callable[[str], None]) -> None:
    """Name the runs that were stopped at their hits, and what plays all of their rounds."""
    for run in runs:
        if run.run.stopped_at_hits and run.retrieval:
            other = run.run.file.with_name(f"{run.run.file.stem}-all-rounds.json")
            note(
                f"{printable(run.name)}: was stopped at its hits, so its retrieval is not tested: type its 'chatir "
                f"simulate' again without --stop-on-hit and with --out {printable(str(other))}"
            )


def _tell_of_chance(told: Sequence[Summary], note: Callable[[str], None]) -> None:
    """Name the runs that are not shown to find more targets than chance would."""
    for one in told:
        for estimate in one.estimates:
            if estimate.chance is not None and estimate.low <= estimate.chance:
                whose = f"{printable(one.name)}: its Hits@{PRIMARY_K} by {printable(estimate.retriever or '')}"
                figures = f"{estimate.value:.1f}%, 95% CI {estimate.low:.1f} to {estimate.high:.1f}"
                verb = "is not above" if estimate.value <= estimate.chance else "is not shown to be above"
                note(f"{whose} ({figures}) {verb} chance ({estimate.chance:.1f}%)")


def _side(sides: Sequence[Side], name: str | None) -> Side:
    """The side of that name, or that the run of that name belongs to."""
    if name is None:
        return sides[0]
    named = [side for side in sides if name == side.name or name in [run.name for run in side.runs]]
    files = {os.path.realpath(run.run.file): side for side in sides for run in side.runs}
    if not named and (side := files.get(os.path.realpath(name))):
        return side
    if not named:
        named = [side for side in sides for run in side.runs if name == run.run.file.name]
    if len(named) == 1:
        return named[0]
    names = ", ".join(repr(run.name) for side in sides for run in side.runs)
    raise InputError(f"baseline {name!r}: is none of the runs; they are {names}")


def _pairs(baseline: Side, sides: Sequence[Side], every: bool) -> Iterator[Pair]:
    """Who is held against whom: all others against the baseline, and, on request, against each other too."""
    others = [side for side in sides if side is not baseline]
    yield from ((baseline, side) for side in others)
    if every:
        yield from combinations(others, 2)


def _agreements(runs: Sequence[ComparedRun], baseline: Side, every: bool, seed: int) -> Iterator[Agreement]:
    """How answerers agree, run by run, where they were asked the same."""
    first = baseline.runs[0]
    pairs = [(first, run) for run in runs if run is not first]
    pairs += combinations([run for run in runs if run is not first], 2) if every else []
    for a, b in pairs:
        found = agreement(
            a.name, a.dialogs, b.name, b.dialogs, Stream.AGREEMENT_INTERVALS.generator(seed), BAND_RESAMPLES
        )
        if found is not None:
            yield found


def _worst(run: ComparedRun, count: int) -> tuple[int, ...]:
    """The places of the dialogs with most repeats, the earlier first among equals; none without a repeat."""
    repeats = run.counts.repeats if run.asks else np.zeros_like(run.counts.repeats)
    order = np.argsort(-repeats, kind="stable")[:count]
    return tuple(int(place) for place in order if repeats[place])
