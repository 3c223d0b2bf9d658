"""The sides of a comparison: runs, and groups of runs that differ in their seed only, taken together."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chatir.compare.comparison import ComparedRun, SeedGroup, Spread
from chatir.compare.statistics.resampling import evened
from chatir.measures.names import PRIMARY_K
from chatir.measures.retrieval import Figures
from chatir.measures.retrieval_by_dialog import by_dialog, image_sizes, per_image


@dataclass(frozen=True)
class Measured:
    """What a figure is of: a metric, by its name in JSON.

    retriever: the label of what ranked, None for a figure of texts. round: None for a figure of whole dialogs.
    """

    metric: str
    retriever: str | None = None
    round: int | None = None


@dataclass(frozen=True, eq=False)
class Side:
    """A run, or runs that are the same but for their seed. name: as `--baseline` takes it."""

    name: str
    runs: tuple[ComparedRun, ...]

    def __getitem__(self, measured: Measured) -> Figures:
        """The figure of each image [images], by `per_image`, of means over the runs of a group."""
        values = np.asarray(np.mean([of_dialogs(run, measured) for run in self.runs], axis=0))
        return per_image(values, [dialog.image for dialog in self.runs[0].dialogs])

    @property
    def sizes(self) -> Figures | None:
        """The dialogs of each image, over their mean [images]; None where each image has as many as any other."""
        return image_sizes([dialog.image for dialog in self.runs[0].dialogs])

    def between_seeds(self, measured: Measured) -> float:
        """The standard deviation of the runs' means; nan for a single run."""
        means = [float(Side(run.name, (run,))[measured].mean()) for run in self.runs]
        return float(np.std(means, ddof=1)) if len(means) > 1 else float("nan")

    @property
    def several_dialogs_an_image(self) -> bool:
        """Whether an image has more than one dialog; they are then not independent, and are taken together."""
        return len({dialog.image for dialog in self.runs[0].dialogs}) < len(self.runs[0].dialogs)

    @property
    def has_one_outcome_an_image(self) -> bool:
        """Whether each image has a single dialog of a single run: its target is found or it is not."""
        return len(self.runs) == 1 and not self.several_dialogs_an_image

    @property
    def asks(self) -> bool:
        """Whether all runs are made of questions."""
        return all(run.asks for run in self.runs)

    @property
    def labels(self) -> list[str]:
        """The retrievers, in their corpora, that have ranked all runs."""
        first, *others = self.runs
        return [label for label in first.retrieval if all(label in other.retrieval for other in others)]


Pair = tuple[Side, Side]


def of_dialogs(run: ComparedRun, measured: Measured) -> Figures:
    """A figure of each dialog of a run [dialogs]; nan where it cannot be given."""
    if measured.retriever is None:
        counts = getattr(run.counts, measured.metric.removesuffix("_per_dialog"))
        return np.asarray(counts, dtype=np.float64)
    ranks = run.retrieval[measured.retriever].ranks
    values = by_dialog(measured.metric, ranks)
    return values if values.ndim == 1 else values[:, -1 if measured.round is None else measured.round]


def primary(labels: Sequence[str], rounds: int) -> Iterator[Measured]:
    """What verdicts are about: how often questions are repeated, how many targets are found, and how early."""
    yield Measured("repeats_per_dialog")
    for label in labels if rounds else []:
        yield Measured(f"hits@{PRIMARY_K}", label, rounds)
        yield Measured("bri", label)


def sides_of(runs: Sequence[ComparedRun]) -> list[Side]:
    """Every run is a side of its own, but for those that differ in their seed only, which are one together."""
    groups: dict[str, list[ComparedRun]] = {}
    for run in runs:
        key = _but_for_the_seed(run)
        seeds = [other.run.seed for other in groups.get(key, [])]
        groups.setdefault(key if run.run.seed not in seeds else run.name, []).append(run)
    sides: list[Side] = []
    for group in groups.values():
        taken = [*(run.name for run in runs), *(side.name for side in sides)]
        sides.append(Side(_name(group, taken), tuple(group)))
    return sides


def _but_for_the_seed(run: ComparedRun) -> str:
    """What runs of one group have in common; a run whose making nobody tells is alone."""
    record = run.run.record
    if record is None or record.imported:
        return run.name
    fixed: dict[str, Any] = {name: value for name, value in record.config.items() if name != "seed"}
    return json.dumps([fixed, [record.digests.get(dialog.id) for dialog in run.dialogs]], sort_keys=True)


def _name(group: Sequence[ComparedRun], taken: Sequence[str]) -> str:
    """What a group is called: its runs' name without their seeds, or else what its first run is called."""
    if len(group) == 1:
        return group[0].name
    stems = {re.sub(r"_seed-?\d+$", "", run.name) for run in group}
    names = [f"{stem} ({len(group)} seeds)" for stem in (*(stems if len(stems) == 1 else ()), group[0].name)]
    return next((name for name in names if name not in taken), f"{names[-1]} together")


def seed_group(side: Side, rounds: int) -> SeedGroup:
    """A side's runs, and how much its figures differ from seed to seed."""
    return SeedGroup(
        name=side.name,
        runs=tuple(run.name for run in side.runs),
        seeds=tuple(run.run.seed or 0 for run in side.runs),
        spread=tuple(
            _spread(side, measured) for measured in primary(side.labels, rounds) if side.asks or measured.retriever
        ),
    )


def _spread(side: Side, measured: Measured) -> Spread:
    values = side[measured]
    apart = evened(values, side.sizes)
    return Spread(
        metric=measured.metric,
        retriever=measured.retriever,
        mean=float(values.mean()),
        between_seeds=side.between_seeds(measured),
        over_images=float(apart.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan"),
    )
