"""What a retriever in a corpus is called where several stand side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chatir.run.ranks import Ranking
from chatir.storage.plain_data import brief

TOLD = 2
"""Options that a label tells at most."""


def ranking_labels(rankings: Sequence[Ranking]) -> dict[tuple[str, str, str], str]:
    """A label for each ranking, by its key: the retriever's name, and what tells it from others of that name."""
    distinct = list({ranking.key: ranking for ranking in rankings}.items())
    names = Counter(ranking.name for _, ranking in distinct)
    labels: dict[tuple[str, str, str], str] = {}
    for key, ranking in distinct:
        label = ranking.name
        if names[label] > 1:
            told = list(_told(ranking, [other for _, other in distinct if other.name == label]))
            label = f"{label} ({', '.join(told)})" if told else label
        number, stem = 1, label
        while label in labels.values():
            number += 1
            label = f"{stem} #{number}"
        labels[key] = label
    return labels


def _told(ranking: Ranking, alike: Sequence[Ranking]) -> Iterator[str]:
    options = [dict(flat(other.retriever)) for other in alike]
    own = dict(flat(ranking.retriever))
    differing = [name for name in own if any(other.get(name) != own[name] for other in options)]
    # The model's name says more than the sum of its weights, if both differ.
    telling = [name for name in differing if not name.endswith("sha256")] or differing
    for name in telling[:TOLD]:
        yield f"{name.removesuffix('.id')} {brief(own[name])}"
    if len({other.corpus for other in alike}) > 1:
        same_size = [other for other in alike if other.images == ranking.images and other.corpus != ranking.corpus]
        yield f"corpus {ranking.corpus[:8]}" if same_size else f"{ranking.images:,} images"


def flat(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a configuration with their names, however deep: `model.id`."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
