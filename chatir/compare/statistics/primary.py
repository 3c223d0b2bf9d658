"""The primary family: what verdicts are about, each with its test, its gate and the intervals that belong to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from chatir.compare.comparison import Difference
from chatir.compare.statistics.differences import (
    ALPHA,
    DESCRIPTIVE_RESAMPLES,
    Paired,
    intervals,
    same_kind,
    shared_labels,
)
from chatir.compare.statistics.gate import gate, gated_p, same_length
from chatir.compare.statistics.resampling import sign_flip_p
from chatir.compare.statistics.sides import Measured, Pair, Side, primary
from chatir.compare.statistics.significance import exact_mcnemar, holm, least_mcnemar, least_sign_flip, resamples_needed
from chatir.compare.statistics.streams import Stream
from chatir.measures.retrieval import Figures


def primary_differences(pairs: Sequence[Pair], rounds: int, seed: int) -> list[Difference]:
    """The primary family over all pairs, adjusted by Holm; rounds: how many are compared; seed: of the resampling.

    A difference is decided where its test, with its gate, rejects and the adjusted interval leaves 0 out.
    """
    columns = [Paired.of(pair, one) for pair in pairs for one in _primary(pair, rounds)]
    if not columns:
        return []
    resamples, sizes = resamples_needed(len(columns)), columns[0].a.sizes
    deltas = np.stack([column.delta for column in columns], axis=1)
    tests = ["sign-flip" if column.discordant is None else "mcnemar" for column in columns]
    p = _p_of_each(columns, deltas, resamples, seed)
    gates, gate_p = _gates(columns, resamples, seed)
    gated = np.array([_gated(*each) for each in zip(columns, p, gates, gate_p, strict=True)])
    adjusted, levels = holm(gated, ALPHA)
    least, _ = holm([_least_p(column, resamples) for column in columns], ALPHA)
    ungated, ungated_levels = holm(p, ALPHA)
    low, high = intervals(deltas, levels, resamples, Stream.PRIMARY_INTERVALS, seed, sizes)
    plain = np.full(len(columns), 1 - ALPHA)
    plain_low, plain_high = intervals(deltas, plain, DESCRIPTIVE_RESAMPLES, Stream.PLAIN_INTERVALS, seed, sizes)
    found = []
    for place, column in enumerate(columns):
        one = replace(
            column.difference(plain_low[place], plain_high[place], 1 - ALPHA),
            test=tests[place],
            p=float(p[place]),
            primary=True,
            gate=gates[place],
            gate_p=gate_p[place],
            p_holm=float(adjusted[place]),
            adjusted_low=float(low[place]),
            adjusted_high=float(high[place]),
            adjusted_level=float(levels[place]),
            least_p=float(least[place]),
            decided=bool(adjusted[place] <= ALPHA and not low[place] <= 0 <= high[place]),
        )
        if ungated[place] <= ALPHA and not one.ci_low <= 0 <= one.ci_high:
            one = replace(one, withheld=_withheld(one, _better(column), 1 - float(ungated_levels[place])))
        found.append(one)
    return found


def _withheld(one: Difference, better: float, alpha: float) -> Literal["gate", "gate-opposed"] | None:
    """What the gate says against a difference that its own test shows; None where the gate is not what is in its way.

    better: by how much b's figure is the better one. alpha: the level at which the difference's own test decided.
    """
    if one.gate is None or one.gate_p is None or one.decided:
        return None
    if better * one.gate < 0 and one.gate_p <= alpha:
        return "gate-opposed"
    return "gate" if better * one.gate <= 0 or one.gate_p > ALPHA else None


def _primary(pair: Pair, rounds: int) -> Iterator[Measured]:
    """What is tested of a pair: texts where they are of one kind, retrieval where nothing ended a dialog earlier."""
    ranked = _tests_retrieval(pair)
    for measured in primary(shared_labels(*pair), rounds):
        if ranked if measured.retriever is not None else same_kind(*pair):
            yield measured


def _tests_retrieval(pair: Pair) -> bool:
    """Whether how two sides find targets may be tested: no run was stopped at its hits, and dialogs are as long."""
    return same_length(pair) and not any(run.run.stopped_at_hits for side in pair for run in side.runs)


def _p_of_each(columns: Sequence[Paired], deltas: Figures, resamples: int, seed: int) -> Figures:
    """The p of each column's own test, two-sided [columns]."""
    flipped = [place for place, column in enumerate(columns) if column.discordant is None]
    p = np.array([exact_mcnemar(*(column.discordant or (0, 0))) for column in columns])
    p[flipped] = _sign_flip_p(deltas[:, flipped], resamples, Stream.PRIMARY_TESTS, seed)
    return p


def _sign_flip_p(differences: Figures, resamples: int, stream: Stream, seed: int) -> Figures:
    """The p of each column [columns], by chance never below what so many images can give."""
    p = sign_flip_p(differences, resamples, stream.generator(seed))
    return np.maximum(p, least_sign_flip(len(differences)))


def _gates(columns: Sequence[Paired], resamples: int, seed: int) -> tuple[list[float | None], list[float | None]]:
    """The mean and the p of each column's gate; None for figures of texts."""
    ranked = [place for place, column in enumerate(columns) if column.measured.retriever is not None]
    means: list[float | None] = [None] * len(columns)
    p = list(means)
    if ranked:
        gates = list(dict.fromkeys(_gate_of(columns[place]) for place in ranked))
        signs = np.stack([gate((a, b), label) for a, b, label in gates], axis=1)
        tested = _sign_flip_p(signs, resamples, Stream.GATE_TESTS, seed)
        found = dict(zip(gates, zip(signs.mean(axis=0), tested, strict=True), strict=True))
        for place in ranked:
            mean, each = found[_gate_of(columns[place])]
            means[place], p[place] = float(mean), float(each)
    return means, p


def _gate_of(column: Paired) -> tuple[Side, Side, str]:
    """The pair and the retriever, whose Hits and BRI have one gate."""
    return column.a, column.b, column.measured.retriever or ""


def _better(column: Paired) -> float:
    """By how much b's figure is the better one."""
    delta = float(column.delta.mean())
    return -delta if column.measured.metric == "bri" else delta


def _gated(column: Paired, p: float, mean: float | None, gate_p: float | None) -> float:
    return float(p) if mean is None or gate_p is None else gated_p(float(p), _better(column), gate_p, mean)


def _least_p(column: Paired, resamples: int) -> float:
    """The smallest p that so many images, and so many targets that one of the two found alone, allow."""
    flips = max(least_sign_flip(len(column.delta)), 1 / (resamples + 1))
    if column.discordant is None:
        return flips
    return max(flips, least_mcnemar(sum(column.discordant)))
