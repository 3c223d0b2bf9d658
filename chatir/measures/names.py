"""The measures of a comparison as a reader meets them: name, unit, digits, and which direction is better."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

Better = Literal["lower", "higher"]

MANY_IMAGES = 1000
MOST_DECIMALS = 6
NOT_GIVEN = "–"  # noqa: RUF001 - a dash as tables print it
SMALLEST_P = 0.0001
ROUNDING = 1e-9
"""What is narrower has no width but that of rounding."""

PRIMARY_K = 10
"""The K of the Hits@K that verdicts are about, as the paper reports it."""
PRIMARY_HITS = f"hits@{PRIMARY_K}"


@dataclass(frozen=True)
class Measure:
    """A measure. key: its name in JSON and frames. scale: what a figure there is multiplied by to be in `unit`.

    decimals: digits after the point. better: the direction that is an improvement, None where neither is.
    """

    key: str
    name: str
    unit: str
    decimals: int
    better: Better | None = None
    scale: float = 1.0

    def text(self, value: float | None) -> str:
        """A figure with the measure's digits; a dash where it cannot be given."""
        return number(value if value is None else value * self.scale, self.decimals)


MEASURES = (
    Measure("repeats_per_dialog", "repeats", "per dialog", 2, "lower"),
    Measure("exact_repeats_per_dialog", "exact repeats", "per dialog", 2, "lower"),
    Measure("dialogs_with_repeats", "dialogs with repeats", "%", 1, "lower", 100.0),
    Measure("unique_questions_per_dialog", "unique questions", "per dialog", 2, "higher"),
    Measure("onset_round", "first repeat", "round", 2),
    Measure("near_duplicates_per_dialog", "near-duplicates", "per dialog", 2, "lower"),
    Measure("unique_question_tokens_per_dialog", "unique question tokens", "per dialog", 1),
    Measure("unique_answer_tokens_per_dialog", "unique answer tokens", "per dialog", 1),
    Measure("words_per_question", "words per question", "mean", 2),
    Measure("words_per_answer", "words per answer", "mean", 2),
    Measure("missing_question_mark", "no question mark", "rounds", 0, "lower"),
    Measure("leaked_label", "leaked label", "rounds", 0, "lower"),
    Measure("multiple_question_marks", "several question marks", "rounds", 0, "lower"),
    Measure("empty_question", "empty question", "rounds", 0, "lower"),
    Measure("empty_answer", "empty answer", "rounds", 0, "lower"),
    Measure("soft_refusal", "soft refusal", "rounds", 0, "lower"),
    Measure("atr", "ATR", "rank", 1, "lower"),
    Measure("log_rank", "ln rank", "mean", 3, "lower"),
    Measure("mean_log_rank", "ln rank over all rounds", "mean", 3, "lower"),
    Measure(f"mean_recall@{PRIMARY_K}", f"Recall@{PRIMARY_K} over all rounds", "mean %", 1, "higher"),
    Measure("mrr", "MRR", "", 3, "higher"),
    Measure("bri", "BRI", "", 3, "lower"),
    Measure("failed_dialogs", "failed dialogs", "%", 1, "lower"),
    Measure("truncated", "truncated", "%", 1),
)
_KNOWN = {known.key: known for known in MEASURES}


def known_measures(ks: Iterable[int]) -> list[str]:
    """The names in JSON of all measures. ks: ranks that count as a hit."""
    cutoffs = dict.fromkeys(ks)
    return [*_KNOWN, *(f"{kind}@{k}" for kind in ("hits", "recall") for k in cutoffs)]


def measure(key: str, images: int) -> Measure:
    """The measure that JSON calls `key`; one that is not known is shown by that name.

    A percentage of 1,000 images or more has a second decimal: one image then changes the first by less than one.
    """
    kind, _, k = key.partition("@")
    if k and kind in ("hits", "recall"):
        found = Measure(key, f"{kind.capitalize()}@{k}", "%", 1, "higher")
    else:
        found = _KNOWN.get(key) or Measure(key, key.replace("_", " "), "", 3)
    if found.unit == "%" and images >= MANY_IMAGES:
        return replace(found, decimals=2)
    return found


def number(value: float | None, decimals: int, *, sign: bool = False) -> str:
    """A number with so many decimals, never `-0.0`; a dash for None and nan. sign: with `+` before what is positive."""
    if value is None or math.isnan(value):
        return NOT_GIVEN
    text = f"{value:{'+' if sign else ''},.{decimals}f}"
    return text if text.strip("+-0.") else text.lstrip("+-")


def interval_decimals(least: int, low: float, high: float) -> int:
    """Decimals that show two digits of an interval's width, `least` or more, so that none ends in [0.00, 0.00]."""
    width = high - low
    if not ROUNDING < width < math.inf:
        return least
    return min(MOST_DECIMALS, max(least, 1 - math.floor(math.log10(width))))


def p_value(p: float | None) -> str:
    """A p-value in at most four decimals: what rounds to less than 0.0001 is only said to be below."""
    if p is None or math.isnan(p):
        return NOT_GIVEN
    if p < SMALLEST_P / 2:
        return f"<{SMALLEST_P:.4f}"
    return f"{p:.4f}" if p < 0.1 else f"{p:.3f}"


def percent_level(level: float) -> str:
    """The level of an interval, given as a share: 95%, 98.33%."""
    return f"{100 * level:.4g}%"
