"""Names of runs and retrievers as figures can carry them: drawable, short, still distinct; and names of files."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

LONGEST = 30
LONGEST_SLUG = 40
CUT = "…"


def short_labels(names: Iterable[str], drawable: Callable[[str], str], longest: int = LONGEST) -> dict[str, str]:
    """A label for each name: with what `drawable` makes of it, shortened in the middle, never two alike.

    Names that are alike where they are shortened show where they begin to differ; if that is not enough, a number.
    """
    labels = {name: drawable(name) for name in names}
    alike = _alike(labels, longest)
    taken: set[str] = set()
    for name, full in labels.items():
        label, group = shortened(full, longest), alike[shortened(full, longest)]
        if len(group) > 1:
            label = _around(full, _first_difference(group), longest)
        number, stem = 1, label
        while label in taken:
            number += 1
            label = f"{stem} ({number})"
        taken.add(label)
        labels[name] = label
    return labels


def shortened(text: str, longest: int) -> str:
    """The text, or its beginning and its end with `…` between them, `longest` characters in all."""
    if len(text) <= longest:
        return text
    end = (longest - 1) // 2
    return f"{text[: longest - 1 - end]}{CUT}{text[-end:]}"


def _alike(labels: dict[str, str], longest: int) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for full in labels.values():
        groups.setdefault(shortened(full, longest), []).append(full)
    return groups


def _first_difference(texts: Sequence[str]) -> int:
    """The first place at which not all texts have the same character."""
    columns = zip(*texts, strict=False)
    return next((place for place, column in enumerate(columns) if len(set(column)) > 1), min(map(len, texts)))


def _around(text: str, place: int, longest: int) -> str:
    """The text's beginning, and what stands at `place`."""
    head = longest // 3
    rest = text[max(place - 2, head) :]
    if len(text) <= longest:
        return text
    return f"{text[:head]}{CUT}{shortened(rest, longest - head - 1)}"


def slugs(texts: Sequence[str]) -> dict[str, str]:
    """For each text a piece of a file name: lower-case ASCII letters, digits and hyphens, never two alike."""
    found: dict[str, str] = {}
    used: Counter[str] = Counter()
    for text in dict.fromkeys(texts):
        plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
        stem = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST_SLUG].strip("-") or "unnamed"
        slug = stem
        while slug in used:
            used[stem] += 1
            slug = f"{stem}-{used[stem]}"
        used[slug] += 1
        found[text] = slug
    return found
