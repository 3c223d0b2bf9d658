"""Failed dialogs: their share on both sides of a pair, and what they could change at the worst and at the best."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from chatir.compare.comparison import Difference, FailureBound
from chatir.compare.statistics.differences import ALPHA, DESCRIPTIVE_RESAMPLES, same_kind, shared_labels
from chatir.compare.statistics.resampling import evened, percentile_interval, resampled_means, sign_flip_p
from chatir.compare.statistics.sides import Measured, Pair, Side
from chatir.compare.statistics.significance import cohens_g, exact_mcnemar, standardised_mean
from chatir.compare.statistics.streams import Stream
from chatir.measures.names import PRIMARY_HITS
from chatir.measures.questions import repeats
from chatir.measures.ranks import rank_table
from chatir.measures.retrieval import Figures, Ranks
from chatir.measures.retrieval_by_dialog import by_dialog, image_sizes, per_image
from chatir.run.ranks import Ranking
from chatir.run.runs import Run


@dataclass(frozen=True, eq=False)
class FailedPair:
    """A pair of sides, a and b, of which some dialogs failed, and the targets that all their runs had, failed or not.

    targets: by id. images: those of the targets, in their order.
    """

    a: Side
    b: Side
    targets: tuple[str, ...]
    images: tuple[str, ...]

    def failed(self, side: Side) -> Figures:
        """The share of the side's runs in which each target failed [targets]."""
        gone = [_gone(run.run) for run in side.runs]
        return np.array([np.mean([target in one for one in gone]) for target in self.targets])


def failed_pairs(pairs: Sequence[Pair]) -> Iterator[FailedPair]:
    """The pairs that failures matter to."""
    for a, b in pairs:
        had = [_images(run.run) for run in (*a.runs, *b.runs)]
        targets = sorted(set.intersection(*(set(images) for images in had)))
        found = FailedPair(a, b, tuple(targets), tuple(had[0][target] for target in targets))
        if found.failed(a).any() or found.failed(b).any():
            yield found


def _images(run: Run) -> dict[str, str]:
    """The images of a run's targets, by id, failed ones too."""
    images = {dialog.id: dialog.image for dialog in run.dialogs}
    return images | {id_: run.record.images[id_] for id_ in run.record.gone} if run.record else images


def _gone(run: Run) -> frozenset[str]:
    return run.record.gone if run.record else frozenset()


def failure_differences(pairs: Sequence[Pair], seed: int) -> Iterator[Difference]:
    """The share of failed dialogs of both sides, in percent of the targets that both had."""
    for found in failed_pairs(pairs):
        delta = 100 * per_image(found.failed(found.b) - found.failed(found.a), found.images)
        rng, sizes = Stream.FAILURE_INTERVALS.generator(seed), image_sizes(found.images)
        means = resampled_means(delta[:, np.newaxis], DESCRIPTIVE_RESAMPLES, rng, sizes)
        low, high = percentile_interval(means[:, 0], 1 - ALPHA)
        single = len(found.a.runs) == len(found.b.runs) == 1 and len(delta) == len(found.targets)
        counts = int((delta < 0).sum()), int((delta > 0).sum())
        flips = sign_flip_p(delta[:, np.newaxis], DESCRIPTIVE_RESAMPLES, Stream.FAILURE_TESTS.generator(seed))
        yield Difference(
            a=found.a.name,
            b=found.b.name,
            metric="failed_dialogs",
            retriever=None,
            corpus=None,
            round=None,
            n=len(delta),
            delta=float(delta.mean()),
            effect=cohens_g(*counts) if single else standardised_mean(evened(delta, sizes)),
            ci_low=float(low),
            ci_high=float(high),
            level=1 - ALPHA,
            test="mcnemar" if single else "sign-flip",
            p=exact_mcnemar(*counts) if single else float(flips[0]),
        )


def failure_bounds(pairs: Sequence[Pair], rounds: int) -> Iterator[FailureBound]:
    """How far the primary figures could move if every failed dialog went as well, or as badly, as it can.

    A failed dialog may repeat no question or all but its first, find its target at once or never, and rank it first, or
    last in its corpus, in every round. A figure that some other dialog lacks has no bounds.
    """
    for found in failed_pairs(pairs):
        if same_kind(found.a, found.b):
            yield from _bound(
                found, Measured("repeats_per_dialog"), lambda run: _repeats(run, rounds), max(rounds - 1, 0)
            )
        for label in shared_labels(found.a, found.b) if rounds else []:
            ranking = found.a.runs[0].retrieval[label].ranking

            def of_run(run: Run, measure: str, ranking: Ranking = ranking) -> dict[str, float]:
                ranks = _ranks(run, ranking, rounds)
                return {id_: float(by_dialog(measure, one).flat[-1]) for id_, one in ranks.items()}

            for measure, most in ((PRIMARY_HITS, 100.0), ("bri", math.log(ranking.images))):
                yield from _bound(found, Measured(measure, label), partial(of_run, measure=measure), most)


def _repeats(run: Run, rounds: int) -> dict[str, float]:
    return {dialog.id: repeats(one.question for one in dialog.rounds[:rounds]) for dialog in run.dialogs}


def _ranks(run: Run, ranking: Ranking, rounds: int) -> dict[str, Ranks]:
    """The ranks of each of a run's dialogs, by id [rounds + 1, 1]."""
    rankings = run.record.rankings if run.record else ()
    known = next((one.ranks for one in rankings if one.ranking.key == ranking.key), {})
    return {id_: rank_table([ranks], rounds) for id_, ranks in known.items()}


def _bound(
    found: FailedPair, measured: Measured, of_run: Callable[[Run], Mapping[str, float]], most: float
) -> Iterator[FailureBound]:
    """The difference with the failed dialogs at one end of 0 to `most` on side a and at the other end on side b."""
    known = [[(run.run, of_run(run.run)) for run in side.runs] for side in (found.a, found.b)]
    if any(
        target not in values and target not in _gone(run)
        for side in known
        for run, values in side
        for target in found.targets
    ):
        return

    def mean(side: Sequence[tuple[Run, Mapping[str, float]]], otherwise: float) -> float:
        of_targets = [
            np.mean([otherwise if target in _gone(run) else values[target] for run, values in side])
            for target in found.targets
        ]
        return float(per_image(np.array(of_targets), found.images).mean())

    a, b = known
    yield FailureBound(
        a=found.a.name,
        b=found.b.name,
        metric=measured.metric,
        retriever=measured.retriever,
        targets=len(found.targets),
        failed_a=int((found.failed(found.a) > 0).sum()),
        failed_b=int((found.failed(found.b) > 0).sum()),
        low=mean(b, 0.0) - mean(a, most),
        high=mean(b, most) - mean(a, 0.0),
    )
