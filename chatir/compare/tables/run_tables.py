"""Tables with a row for each run: repetition, language, retrieval, defects."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from chatir.compare.comparison import ComparedRun, Comparison
from chatir.compare.statistics.differences import ALPHA
from chatir.compare.tables.table import BEST, DIFFERS, Cell, Column, Mark, Table, at_round, counted, run_name
from chatir.measures.counts import LANGUAGE, REPETITION
from chatir.measures.names import NOT_GIVEN, PRIMARY_K, Measure, measure


@dataclass(frozen=True)
class _Figures:
    """A column of figures, one for each run. label, round: of what is told of a retriever."""

    measure: Measure
    values: Sequence[float | None]
    label: str | None = None
    round: int | None = None


def repetition_table(comparison: Comparison) -> Table | None:
    """How often questions are repeated, and from which round on; None where no run is made of questions."""
    columns = _of_texts(comparison, REPETITION, [run.repetition for run in comparison.runs])
    if not columns:
        return None
    rounds = [run.counts.rounds for run in comparison.runs if run.asks]
    if any((other != rounds[0]).any() for other in rounds):  # who asks less repeats less: nobody is best
        columns = [replace(column, measure=replace(column.measure, better=None)) for column in columns]
    about = (
        f"{_extent(comparison)} A question repeats an earlier one of its dialog if the two are the same once case, "
        "punctuation, white space and leaked labels are taken away; an exact repeat is the same as it stands."
    )
    return _run_table(
        comparison, "repetition", "Repetition", about, columns, _not_given(comparison, "no dialog repeats a question")
    )


def language_table(comparison: Comparison) -> Table | None:
    """What the texts are like; nothing in it is better or worse. None where no run is made of questions."""
    columns = _of_texts(comparison, LANGUAGE, [run.language for run in comparison.runs])
    if not columns:
        return None
    about = (
        f"{_extent(comparison)} Tokens are the white-space tokens of the normalised texts, words those of the texts as "
        "they stand."
    )
    return _run_table(comparison, "language", "Language", about, columns, _not_given(comparison, "there is no round"))


def _of_texts(
    comparison: Comparison, keys: Collection[str], told: Sequence[Mapping[str, float | None] | None]
) -> list[_Figures]:
    """Columns of what is told of the texts of each run, these keys first."""
    known = dict.fromkeys(key for one in told for key in one or ())
    every = [*(key for key in keys if key in known), *(key for key in known if key not in keys)]
    return [_Figures(measure(key, comparison.images), [one.get(key) if one else None for one in told]) for key in every]


def _not_given(comparison: Comparison, otherwise: str) -> list[str]:
    """Why figures of texts are not given."""
    return [otherwise] if all(run.asks for run in comparison.runs) else [otherwise, "most rounds hold no question"]


def retrieval_tables(comparison: Comparison) -> list[Table]:
    """How well the targets are found, a table for each retriever and corpus."""
    found = [_retrieval(comparison, label, place) for place, label in enumerate(_labels(comparison), start=1)]
    return [table for table in found if len(table.columns) > 1]


def _labels(comparison: Comparison) -> list[str]:
    return list(dict.fromkeys(label for run in comparison.runs for label in run.retrieval))


_MEANINGS = {
    "hits": "Hits@K: targets ranked K or better at any round so far",
    "recall": "Recall@K: targets ranked K or better at the round itself",
    "atr": "ATR: mean rank",
    "mrr": "MRR: mean of 1/rank",
    "bri": "BRI: mean over rounds of ln of the best rank so far, so that exp(BRI) is a typical best rank",
    "truncated": "truncated: texts longer than the retriever reads",
}


def _retrieval(comparison: Comparison, label: str, place: int) -> Table:
    last = comparison.rounds
    shown = [(f"hits@{k}", r) for k in comparison.ks for r in dict.fromkeys((0, last))]
    shown += [(name, last) for name in (*(f"recall@{k}" for k in comparison.ks), "atr", "mrr")]
    columns = [
        _Figures(measure(key, comparison.images), [_at(run, label, key, r) for run in comparison.runs], label, r)
        for key, r in shown
        if any(key in run.retrieval[label].curves for run in comparison.runs if label in run.retrieval)
    ]
    found = [run.retrieval.get(label) for run in comparison.runs]
    if any(one and not math.isnan(one.bri) for one in found):
        columns.append(_Figures(measure("bri", comparison.images), [one.bri if one else None for one in found], label))
    cut = [None if one is None or one.truncated is None else float(one.truncated[last]) for one in found]
    if any(share is not None for share in cut):
        columns.append(_Figures(measure("truncated", comparison.images), cut, label, last))
    ranking = next(one.ranking for one in found if one)
    kinds = {column.measure.key.partition("@")[0] for column in columns}
    meant = "; ".join(meaning for kind, meaning in _MEANINGS.items() if kind in kinds)
    about = (
        f"{_extent(comparison)} Searched by {ranking.name} in {ranking.images:,} images, corpus {ranking.corpus[:12]}. "
        f"{meant}."
    )
    missing = "not ranked with this retriever and corpus, or some dialogs had ended before that round"
    title = f"Retrieval by {label} in {ranking.images:,} images"
    return _run_table(comparison, f"retrieval-{place}", title, about, columns, [missing])


def by_round_tables(comparison: Comparison) -> list[Table]:
    """Hits@10 after each round, a table for each retriever and corpus, with what targets drawn at random would give."""
    found = [_by_round(comparison, label, place) for place, label in enumerate(_labels(comparison), start=1)]
    return [table for table in found if table is not None]


def _by_round(comparison: Comparison, label: str, place: int) -> Table | None:
    key = f"hits@{PRIMARY_K}"
    known = measure(key, comparison.images)
    runs = [run for run in comparison.runs if key in (run.retrieval[label].curves if label in run.retrieval else ())]
    if not runs:
        return None
    rows = []
    for run in runs:
        found = run.retrieval[label]
        rows.append((run_name(comparison, run.name), found.curves[key].values))
        if np.isfinite(chance := found.chance.get(key, np.array([np.nan]))).all():
            rows.append((f"{run.name}: chance", chance))
    columns = (Column("run", numeric=False), *(Column(f"round {number}") for number in range(comparison.rounds + 1)))
    cells = tuple((Cell(name), *(Cell(known.text(float(value))) for value in values)) for name, values in rows)
    about = (
        f"{_extent(comparison)} {known.name}: percent of targets ranked {PRIMARY_K} or better at any round so far. "
        "Chance: the same of targets drawn at random from the corpus."
    )
    return Table(f"by-round-{place}", f"{known.name} by round, ranked by {label}", about, columns, cells, ())


def _at(run: ComparedRun, label: str, key: str, round_: int) -> float | None:
    found = run.retrieval.get(label)
    return float(found.curves[key].values[round_]) if found and key in found.curves else None


def defects_table(comparison: Comparison) -> Table | None:
    """Rounds with defects: a column for each kind that any run has; the other kinds are named. None without kinds."""
    kinds = list(dict.fromkeys(kind for run in comparison.runs for kind in run.defects))
    if not kinds:
        return None
    some = [kind for kind in kinds if any(run.defects.get(kind) for run in comparison.runs)]
    columns = [
        _Figures(measure(kind, comparison.images), [r.defects.get(kind) for r in comparison.runs]) for kind in some
    ]
    if not some:
        columns = [_Figures(Measure("defects", "defects", "rounds", 0), [0 for _ in comparison.runs])]
    clean = [measure(kind, comparison.images).name for kind in kinds if kind not in some]
    about = _extent(comparison) + (f" No run has any round with: {', '.join(clean)}." if clean else "")
    return _run_table(comparison, "defects", "Defects", about, columns, ["not looked for"])


def _run_table(
    comparison: Comparison, key: str, title: str, about: str, figures: Sequence[_Figures], missing: Iterable[str]
) -> Table:
    decided = _decided(comparison)
    columns = [Column("run", numeric=False)]
    cells = [[Cell(run_name(comparison, run.name)) for run in comparison.runs]]
    for column in figures:
        detail = ", ".join(part for part in (column.measure.unit, at_round(column.round)) if part)
        columns.append(Column(column.measure.name, detail, column.measure.better))
        texts = [column.measure.text(value) for value in column.values]
        best = _best(texts, column)
        told = (column.measure.key, column.label)
        differs = [
            (run.name, *told) in decided and column.round in (None, comparison.rounds) for run in comparison.runs
        ]
        cells.append(
            [
                Cell(text, text == best, DIFFERS if differ and text != NOT_GIVEN else "")
                for text, differ in zip(texts, differs, strict=True)
            ]
        )
    rows = tuple(zip(*cells, strict=True))
    return Table(key, title, about, tuple(columns), rows, tuple(_marks(comparison, columns, rows, missing)))


def _best(texts: Sequence[str], column: _Figures) -> str | None:
    """The text of the best figure, None where no direction is meant or all runs have the same."""
    known = [(value, text) for value, text in zip(column.values, texts, strict=True) if text != NOT_GIVEN]
    if column.measure.better is None or len({text for _, text in known}) < 2:
        return None
    return (min if column.measure.better == "lower" else max)(known, key=lambda each: each[0] or 0.0)[1]


def _marks(
    comparison: Comparison, columns: Iterable[Column], rows: Iterable[Sequence[Cell]], missing: Iterable[str]
) -> list[Mark]:
    cells = [cell for row in rows for cell in row]
    directions = {column.better for column in columns}
    marks = []
    if any(cell.best for cell in cells):
        marks.append(Mark(BEST, "the best figure of its column"))
    marks += [Mark(sign, f"{way} is better") for sign, way in (("↓", "lower"), ("↑", "higher")) if way in directions]
    if any(cell.mark for cell in cells):
        of_group = " (runs that differ in their seed only: as a group)" if comparison.groups else ""
        marks.append(Mark(DIFFERS, f"differs from the baseline, p (Holm) at most {ALPHA}{of_group}"))
    if any(cell.text == NOT_GIVEN for cell in cells):
        marks += [Mark(NOT_GIVEN, why) for why in missing]
    return marks


def _decided(comparison: Comparison) -> set[tuple[str, str, str | None]]:
    """Run, metric and label of every difference from the baseline that is decided; a group's is that of its runs."""
    runs = {group.name: group.runs for group in comparison.groups}
    return {
        (run, each.metric, each.retriever)
        for each in comparison.differences
        if each.decided and each.round in (None, comparison.rounds)
        for this, other in ((each.a, each.b), (each.b, each.a))
        if this == comparison.baseline
        for run in (other, *runs.get(other, ()))
    }


def _extent(comparison: Comparison) -> str:
    return f"{counted(comparison.images, 'image')}, {counted(comparison.rounds, 'round')} a dialog."
