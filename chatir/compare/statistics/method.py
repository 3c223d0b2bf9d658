"""How was tested, in one paragraph, for those who ask for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chatir.compare.comparison import Difference
from chatir.compare.counted.retrieval import BAND_RESAMPLES
from chatir.compare.statistics.differences import ALPHA, DESCRIPTIVE_RESAMPLES
from chatir.compare.statistics.sides import Side
from chatir.compare.statistics.significance import resamples_needed
from chatir.measures.names import PRIMARY_K


def method(sides: Sequence[Side], primary: Sequence[Difference], images: int, ranked: bool) -> str:
    """What a reader must know to trust the figures, or to report them.

    primary: the differences that were tested. images: how many are compared. ranked: whether a run has ranks.
    """
    return " ".join(_sentences(sides, primary, images, ranked))


def _sentences(sides: Sequence[Side], primary: Sequence[Difference], images: int, ranked: bool) -> Iterator[str]:
    yield (
        f"All figures are over the same {images:,} images, which are known by their paths. The 95% interval of a run's "
        "Hits@10 is Wilson's where each image has one dialog of one run; that of any other figure is a percentile "
        "bootstrap over images."
    )
    if primary:
        yield from _tests(primary, ranked)
    if ranked:
        yield (
            f"Chance: what Hits@K would be if targets were drawn at random from the corpus, counted exactly from the "
            "best images of every round. "
            f"Curves stand in simultaneous bands (max-T, {BAND_RESAMPLES:,} bootstraps; ATR and MRR on logarithms). "
            "Round 0, the caption, is the same for all by design: checked, not tested. In a large corpus few images "
            "rule a mean rank, and intervals and bands of ATR promise more than they hold; BRI does not suffer from it."
        )
    yield _generation_noise(sides)


def _tested(primary: Sequence[Difference]) -> str:
    """What is tested and by what, as far as it is."""
    flips = f"paired sign-flip permutation test, {resamples_needed(len(primary)):,} resamples, p = (b + 1) / (B + 1)"
    by = {"mcnemar": "exact McNemar test", "sign-flip": flips}
    names = {f"hits@{PRIMARY_K}": f"Hits@{PRIMARY_K} at the last round", "bri": "BRI", "repeats_per_dialog": "repeats"}
    found = []
    for test, words in by.items():
        metrics = {one.metric for one in primary if one.test == test}
        if metrics:
            found.append(f"{', '.join(name for metric, name in names.items() if metric in metrics)} ({words})")
    return " and ".join(found)


def _tests(primary: Sequence[Difference], ranked: bool) -> Iterator[str]:
    tests = f"{len(primary)} tests" if len(primary) > 1 else "this one test"
    yield (
        f"Tested: {_tested(primary)}; p is two-sided and adjusted by Holm over {tests}. "
        f"Intervals of differences are paired percentile bootstraps over images, at {1 - ALPHA:.0%} and, adjusted, at "
        f"the level at which Holm's procedure decided. A difference counts where the adjusted p is at most {ALPHA} and "
        "the adjusted interval leaves 0 out. Effects are Cohen's g where McNemar's test is made, else mean over "
        "standard deviation of the differences."
    )
    if any(one.gate_p is not None for one in primary):
        yield (
            "Hits and BRI take the best rank so far, which favours questions that vary even where no answer tells "
            "anything. So they are gated: for each image, the mean over rounds of the sign of the difference of the "
            "two ranks at that round must differ from 0 in the same direction (paired sign-flip test); the larger p "
            "of the two counts, and 1 where they disagree (intersection-union test)."
        )
    ranks = "; BCa for ATR, whose logarithm is told too" if ranked else ""
    yield (
        f"All else is descriptive: {1 - ALPHA:.0%} intervals ({DESCRIPTIVE_RESAMPLES:,} paired bootstraps{ranks}), "
        "p without adjustment."
    )


def _generation_noise(sides: Sequence[Side]) -> str:
    if all(len(side.runs) > 1 for side in sides):
        return (
            "Tests and intervals are of the mean over the seeds at hand; the spread between seeds stands beside them."
        )
    single = "" if all(len(side.runs) == 1 for side in sides) else " for runs of one seed"
    return (
        f"Intervals cover the choice of images; the noise of generation is not covered{single}: that takes runs with "
        "several seeds (simulate --seed 0,1,2)."
    )
