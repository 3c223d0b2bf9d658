"""Tables with a row for a pair of runs, or for a group of them: differences, agreement, seeds, failed dialogs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from chatir.compare.comparison import Agreement, Comparison, Difference, FailureBound, SeedGroup
from chatir.compare.statistics.differences import ALPHA
from chatir.compare.summary_words import TOO_FEW, UNDECIDED, WITHHELD, outcome, word_meaning
from chatir.compare.tables.table import Cell, Column, Mark, Table, at_round, counted, run_name
from chatir.measures.names import (
    NOT_GIVEN,
    Measure,
    interval_decimals,
    measure,
    number,
    p_value,
    percent_level,
)

DESCRIBED = "No verdict rests on these."


def difference_tables(comparison: Comparison) -> list[Table]:
    """The primary differences; what else is told of the last round; the curves round by round."""
    last = (None, comparison.rounds)
    primary = [each for each in comparison.differences if each.primary]
    descriptive = [each for each in comparison.differences if not each.primary and each.round in last]
    curves = [each for each in comparison.differences if not each.primary and each.round not in last]
    kinds = (
        ("primary", "Primary differences", "", primary),
        (
            "descriptive",
            "Descriptive differences",
            f"{DESCRIBED} p is not adjusted for their number.",
            descriptive,
        ),
        ("rounds", "Differences round by round", f"{DESCRIBED} Intervals hold for all rounds together.", curves),
    )
    return [_differences(comparison, *kind) for kind in kinds if kind[-1]]


def _differences(comparison: Comparison, key: str, title: str, how: str, differences: Sequence[Difference]) -> Table:
    """A table of differences; what is the same for all of them is told once, above the table."""
    primary = key == "primary"
    others = list(dict.fromkeys(each.a for each in differences))
    retrievers = list(dict.fromkeys(each.retriever for each in differences if each.retriever))
    counts = list(dict.fromkeys(each.n for each in differences))
    adjusted = list(dict.fromkeys(each.adjusted_level for each in differences if each.adjusted_level is not None))
    adjusted = [] if adjusted == [differences[0].level] else adjusted
    shown = {
        Column("run", numeric=False): True,
        Column("minus", numeric=False): len(others) > 1,
        Column("measure", numeric=False): True,
        Column("retriever", numeric=False): len(retrievers) > 1,
        Column("n", "images"): len(counts) > 1,
        Column("difference"): True,
        Column(f"{percent_level(differences[0].level)} interval"): True,
        Column("adjusted interval", percent_level(adjusted[0]) if len(adjusted) == 1 else ""): bool(adjusted),
        Column("level", "adjusted"): len(adjusted) > 1,
        Column("effect"): True,
        Column("p", "of test" if primary else ""): any(each.p is not None for each in differences),
        Column("p", "of gate"): any(each.gate_p is not None for each in differences),
        Column("p (Holm)"): primary,
        Column("least", "p (Holm)"): primary and any(_is_too_few(each) for each in differences),
        Column("decision", numeric=False): primary,
    }
    rows = [
        tuple(Cell(text) for text, show in zip(_texts(comparison, each), shown.values(), strict=True) if show)
        for each in differences
    ]
    title += f" from {run_name(comparison, others[0])}" if len(others) == 1 else ""
    about = f"{counted(counts[0], 'image')}. " if len(counts) == 1 else ""
    about += f"Retrieval is by {retrievers[0]}. " if len(retrievers) == 1 else ""
    about += f"A difference is the run's figure minus the other's, over the same images. {how}".rstrip()
    columns = tuple(column for column, show in shown.items() if show)
    return Table(key, title, about, columns, tuple(rows), tuple(_pair_marks(columns, rows, differences)))


def _texts(comparison: Comparison, each: Difference) -> list[str]:
    """All that can be told of a difference."""
    kind = measure(each.metric, comparison.images)
    return [
        run_name(comparison, each.b),
        run_name(comparison, each.a),
        _measured(kind, at_round(each.round)),
        each.retriever or "",
        f"{each.n:,}",
        *_delta(kind, each),
        _interval(kind, each.adjusted_low, each.adjusted_high),
        NOT_GIVEN if each.adjusted_level is None else percent_level(each.adjusted_level),
        number(each.effect, 2, sign=True),
        p_value(each.p),
        p_value(each.gate_p),
        p_value(each.p_holm),
        p_value(each.least_p),
        outcome(each, comparison.tests) if each.primary else "",
    ]


def _delta(kind: Measure, each: Difference) -> list[str]:
    decimals = interval_decimals(kind.decimals, each.ci_low * kind.scale, each.ci_high * kind.scale)
    return [number(each.delta * kind.scale, decimals, sign=True), _interval(kind, each.ci_low, each.ci_high)]


def _interval(kind: Measure, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return NOT_GIVEN
    decimals = interval_decimals(kind.decimals, low * kind.scale, high * kind.scale)
    return f"[{number(low * kind.scale, decimals, sign=True)}, {number(high * kind.scale, decimals, sign=True)}]"


def _is_too_few(each: Difference) -> bool:
    return each.primary and (each.least_p or 0) > ALPHA


def _measured(kind: Measure, *of: str | None) -> str:
    """A measure with its unit, and whatever else it is of."""
    details = ", ".join(part for part in (kind.unit, *of) if part)
    return f"{kind.name} ({details})" if details else kind.name


def _pair_marks(
    columns: Sequence[Column], rows: Iterable[Sequence[Cell]], differences: Sequence[Difference]
) -> Iterator[Mark]:
    texts = {cell.text for row in rows for cell in row}
    shares = any(one.metric.partition("@")[0] in ("hits", "recall", "failed_dialogs") for one in differences)
    g = "Cohen's g for Hits, Recall and failed dialogs of two runs, else " if shares else ""
    yield Mark("effect", f"{g}mean difference / standard deviation")
    gated = Column("p", "of gate") in columns
    if gated:
        yield Mark("p of gate", "whether targets are ranked better at a given round, which more draws cannot feign")
    if Column("p (Holm)") in columns:
        larger = "the larger of the two p, 1 where they disagree about who is better" if gated else "p"
        yield Mark("p (Holm)", f"{larger}, adjusted by Holm")
    decided = ", ".join(word for word in ("better", "worse", "higher", "lower") if word in texts)
    if decided:
        yield Mark(decided, f"p (Holm) is at most {ALPHA} and the adjusted interval leaves 0 out")
    yield from (Mark(word, word_meaning(word, differences)) for word in (UNDECIDED, WITHHELD, TOO_FEW) if word in texts)
    if NOT_GIVEN in texts:
        yield Mark(NOT_GIVEN, "not given")


def agreements_table(agreements: Sequence[Agreement]) -> Table:
    """How far the answerers of two runs agree."""
    columns = (
        Column("run", numeric=False),
        Column("other", numeric=False),
        Column("shared questions"),
        Column("same answer", "%"),
        Column("95% interval"),
        Column("yes/no", "questions"),
        Column("agree", "%"),
        Column("kappa", "Cohen"),
        Column("answer words", "run"),
        Column("answer words", "other"),
    )
    rows = []
    for each in agreements:
        decimals = interval_decimals(1, each.exact_low, each.exact_high)
        row = [each.a, each.b, f"{each.questions:,}", number(each.exact, decimals)]
        row += [
            f"[{number(each.exact_low, decimals)}, {number(each.exact_high, decimals)}]",
            f"{each.yes_no_questions:,}",
        ]
        row += [number(each.yes_no, 1), number(each.kappa, 2), number(each.words_a, 2), number(each.words_b, 2)]
        rows.append(tuple(Cell(text) for text in row))
    about = "Questions that both runs asked about the same image; answers are the same if they are so when normalised."
    marks = (Mark(NOT_GIVEN, "no such questions, or answers that leave nothing to chance"),)
    return Table("answers", "Agreement of answers", about, columns, tuple(rows), marks if _dashed(rows) else ())


def seeds_table(comparison: Comparison, groups: Sequence[SeedGroup]) -> Table:
    """How far runs spread that differ in their seed only."""
    columns = (
        Column("runs", numeric=False),
        Column("seeds", numeric=False),
        Column("measure", numeric=False),
        Column("mean"),
        Column("between seeds", "SD"),
        Column("over images", "SE"),
    )
    rows = []
    for group in groups:
        seeds = ", ".join(map(str, group.seeds))
        for spread in group.spread:
            kind = measure(spread.metric, comparison.images)
            figures = [kind.text(spread.mean)]
            figures += [
                number(value * kind.scale, kind.decimals + 1) for value in (spread.between_seeds, spread.over_images)
            ]
            row = [run_name(comparison, group.name), seeds, _measured(kind, spread.retriever), *figures]
            rows.append(tuple(Cell(text) for text in row))
    about = (
        "Runs that differ in their seed only. SD: standard deviation of the run's figure between seeds; SE: standard "
        "error of one run's figure over images."
    )
    marks = (Mark(NOT_GIVEN, "not given"),)
    return Table("seeds", "Spread between seeds", about, columns, tuple(rows), marks if _dashed(rows) else ())


def bounds_table(comparison: Comparison, bounds: Sequence[FailureBound]) -> Table:
    """What failed dialogs could change."""
    columns = (
        Column("run", numeric=False),
        Column("minus", numeric=False),
        Column("measure", numeric=False),
        Column("targets", "of both"),
        Column("failed", "of run"),
        Column("failed", "of minus"),
        Column("difference", "at least"),
        Column("difference", "at most"),
    )
    rows = []
    for each in bounds:
        kind = measure(each.metric, comparison.images)
        row = [run_name(comparison, each.b), run_name(comparison, each.a), _measured(kind, each.retriever)]
        row += [f"{count:,}" for count in (each.targets, each.failed_b, each.failed_a)]
        row += [number(value * kind.scale, kind.decimals, sign=True) for value in (each.low, each.high)]
        rows.append(tuple(Cell(text) for text in row))
    about = (
        "What dialogs that failed, or that the file lacks, could change: the difference over all targets that both "
        "runs had, if each of them had gone as badly or as well as it can."
    )
    return Table("failed", "Failed dialogs", about, columns, tuple(rows), ())


def _dashed(rows: Iterable[Sequence[Cell]]) -> bool:
    return any(cell.text == NOT_GIVEN for row in rows for cell in row)
