"""Failed dialogs: their share on both sides of a pair, and what they could change at the worst and at the best."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from chatir.compare.comparison import Difference, FailureBound
from chatir.compare.rank_measures import best_log_rank_integrals, hits
from chatir.compare.ranking_labels import ranking_key
from chatir.compare.runs import Run
from chatir.compare.statistics.differences import ALPHA, DESCRIPTIVE_RESAMPLES, Pair, shared_labels
from chatir.compare.statistics.resampling import percentile_interval, resampled_means
from chatir.compare.statistics.sides import PRIMARY_K, Measured
from chatir.compare.statistics.significance import cohens_g, exact_mcnemar
from chatir.dialog import Dialog
from chatir.questions import repeats
from chatir.retriever.metrics import Ranks
from chatir.simulate.run_ranks import Ranking, rank_table


@dataclass(frozen=True)
class FailedPair:
    """Two runs of which one has failed dialogs, and the targets that both had, failed or not."""

    a: Run
    b: Run
    targets: tuple[str, ...]

    def all_known(self, run: Run, known: Mapping[str, object]) -> bool:
        """Whether something is known of every target that did not fail in a run."""
        failed = _failed_ids(run)
        return all(target in known or target in failed for target in self.targets)

    def failed(self, run: Run) -> list[str]:
        """Those of the targets whose dialogs failed in a run."""
        failed = _failed_ids(run)
        return [target for target in self.targets if target in failed]


def failed_pairs(pairs: Sequence[Pair]) -> Iterator[tuple[Pair, FailedPair]]:
    """The pairs of single runs that failures matter to; of a group, the members tell for themselves."""
    for pair in pairs:
        if any(len(side.runs) > 1 for side in pair):
            continue
        a, b = (side.runs[0].run for side in pair)
        known = [{dialog.id for dialog in run.dialogs} | _failed_ids(run) for run in (a, b)]
        found = FailedPair(a, b, tuple(sorted(known[0] & known[1])))
        if found.failed(a) or found.failed(b):
            yield pair, found


def _failed_ids(run: Run) -> set[str]:
    return {failed.id for failed in run.record.failed} if run.record else set()


def failure_differences(pairs: Sequence[Pair], seed: int) -> Iterator[Difference]:
    """The share of failed dialogs of both sides, in percent of the targets that both had."""
    for _, found in failed_pairs(pairs):
        failed_a, failed_b = set(found.failed(found.a)), set(found.failed(found.b))
        delta = np.array([100.0 * ((target in failed_b) - (target in failed_a)) for target in found.targets])
        means = resampled_means(delta[:, np.newaxis], DESCRIPTIVE_RESAMPLES, np.random.default_rng([seed, 6]))
        low, high = percentile_interval(means[:, 0], 1 - ALPHA)
        lost, won = len(failed_a - failed_b), len(failed_b - failed_a)
        yield Difference(
            a=found.a.name,
            b=found.b.name,
            metric="failed_dialogs",
            retriever=None,
            corpus=None,
            round=None,
            n=len(found.targets),
            delta=float(delta.mean()),
            effect=cohens_g(lost, won),
            ci_low=float(low),
            ci_high=float(high),
            level=1 - ALPHA,
            test="mcnemar",
            p=exact_mcnemar(lost, won),
        )


def failure_bounds(pairs: Sequence[Pair], rounds: int) -> Iterator[FailureBound]:
    """How far the primary figures could move if every failed dialog went as well, or as badly, as it can.

    A failed dialog may repeat no question or all but its first, find its target at once or never, and rank it first, or
    last in its corpus, in every round.
    """
    for pair, found in failed_pairs(pairs):
        yield _bound(found, Measured("repeats_per_dialog"), _repeats(found, rounds), max(rounds - 1, 0))
        for label in shared_labels(*pair) if rounds else []:
            ranking = pair[0].runs[0].retrieval[label].ranking
            ranks = [_ranks(run, ranking, rounds) for run in (found.a, found.b)]
            if all(found.all_known(run, known) for run, known in zip((found.a, found.b), ranks, strict=True)):
                found_at_once = [
                    {id_: float(hits(one, PRIMARY_K)[0, -1]) for id_, one in known.items()} for known in ranks
                ]
                early = [{id_: float(best_log_rank_integrals(one)[0]) for id_, one in known.items()} for known in ranks]
                yield _bound(found, Measured(f"hits@{PRIMARY_K}", label), found_at_once, 100.0)
                yield _bound(found, Measured("bri", label), early, math.log(ranking.images))


Values = Sequence[Mapping[str, float]]
"""A figure of the dialogs that did not fail, by id: of run a, and of run b."""


def _repeats(found: FailedPair, rounds: int) -> Values:
    def counted(dialog: Dialog) -> float:
        return repeats(one.question for one in dialog.rounds[:rounds])

    return [{dialog.id: counted(dialog) for dialog in run.dialogs} for run in (found.a, found.b)]


def _ranks(run: Run, ranking: Ranking, rounds: int) -> dict[str, Ranks]:
    """The ranks of each of a run's dialogs, by id [rounds + 1, 1]."""
    rankings = run.record.rankings if run.record else ()
    known = next((one.ranks for one in rankings if ranking_key(one.ranking) == ranking_key(ranking)), {})
    return {id_: rank_table([ranks], rounds) for id_, ranks in known.items()}


def _bound(found: FailedPair, measured: Measured, values: Values, most: float) -> FailureBound:
    """The difference with the failed dialogs at one end of 0 to `most` on side a and at the other end on side b."""

    def mean(known: Mapping[str, float], otherwise: float) -> float:
        return sum(known.get(target, otherwise) for target in found.targets) / len(found.targets)

    a, b = (
        {id_: known[id_] for id_ in known if id_ not in _failed_ids(run)}
        for known, run in zip(values, (found.a, found.b), strict=True)
    )
    return FailureBound(
        a=found.a.name,
        b=found.b.name,
        metric=measured.metric,
        retriever=measured.retriever,
        targets=len(found.targets),
        failed_a=len(found.failed(found.a)),
        failed_b=len(found.failed(found.b)),
        low=mean(b, 0.0) - mean(a, most),
        high=mean(b, most) - mean(a, 0.0),
    )
