"""What may be concluded: a sentence for each pair, about the questioners only where nothing else differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from chatir.compare.comparison import ComparedRun, Difference, Verdict
from chatir.compare.measures import interval_decimals, measure, number, p_value, percent_level
from chatir.compare.runs import Run
from chatir.compare.statistics.differences import Pair
from chatir.compare.statistics.sides import Measured, Side
from chatir.plain_data import brief, unequal

FREE = frozenset({"questioner", "answerer", "seed", "deterministic"})
"""What is told elsewhere, or does not matter, where the configurations of two runs are held against each other."""

_WORDS = {
    "repeats_per_dialog": ("repeats itself more than", "repeats itself less than"),
    "bri": ("finds targets later than", "finds targets earlier than"),
}
"""What it means if the figure of b is higher than that of a, and if it is lower."""

_FINDS = ("finds more targets than", "finds fewer targets than")
SHOWN = 4
"""Settings that a sentence names at most."""


def verdict(pair: Pair, differences: Sequence[Difference]) -> Verdict:
    """What the primary differences of a pair come to."""
    a, b = pair
    own = [one for one in differences if one.primary and (one.a, one.b) == (a.name, b.name)]
    differs = tuple(what_differs(a, b))
    decided = [_finding(one, a, b) for one in own if one.decided]
    undecided = [_undecided(one) for one in own if not one.decided]
    if not own:
        texts = " and ".join(side.name for side in (b, a) if not side.asks)
        why = f"most rounds of {texts} hold no question" if texts else "their dialogs have other lengths or no rounds"
        untested = f"Nothing is tested between {b.name} and {a.name}: {why}, and"
        return Verdict(a.name, b.name, "runs", differs, f"{untested} no retriever ranked both.")
    sentences = []
    if decided:
        sentences.append(f"{b.name} {'; it '.join(decided)}.")
    if undecided:
        also = "No other difference" if decided else f"No difference between {b.name} and {a.name}"
        sentences.append(f"{also} is shown: {'; '.join(undecided)}.")
    sentences.append(_about(differs, a.runs[0].run))
    return Verdict(a.name, b.name, "runs" if differs else "questioners", differs, " ".join(sentences))


def _finding(one: Difference, a: Side, b: Side) -> str:
    more, less = _WORDS.get(one.metric, _FINDS)
    known = measure(one.metric, one.n)
    measured = Measured(one.metric, one.retriever, one.round)
    values = [known.text(float(side[measured].mean())) for side in (b, a)]
    unit = known.unit if known.unit != "%" else ""
    figure = f"{values[0]}{'%' * (known.unit == '%')} against {values[1]}{'%' * (known.unit == '%')}"
    name = f"{known.name} " if one.metric != "repeats_per_dialog" else ""
    where = f" ({one.retriever})" if one.retriever else ""
    told = f"{name}{figure}{' repeats' if not name else ''} {unit}".rstrip()
    return f"{more if one.delta > 0 else less} {a.name}{where}: {told} ({_interval(one)}, {_p(one)})"


def _undecided(one: Difference) -> str:
    known = measure(one.metric, one.n)
    where = f" ({one.retriever})" if one.retriever else ""
    return f"{known.name}{where} {_interval(one)}, {_p(one)}"


def _interval(one: Difference) -> str:
    known = measure(one.metric, one.n)
    decimals = interval_decimals(known.decimals, one.ci_low, one.ci_high)
    delta, low, high = (number(value, decimals, sign=True) for value in (one.delta, one.ci_low, one.ci_high))
    return f"{delta}, {percent_level(one.level)} interval {low} to {high}"


def _p(one: Difference) -> str:
    p = p_value(one.p_holm)
    return f"p {p}" if p.startswith("<") else f"p = {p}"


def _about(differs: Sequence[str], run: Run) -> str:
    if not differs and run.released:
        return "The captions are the same, and one BLIP-2 answers in both (Levy et al.): this is about the questioners."
    if not differs:
        return "Captions, answerer and its configuration are the same: this is about the questioners."
    return f"This is about the runs, not about their questioners: {'; '.join(differs)}."


def what_differs(a: Side, b: Side) -> Iterator[str]:
    """What beside the questioner differs between two sides, or is not known to be the same; a short phrase each."""
    runs = [run for side in (a, b) for run in side.runs]
    of_images = zip(*(run.dialogs for run in runs), strict=True)
    other_captions = sum(len({dialog.caption for dialog in dialogs}) > 1 for dialogs in of_images)
    if other_captions:
        yield f"captions differ in {other_captions:,} of {len(runs[0].dialogs):,} dialogs"
    elif other_targets := sum(len(digests) > 1 for digests in _digests(runs)):
        of = f"{other_targets:,} of {len(runs[0].dialogs):,} targets"
        yield f"what people said, or another key of the targets, differs in {of}"
    yield from _answerers(runs[0].run, b.runs[0].run)
    yield from _settings(runs[0].run, b.runs[0].run)


def _digests(runs: Sequence[ComparedRun]) -> Iterator[set[str]]:
    """What each target was to the runs whose making is recorded."""
    records = [run.run.record for run in runs if run.run.record and not run.run.record.imported]
    for dialog in runs[0].dialogs:
        yield {record.digests[dialog.id] for record in records if dialog.id in record.digests}


def _answerers(a: Run, b: Run) -> Iterator[str]:
    """What differs between those who answered. One BLIP-2, of unknown configuration, answered in the released files."""
    if a.answerer is None or b.answerer is None:
        unknown = [run.name for run in (a, b) if run.answerer is None]
        yield f"who answered in {' and '.join(unknown)} is not recorded"
    elif a.answerer.name != b.answerer.name:
        yield f"{a.answerer.name} answers in {a.name}, {b.answerer.name} in {b.name}"
    elif a.answerer.config is not None and b.answerer.config is not None:
        yield from _unequal_settings(f"{a.answerer.name}'s", a.answerer.config, b.answerer.config)
    elif not (a.released and b.released):
        unknown = [run.name for run in (a, b) if run.answerer is not None and run.answerer.config is None]
        yield f"the configuration of {a.answerer.name} in {' and '.join(unknown)} is not published"


def _settings(a: Run, b: Run) -> Iterator[str]:
    """What differs between the settings of two runs, where both are recorded."""
    configs = [run.record.config for run in (a, b) if run.record is not None and not run.record.imported]
    if len(configs) == 2:
        own = ({name: value for name, value in config.items() if name not in FREE} for config in configs)
        yield from _unequal_settings("the setting", *own)


def _unequal_settings(whose: str, a: Mapping[str, object], b: Mapping[str, object]) -> Iterator[str]:
    # Of a prompt its name and version say what its text and sum say at length.
    different = [one for one in unequal(dict(a), dict(b)) if not one[0].endswith((".text", "sha256"))]
    different = different or list(unequal(dict(a), dict(b)))
    for name, one, other in different[:SHOWN]:
        values = ("none" if value is None else brief(value) for value in (one, other))
        yield f"{whose} {name.removesuffix('.id')} is {' and '.join(values)}"
    if len(different) > SHOWN:
        yield f"and {len(different) - SHOWN} more settings of {whose.removesuffix(chr(39) + 's')}"
