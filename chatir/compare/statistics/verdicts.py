"""What may be concluded: a line for each pair, about the questioners only where nothing else differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from chatir.compare.comparison import ComparedRun, Difference, Verdict
from chatir.compare.statistics.differences import ALPHA, shared_labels
from chatir.compare.statistics.sides import Pair, Side
from chatir.compare.statistics.significance import least_sign_flip
from chatir.compare.summary_words import HEADLINE
from chatir.measures.names import MANY_IMAGES, PRIMARY_HITS, interval_decimals, measure, number, p_value
from chatir.run.runs import Run
from chatir.storage.plain_data import brief, unequal

FREE = frozenset({"questioner", "answerer", "seed", "deterministic"})
"""What is told elsewhere, or does not matter, where the configurations of two runs are held against each other."""

SHOWN = 4
"""Settings that a sentence names at most."""

_WORDS = {
    PRIMARY_HITS: ("finds more targets", "finds fewer targets"),
    "bri": ("finds targets later", "finds targets earlier"),
    "repeats_per_dialog": ("repeats itself more", "repeats itself less"),
}
"""What it means if the figure of b is higher than that of a, and if it is lower."""

_WITHHELD = {
    ("gate", True): "is not shown to rank them better at a given round: more different queries, not shown to be better "
    "ones",
    ("gate", False): "is not shown to rank them worse at a given round: fewer different queries, not shown to be worse "
    "ones",
    ("gate-opposed", True): "ranks them worse at a given round: more different queries, and worse ones",
    ("gate-opposed", False): "ranks them better at a given round: fewer different queries, and better ones",
}
"""Why nothing is decided, and whether b's figure is the better one."""


def verdict(pair: Pair, differences: Sequence[Difference]) -> Verdict:
    """What the primary differences of a pair come to."""
    a, b = pair
    own = [one for one in differences if one.primary and (one.a, one.b) == (a.name, b.name)]
    own.sort(key=lambda one: HEADLINE.index(one.metric))
    differs = tuple(what_differs(a, b))
    several = len({one.retriever for one in own if one.retriever}) > 1
    parts = list(_parts(own, pair, several))
    if not own:
        parts.append(f"nothing is tested against {a.name}: {_why_no_texts(a, b)}, and {_why_no_retrieval(pair)}")
    elif shared_labels(a, b) and not any(one.retriever for one in own):
        parts.append(f"retrieval is not tested: {_why_no_retrieval(pair)}")
    sentence = f"{b.name}: {'; '.join([*parts, _about(differs, a.runs[0].run)])}"
    return Verdict(a.name, b.name, "runs" if differs else "questioners", differs, sentence)


def _parts(own: Sequence[Difference], pair: Pair, several: bool) -> Iterator[str]:
    """What is decided, with the figures of the first of it; what is withheld; and if neither, what is not shown."""
    name = pair[0].name
    decided = [one for one in own if one.decided]
    if decided:
        first, *others = decided
        headline = f"{_words(first, several)} than {name} ({_figures(first)})"
        yield _listed([headline, *(_words(one, several) for one in others)])
    for (why, better), but in _WITHHELD.items():
        if held := [one for one in own if one.withheld == why and (one.delta > 0) == (better != (one.metric == "bri"))]:
            first, *others = held
            low, high = _ends(first)
            headline = f"{_words(first, several)} than {name} ({_delta(first)}, 95% CI {low} to {high})"
            over_all = _listed([headline, *(_words(one, several) for one in others)])
            how = but.partition(": ")[0] if _draws_alike(first, pair, better) else but
            yield f"{over_all} over all rounds, but {how} (round by round p {_equals(first.gate_p)})"
    if own and not any(one.decided or one.withheld for one in own):
        if all((one.least_p or 0) > ALPHA for one in own):
            few = "1 image is" if own[0].n == 1 else f"{own[0].n:,} images are"
            yield f"{few} too few to tell it from {name}: {_few(own)}"
        else:
            nearest = min(own, key=lambda one: one.p_holm or 0.0)
            names = _listed([measure(one, 0).name for one in dict.fromkeys(one.metric for one in own)])
            yield f"undecided against {name} in {names} (smallest p: {_named(nearest)}{_figures(nearest)})"


def _draws_alike(one: Difference, pair: Pair, better: bool) -> bool:
    """Whether the better one is known to have had no more different images among its best: no lottery then."""
    a, b = (
        np.mean([run.retrieval[one.retriever or ""].chance[PRIMARY_HITS][-1] for run in side.runs]) for side in pair
    )
    return bool(b <= a if better else b >= a)  # False where it is not known


def _words(one: Difference, several: bool) -> str:
    more, less = _WORDS[one.metric]
    return (more if one.delta > 0 else less) + (f" ({one.retriever})" if several and one.retriever else "")


def _named(one: Difference) -> str:
    """The name of a measure whose figures do not begin with it."""
    return "" if one.metric == "bri" else f"{measure(one.metric, one.n).name} "


def _listed(parts: Sequence[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def _figures(one: Difference) -> str:
    low, high = _ends(one)
    figures = f"{_delta(one)}, 95% CI {low} to {high}, p (Holm) {_equals(one.p_holm)}"
    held = not one.decided and (one.p_holm or 0) <= ALPHA
    return f"{figures}, but the adjusted interval holds 0" if held else figures


def _delta(one: Difference) -> str:
    known = measure(one.metric, one.n)
    unit = {"%": " points", "per dialog": " a dialog"}.get(known.unit, "")
    name = "BRI " if one.metric == "bri" else ""
    return f"{name}{number(one.delta, _decimals(one), sign=True)}{unit}"


def _ends(one: Difference) -> list[str]:
    return [number(value, _decimals(one), sign=True) for value in (one.ci_low, one.ci_high)]


def _decimals(one: Difference) -> int:
    known = measure(one.metric, one.n)
    return interval_decimals(
        0 if known.unit == "%" and one.n < MANY_IMAGES else known.decimals, one.ci_low, one.ci_high
    )


def _equals(p: float | None) -> str:
    text = p_value(p)
    return f"< {text[1:]}" if text.startswith("<") else f"= {text}"


def _few(own: Sequence[Difference]) -> str:
    n, least = own[0].n, min(one.least_p or 1.0 for one in own)
    return f"the smallest p possible is {least_sign_flip(n):.3g} (2/2^{n}), {least:.3g} after Holm"


def _why_no_texts(a: Side, b: Side) -> str:
    texts = " and ".join(side.name for side in (b, a) if not side.asks)
    return f"most rounds of {texts} hold no question" if texts else "their dialogs have other lengths or no rounds"


def _why_no_retrieval(pair: Pair) -> str:
    stopped = [run.name for side in pair for run in side.runs if run.run.stopped_at_hits]
    if not shared_labels(*pair):
        return "no retriever ranked both"
    return f"{_listed(stopped)} was stopped at its hits" if stopped else "their dialogs have other lengths or no rounds"


def _about(differs: Sequence[str], run: Run) -> str:
    if differs:
        return f"about the runs: {'; '.join(differs)}"
    return "about the questioners" + (" (the paper has one BLIP-2 answer in both)" if run.released else "")


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
        stopped = [run.name for run in (a, b) if run.stopped_at_hits]
        if len(stopped) == 1:
            yield f"{stopped[0]} was stopped at its hits"
        apart = FREE | {"observer"} if len(stopped) == 1 else FREE
        own = ({name: value for name, value in config.items() if name not in apart} for config in configs)
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
