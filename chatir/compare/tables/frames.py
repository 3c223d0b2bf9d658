"""A comparison as pandas frames, and as one long table in CSV.

Columns, metrics and units are those of `compare --format json`: shares are 0 to 1, hits and recall percentages.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from chatir.compare.counted.retrieval import LEVEL, Retrieval
from chatir.console import printable
from chatir.measures.counts import LANGUAGE, REPETITION
from chatir.measures.retrieval import best_ranks
from chatir.measures.retrieval_by_dialog import last_ranks

if TYPE_CHECKING:
    from pandas import DataFrame

    from chatir.compare.comparison import ComparedRun, Comparison, Difference, RunFigure

COLUMNS = (
    *("run", "versus", "retriever", "corpus", "metric", "round", "value", "low", "high", "level", "n", "effect"),
    *("test", "p", "gate_p", "p_holm", "adjusted_low", "adjusted_high", "adjusted_level", "decided", "withheld"),
    *("chance", "plain_low", "plain_high", "between_seeds"),
)
"""The columns of `tidy`."""
_FIGURE = ("metric", "retriever", "round", "value", "low", "high", "chance", "between_seeds")
_DIFFERENCE = (
    *("a", "b", "metric", "retriever", "corpus", "round", "n", "delta", "effect", "ci_low", "ci_high", "level"),
    *("test", "p", "p_holm", "primary", "decided", "gate", "gate_p", "adjusted_low", "adjusted_high"),
    *("adjusted_level", "least_p", "withheld"),
)
_AGREEMENT = (
    *("a", "b", "questions", "exact", "exact_low", "exact_high", "yes_no_questions", "yes_no", "kappa"),
    *("words_a", "words_b"),
)
_WHOLE = ("round", "n")
_FORMULA = ("=", "+", "-", "@")


def runs_frame(comparison: Comparison) -> DataFrame:
    """A row for each run: who played, and its figures of repetition, language and defects."""
    import pandas as pd

    rows = [
        {
            "run": one.name,
            "file": str(one.run.file),
            "questioner": one.run.questioner.name if one.run.questioner else None,
            "answerer": one.run.answerer.name if one.run.answerer else None,
            "seed": one.run.seed,
            "dialogs": len(one.dialogs),
            "rounds": comparison.rounds,
            **_texts(one),
            **one.defects,
        }
        for one in comparison.runs
    ]
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def _texts(run: ComparedRun) -> dict[str, float | None]:
    """Figures of a run's texts; None for those that cannot be given."""
    return {**dict.fromkeys((*REPETITION, *LANGUAGE)), **(run.repetition or {}), **(run.language or {})}


def summary_frame(comparison: Comparison) -> DataFrame:
    """A row for each run or group of seeds, retriever and primary figure, with the names of `RunFigure`."""
    import pandas as pd

    rows = [
        [summary.name, *(getattr(one, name) for name in _FIGURE)]
        for summary in comparison.summaries
        for one in summary.estimates
    ]
    frame = pd.DataFrame(rows, columns=["run", *_FIGURE])
    return frame.astype({"round": "Int64", **dict.fromkeys(("value", "low", "high", "chance", "between_seeds"), float)})


def curves_frame(comparison: Comparison) -> DataFrame:
    """A row for each run, retriever, metric and round, with a 95% band of all rounds of a curve together.

    chance: what targets drawn at random from the corpus would give, of hits and recall. Also `bri`, which has no round,
    and `truncated`, the percentage of texts that the retriever cut; both have no band.
    """
    import pandas as pd

    columns = ["run", "retriever", "corpus", "metric", "round", "value", "low", "high", "chance"]
    rows = [row for run in comparison.runs for row in _curves(run)]
    return pd.DataFrame(rows, columns=columns).astype({"round": "Int64"})


def _curves(run: ComparedRun) -> Iterator[dict[str, Any]]:
    for label, found in run.retrieval.items():
        told = {"run": run.name, "retriever": label, "corpus": found.ranking.corpus}
        for metric, curve in found.curves.items():
            for number, value in enumerate(curve.values):
                band = {"low": curve.low[number], "high": curve.high[number]}
                chance = found.chance[metric][number] if metric in found.chance else None
                yield {**told, "metric": metric, "round": number, "value": value, **band, "chance": chance}
        if not math.isnan(found.bri):
            yield {**told, "metric": "bri", "value": found.bri}
        if found.truncated is not None:
            for number, value in enumerate(found.truncated):
                yield {**told, "metric": "truncated", "round": number, "value": value}


def differences_frame(comparison: Comparison) -> DataFrame:
    """A row for each difference, with the names of `Difference`: b minus a."""
    import pandas as pd

    rows = [[getattr(one, name) for name in _DIFFERENCE] for one in comparison.differences]
    frame = pd.DataFrame(rows, columns=list(_DIFFERENCE))
    others = ("a", "b", "metric", "retriever", "corpus", "round", "n", "test", "primary", "decided", "withheld")
    floats = dict.fromkeys((name for name in _DIFFERENCE if name not in others), "float64")
    return frame.astype({"round": "Int64", "n": "int64", "primary": "bool", "decided": "bool", **floats})


def agreements_frame(comparison: Comparison) -> DataFrame:
    """A row for each two runs whose answers could be held against each other, with the names of `Agreement`."""
    import pandas as pd

    rows = [[getattr(one, name) for name in _AGREEMENT] for one in comparison.agreements]
    return pd.DataFrame(rows, columns=list(_AGREEMENT))


def dialogs_frame(comparison: Comparison) -> DataFrame:
    """A row for each run and dialog: its figures, and for each retriever the target's first, last and best rank.

    The last rank is that of the last round that was played.
    """
    import pandas as pd

    frames = []
    for run in comparison.runs:
        frame = pd.DataFrame(
            {"run": run.name, "id": [d.id for d in run.dialogs], "image": [d.image for d in run.dialogs]}
        )
        for field in fields(run.counts) if run.asks else ():
            if (values := getattr(run.counts, field.name)) is not None:
                frame[field.name] = values
        for label, found in run.retrieval.items():
            for name, ranks in _ranks_of_dialogs(found).items():
                frame[f"{label} {name}"] = pd.array(ranks, dtype="Int64")
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _ranks_of_dialogs(found: Retrieval) -> dict[str, Any]:
    return {
        "first_rank": found.ranks[0],
        "last_rank": last_ranks(found.ranks),
        "best_rank": best_ranks(found.ranks)[-1],
    }


def ranks_frame(comparison: Comparison) -> DataFrame:
    """A row for each run, retriever, dialog and round that was played, with the target's rank after it."""
    import pandas as pd

    frames = []
    for run in comparison.runs:
        for label, found in run.retrieval.items():
            place, number = np.nonzero(found.ranks.T)
            ids = np.array([dialog.id for dialog in run.dialogs], dtype=object)
            told = {"run": run.name, "retriever": label, "corpus": found.ranking.corpus}
            frames.append(pd.DataFrame({**told, "id": ids[place], "round": number, "rank": found.ranks[number, place]}))
    columns = ["run", "retriever", "corpus", "id", "round", "rank"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def tidy(comparison: Comparison) -> DataFrame:
    """One long table of all figures of runs, and of all differences, with the columns of `COLUMNS`.

    A run's own figure has no `versus`; a difference is `run` minus `versus`. The level of curves is that of a band of
    all rounds together; `plain_low` to `plain_high` is the 95% interval of a primary figure alone. Groups of seeds have
    rows of their primary figures, with the standard deviation `between_seeds`. `decided` is told of primary differences
    only; no verdict rests on the others.
    """
    import pandas as pd

    rows = [*_run_rows(comparison), *_group_rows(comparison), *map(_difference_row, comparison.differences)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype({**dict.fromkeys(_WHOLE, "Int64"), "decided": "boolean", "withheld": object})


def _run_rows(comparison: Comparison) -> Iterator[dict[str, Any]]:
    estimates = {
        (summary.name, one.metric, one.retriever, one.round): _plain(one)
        for summary in comparison.summaries
        for one in summary.estimates
    }
    for run in comparison.runs:
        told = {"run": run.name, "n": comparison.images}
        for metric, value in {**(run.repetition or {}), **(run.language or {}), **run.defects}.items():
            plain = estimates.get((run.name, metric, None, None), {})
            yield {**told, "metric": metric, "value": value, **plain}
        for row in _curves(run):
            plain = estimates.get((run.name, row["metric"], row["retriever"], row.get("round")), {})
            yield {**row, **told, "level": LEVEL if "low" in row else None, **plain}


def _plain(one: RunFigure) -> dict[str, Any]:
    return {"plain_low": one.low, "plain_high": one.high}


def _group_rows(comparison: Comparison) -> Iterator[dict[str, Any]]:
    """The primary figures of groups of seeds."""
    groups = {group.name for group in comparison.groups}
    corpora = {label: found.ranking.corpus for run in comparison.runs for label, found in run.retrieval.items()}
    for summary in (summary for summary in comparison.summaries if summary.name in groups):
        for one in summary.estimates:
            told = {"run": summary.name, "metric": one.metric, "round": one.round}
            told |= {"retriever": one.retriever, "corpus": corpora.get(one.retriever or "")}
            figures = {"value": one.value, "chance": one.chance, "between_seeds": one.between_seeds}
            yield {**told, **figures, **_plain(one), "n": comparison.images}


def _difference_row(one: Difference) -> dict[str, Any]:
    return {
        "run": one.b,
        "versus": one.a,
        "retriever": one.retriever,
        "corpus": one.corpus,
        "metric": one.metric,
        "round": one.round,
        "value": one.delta,
        "low": one.ci_low,
        "high": one.ci_high,
        "level": one.level,
        "n": one.n,
        "effect": one.effect,
        "test": one.test,
        "p": one.p,
        "gate_p": one.gate_p,
        "p_holm": one.p_holm,
        "adjusted_low": one.adjusted_low,
        "adjusted_high": one.adjusted_high,
        "adjusted_level": one.adjusted_level,
        "decided": one.decided if one.primary else None,
        "withheld": one.withheld,
    }


def as_csv(comparison: Comparison) -> str:
    r"""`tidy` as CSV: UTF-8, RFC 4180 quoting, lines that end in `\n`, nothing where a figure cannot be given.

    What cannot be printed in a name is shown as an escape, and a name that a spreadsheet would take for a formula
    (one that begins with `=`, `+`, `-` or `@`) has an apostrophe before it.
    """
    frame = tidy(comparison)
    for column in ("run", "versus", "retriever", "corpus"):
        frame[column] = [_as_text(value) if isinstance(value, str) else value for value in frame[column]]
    return frame.to_csv(index=False, lineterminator="\n")


def _as_text(name: str) -> str:
    shown = printable(name)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown
