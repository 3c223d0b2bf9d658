"""A comparison of some measures only, chosen by the names that they have in JSON."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from chatir.compare.comparison import ComparedRun, Comparison
from chatir.compare.counted.retrieval import Retrieval
from chatir.errors import InputError
from chatir.measures.names import known_measures

Figure = TypeVar("Figure")


def check_measures(names: Collection[str], ks: Sequence[int]) -> None:
    """Raise InputError for a name that is unknown; ks: ranks that count as a hit."""
    known = known_measures(ks)
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"measure {unknown[0]!r} is unknown; the measures are {', '.join(known)}")


def only_measures(comparison: Comparison, names: Collection[str]) -> Comparison:
    """The same without the figures and differences of other measures; verdicts, notes and method stay as they are.

    How answers agree, which is no measure of a run, is left out.
    """
    return replace(
        comparison,
        runs=tuple(_run(run, names) for run in comparison.runs),
        groups=tuple(
            replace(group, spread=tuple(one for one in group.spread if one.metric in names))
            for group in comparison.groups
        ),
        summaries=tuple(
            replace(one, estimates=tuple(each for each in one.estimates if each.metric in names))
            for one in comparison.summaries
        ),
        differences=tuple(one for one in comparison.differences if one.metric in names),
        agreements=(),
        bounds=tuple(one for one in comparison.bounds if one.metric in names),
    )


def _run(run: ComparedRun, names: Collection[str]) -> ComparedRun:
    return replace(
        run,
        repetition=None if run.repetition is None else _chosen(run.repetition, names),
        language=None if run.language is None else _chosen(run.language, names),
        defects=_chosen(run.defects, names),
        retrieval={label: _retrieval(found, names) for label, found in run.retrieval.items()},
    )


def _retrieval(found: Retrieval, names: Collection[str]) -> Retrieval:
    return replace(
        found,
        curves=_chosen(found.curves, names),
        chance=_chosen(found.chance, names),
        bri=found.bri if "bri" in names else math.nan,
        truncated=found.truncated if "truncated" in names else None,
    )


def _chosen(figures: Mapping[str, Figure], names: Collection[str]) -> dict[str, Figure]:
    return {name: value for name, value in figures.items() if name in names}
