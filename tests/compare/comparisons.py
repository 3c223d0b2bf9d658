"""Comparisons that are made by hand, as small or as large as a test of figures needs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chatir import Dialog, Round
from chatir.compare.comparison import ComparedRun, Comparison, Difference, RunFigure, Summary
from chatir.compare.counted.retrieval import Curve, Retrieval
from chatir.measures.counts import defects, dialog_counts, language, repetition
from chatir.measures.retrieval import Figures
from chatir.measures.retrieval_by_dialog import hits, own_ranks
from chatir.run.ranks import Ranking
from chatir.run.runs import RecordedPlayer, Run

CLIP = Ranking("CLIP", {}, "c" * 64, 1000)
ROUNDS = 4
KS = (1, 5, 10)
WORDS = ("dog", "red", "kitchen", "people", "street", "small")


def compared(
    name: str,
    *,
    questioner: str | None = None,
    config: Mapping[str, Any] | None = None,
    dialogs: Sequence[Dialog] | None = None,
    labels: Sequence[str] = ("CLIP",),
    seed: int = 0,
    truncated: float | None = 0.0,
) -> ComparedRun:
    """A run. labels: of the retrievers that ranked it, none for a run without ranks."""
    told = asked(seed) if dialogs is None else tuple(dialogs)
    player = RecordedPlayer(questioner, config) if questioner else None
    counts = dialog_counts(told)
    return ComparedRun(
        run=Run(name, Path(f"{name}.json"), "0" * 64, told, None, player, None),
        dialogs=told,
        counts=counts,
        repetition=repetition(counts) if told else {},
        language=language(counts) if told else {},
        defects=defects(told),
        retrieval={label: retrieval(len(told), seed + place, truncated) for place, label in enumerate(labels)},
    )


def asked(seed: int, count: int = 12) -> tuple[Dialog, ...]:
    """Dialogs in which some questions come again."""
    rng = np.random.default_rng(seed)
    dialogs = []
    for number in range(count):
        words = rng.choice(WORDS, ROUNDS)
        rounds = tuple(Round(f"is there a {word}?", f"yes, a {word}") for word in words)
        dialogs.append(Dialog(f"{number}.jpg", "a picture", rounds))
    return tuple(dialogs)


def retrieval(dialogs: int, seed: int = 0, truncated: float | None = 0.0) -> Retrieval:
    """Ranks that get better from round to round, with bands of a made-up width."""
    rng = np.random.default_rng(seed)
    ranks = np.sort(rng.integers(1, 200, (ROUNDS + 1, dialogs)), axis=0)[::-1]
    curves = {f"hits@{k}": banded(hits(ranks, k).mean(axis=0), 0.1) for k in KS}
    curves["atr"] = banded(own_ranks(ranks).mean(axis=0), 0.2)
    shares = None if truncated is None else np.linspace(0, truncated, ROUNDS + 1)
    chance = {f"hits@{k}": np.linspace(k, 4 * k, ROUNDS + 1) / 10 for k in KS}
    return Retrieval(CLIP, ranks, curves, 3.0, chance, shares)


def banded(values: Figures, width: float) -> Curve:
    return Curve(values, values * (1 - width), values * (1 + width))


def side_by_side(*runs: ComparedRun, differences: Sequence[Difference] = ()) -> Comparison:
    """A comparison of these runs; without any `differences`, the primary ones of the others to the first."""
    made = [one for run in runs[1:] for one in primary(runs[0].name, run.name)]
    return Comparison(
        baseline=runs[0].name if runs else "",
        images=len(runs[0].dialogs) if runs else 0,
        rounds=ROUNDS,
        ks=KS,
        runs=runs,
        groups=(),
        summaries=tuple(summary(run) for run in runs),
        differences=tuple(differences or made),
        verdicts=(),
        agreements=(),
        bounds=(),
        notes=(),
        method="",
        tests=len(differences or made),
        worst={},
    )


def summary(run: ComparedRun) -> Summary:
    """The primary figures of a run with made-up intervals."""
    texts = [("repeats_per_dialog", None, run.repetition["repeats_per_dialog"], None)] if run.repetition else []
    ranked = [
        row
        for label, found in run.retrieval.items()
        if "hits@10" in found.curves
        for row in (
            ("hits@10", label, float(found.curves["hits@10"].values[-1]), float(found.chance["hits@10"][-1])),
            ("bri", label, found.bri, None),
        )
    ]
    rounds = {"hits@10": ROUNDS}
    estimates = [
        RunFigure(metric, label, rounds.get(metric), value or 0.0, 0.5 * (value or 0.0), 2.0 * (value or 0.0), chance)
        for metric, label, value, chance in (*texts, *ranked)
    ]
    return Summary(run.name, (run.name,), tuple(estimates))


def primary(a: str, b: str) -> list[Difference]:
    """A primary family: Hits@10, which is decided, BRI and repeats, which are not."""
    return [
        difference(a, b, "hits@10", 12.5, 4.0, decided=True),
        difference(a, b, "bri", -0.125, 0.25),
        difference(a, b, "repeats_per_dialog", 0.5, 1.0),
    ]


def difference(a: str, b: str, metric: str, delta: float, width: float, decided: bool = False) -> Difference:
    ranked = metric != "repeats_per_dialog"
    return Difference(
        a=a,
        b=b,
        metric=metric,
        retriever="CLIP" if ranked else None,
        corpus="c" * 64 if ranked else None,
        round=ROUNDS if metric.startswith("hits") else None,
        n=12,
        delta=delta,
        effect=None,
        ci_low=delta - width,
        ci_high=delta + width,
        level=0.95,
        test="sign-flip",
        p=0.01,
        p_holm=0.03,
        primary=True,
        decided=decided,
        gate=0.25 if ranked else None,
        gate_p=0.01 if ranked else None,
        adjusted_low=delta - 1.5 * width,
        adjusted_high=delta + 1.5 * width,
        adjusted_level=0.975,
        least_p=0.001,
    )
