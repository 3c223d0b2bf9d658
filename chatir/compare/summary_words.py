"""How the summary of a comparison reads, in tables and in the report: figures with intervals, decisions in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chatir.compare.comparison import Comparison, Difference, RunFigure, Summary
from chatir.compare.statistics.differences import ALPHA
from chatir.compare.statistics.significance import least_sign_flip
from chatir.measures.names import (
    MANY_IMAGES,
    NOT_GIVEN,
    PRIMARY_HITS,
    ROUNDING,
    interval_decimals,
    measure,
    number,
)

BASELINE, NOT_TESTED = "baseline", "not tested"
UNDECIDED, TOO_FEW, WITHHELD = "undecided", "too few to decide", "no verdict"

PRIMARY = ("repeats_per_dialog", PRIMARY_HITS, "bri")
"""The measures of a summary, in the order of its columns."""
HEADLINE = (PRIMARY_HITS, "bri", "repeats_per_dialog")
"""The same in the order in which decisions and verdicts name them."""

Decision = tuple[str, tuple[str, ...]]
"""A word, and the names of the measures that it is about; none where it is about all that are tested."""


def figure_texts(one: RunFigure | None, images: int) -> tuple[str, str, str]:
    """A figure, its 95% interval in brackets, and the standard deviation between seeds; empty where not given.

    Where there is no figure the first is a dash. Interval and figure have two digits of the interval's width.
    """
    if one is None:
        return NOT_GIVEN, "", ""
    known = measure(one.metric, images)
    value, low, high = (each * known.scale for each in (one.value, one.low, one.high))
    of_interval = interval_decimals(0, low, high) if high - low > ROUNDING else known.decimals
    if known.unit == "%":  # one image is a hundredth of a hundred, and a tenth of a thousand
        of_interval = 0 if images < MANY_IMAGES else 1
    decimals = max(known.decimals, of_interval)
    seeds = "" if one.between_seeds is None else number(one.between_seeds * known.scale, decimals)
    return number(value, decimals), f"[{number(low, of_interval)}, {number(high, of_interval)}]", seeds


def primary_differences_of(comparison: Comparison, name: str, label: str | None) -> list[Difference]:
    """A run's primary differences from the baseline, those by other retrievers aside, in the order of `HEADLINE`."""
    own = [
        one
        for one in comparison.differences
        if one.primary and (one.a, one.b) == (comparison.baseline, name) and one.retriever in (None, label)
    ]
    return sorted(own, key=lambda one: HEADLINE.index(one.metric))


def decisions(comparison: Comparison, summary: Summary, label: str | None) -> list[Decision]:
    """What is decided of a run against the baseline: every measure that differs by its name.

    What is undecided is named only where nothing else is to say.
    """
    own = primary_differences_of(comparison, summary.name, label)
    if not own:
        return [(NOT_TESTED, ())]
    said: dict[str, list[str]] = {}
    for one in own:
        said.setdefault(outcome(one, comparison.tests), []).append(measure(one.metric, 0).name)
    open_, few = said.pop(UNDECIDED, []), said.pop(TOO_FEW, [])
    untested = tuple(_untested(comparison, summary, label, own))
    found: list[Decision] = [(word, tuple(names)) for word, names in said.items()]
    if not found:
        found.append((UNDECIDED if open_ else TOO_FEW, () if len(own) == len(PRIMARY) else tuple(open_ + few)))
    return [*found, *([(NOT_TESTED, untested)] if untested else [])]


def decision_text(decision: Decision) -> str:
    """`worse: Hits@10, BRI`, or the word alone."""
    word, names = decision
    return f"{word}: {', '.join(names)}" if names else word


def _untested(comparison: Comparison, summary: Summary, label: str | None, own: Sequence[Difference]) -> Iterator[str]:
    """The measures that both have, and that are not tested."""
    first = next(one for one in comparison.summaries if one.name == comparison.baseline)
    for metric in HEADLINE:
        by = label if metric != "repeats_per_dialog" else None
        if summary[metric, by] and first[metric, by] and metric not in [one.metric for one in own]:
            yield measure(metric, 0).name


def outcome(one: Difference, tests: int) -> str:
    """What is decided of a primary difference, in a word. tests: how many p is adjusted for."""
    if one.decided:
        way, better = "higher" if one.delta > 0 else "lower", measure(one.metric, one.n).better
        return way if better is None else "better" if way == better else "worse"
    if one.withheld is not None:
        return WITHHELD
    few = (one.least_p or 0) > ALPHA and least_sign_flip(one.n) * tests > ALPHA  # not only few that one found alone
    return TOO_FEW if few else UNDECIDED


def word_meaning(word: str, differences: Sequence[Difference]) -> str:
    """What one of the words that do not speak for themselves means. differences: those that it is said of."""
    if word == WITHHELD:
        held = {one.withheld for one in differences}
        but = {"gate": "neither is shown to rank targets better", "gate-opposed": "the other one ranks targets better"}
        how = ", or ".join(words for why, words in but.items() if why in held)
        return f"differs over all rounds, but round by round {how}"
    return {
        UNDECIDED: f"p (Holm) above {ALPHA}: not shown to differ, nor to be alike",
        TOO_FEW: f"p (Holm) cannot reach {ALPHA} with so few images",
        NOT_TESTED: "other lengths, stopped at hits, or no questions",
    }[word]
