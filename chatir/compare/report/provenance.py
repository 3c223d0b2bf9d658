"""How each run was made, as a reader of the report looks it up: facts, settings, sittings, failures, rankings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chatir.compare.comparison import ComparedRun
from chatir.console import duration
from chatir.run.rows import RoleTotals
from chatir.run.runs import RecordedPlayer

UNKNOWN = "not known"
Settings = list[tuple[str, str]]
"""Names and values; a value may have several lines."""


@dataclass(frozen=True)
class Provenance:
    """How the run of that name was made: facts for any run, and what its run file tells.

    config, and each of the sittings and rankings (with its title): settings. failed: a line for each failed dialog.
    """

    name: str
    facts: Settings
    config: Settings
    sittings: list[tuple[str, Settings]]
    rankings: list[tuple[str, Settings]]
    failed: list[str]


def provenance_of(run: ComparedRun) -> Provenance:
    """Everything that is known of how a run was made."""
    record = run.run.record
    facts = [
        ("file", str(run.run.file)),
        ("SHA-256", run.run.sha256),
        ("dialogs in the file", f"{len(run.run.dialogs):,}"),
        ("questioner", _player(run.run.questioner)),
        ("answerer", _player(run.run.answerer)),
    ]
    if record is None:
        facts.append(("run file", "none belongs to this file: how it was made is not known"))
        return Provenance(run.name, facts, [], [], _rankings(run), [])
    facts += [(f"{role}s", _spent(totals)) for role, totals in record.totals.items() if totals.replies]
    facts.append(("failed dialogs", f"{len(record.failed):,} of {len(record.digests):,}"))
    sittings = [
        (f"{sitting.started}, {duration(sitting.seconds)}", settings(sitting.provenance)) for sitting in record.sittings
    ]
    return Provenance(
        run.name, facts, settings(record.config), sittings, _rankings(run), [str(each) for each in record.failed]
    )


def _player(player: RecordedPlayer | None) -> str:
    return UNKNOWN if player is None else player.name


def _spent(totals: RoleTotals) -> str:
    told = [f"{totals.replies:,} replies", duration(totals.seconds)]
    if totals.tokens_in is not None:
        told.append(f"{totals.tokens_in:,} tokens in")
    if totals.tokens_out is not None:
        told.append(f"{totals.tokens_out:,} tokens out")
    if totals.cost is not None:
        told.append(f"{totals.cost:.4f} US dollars")
    return ", ".join(told)


def _rankings(run: ComparedRun) -> list[tuple[str, Settings]]:
    return [
        (
            label,
            [
                ("retriever", found.ranking.name),
                ("corpus", found.ranking.corpus),
                ("images in it", f"{found.ranking.images:,}"),
                *settings(found.ranking.retriever),
            ],
        )
        for label, found in run.retrieval.items()
    ]


def settings(config: Mapping[str, Any]) -> Settings:
    """A configuration as names (`questioner.config.model.id`) and values, in its order, however deep it is."""
    waiting: list[tuple[str, Any]] = [("", config)]
    found = []
    while waiting:
        name, value = waiting.pop()
        if parts := dict(_parts(value)):
            waiting += [(f"{name}.{key}" if name else str(key), part) for key, part in reversed(parts.items())]
        elif name:
            found.append((name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
    return found


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    """What a value is made of: a mapping, or a list that holds more than plain values."""
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, list) and any(isinstance(part, Mapping | list) for part in value):
        yield from enumerate(value)


def differing_settings(runs: Sequence[Provenance]) -> list[tuple[str, list[str | None]]]:
    """The settings in which runs differ, with the value of each run; None where a run does not have it."""
    configs = [dict(run.config) for run in runs]
    names = dict.fromkeys(name for config in configs for name in config)
    rows = [(name, [config.get(name) for config in configs]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]
