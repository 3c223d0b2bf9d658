"""A comparison as `chatir compare --format json` prints it (`chatir.compare/1`); null for what cannot be given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from chatir.compare.comparison import ComparedRun, Comparison
from chatir.compare.counted.retrieval import Curve, Retrieval
from chatir.run.runs import RecordedPlayer

SCHEMA = "chatir.compare/1"


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain data."""
    plain = {
        "schema": SCHEMA,
        "baseline": comparison.baseline,
        "images": comparison.images,
        "rounds": comparison.rounds,
        "runs": [_run(run) for run in comparison.runs],
        "summaries": [asdict(one) for one in comparison.summaries],
        "differences": [asdict(one) for one in comparison.differences],
        "verdicts": [asdict(one) for one in comparison.verdicts],
        "answers": [asdict(one) for one in comparison.agreements],
        "seeds": [asdict(one) for one in comparison.groups],
        "failures": [asdict(one) for one in comparison.bounds],
        "worst": {run.name: _worst(run, comparison.worst[run.name]) for run in comparison.runs if comparison.worst},
        "notes": list(comparison.notes),
        "method": comparison.method,
    }
    return dict(_finite(plain))


def _run(run: ComparedRun) -> dict[str, Any]:
    return {
        "name": run.name,
        "file": str(run.run.file),
        "sha256": run.run.sha256,
        "dialogs": len(run.run.dialogs),
        "failed_dialogs": len(run.run.record.failed) if run.run.record and not run.run.record.imported else None,
        "missing_dialogs": len(run.run.record.lost) if run.run.record and not run.run.record.imported else None,
        "rounds": run.run.rounds,
        "questioner": _player(run.run.questioner),
        "answerer": _player(run.run.answerer),
        "seed": run.run.seed,
        "repetition": run.repetition and dict(run.repetition),
        "language": run.language and dict(run.language),
        "defects": dict(run.defects),
        "retrieval": {label: _retrieval(found) for label, found in run.retrieval.items()},
        "chance": {label: _chance(found) for label, found in run.retrieval.items()},
    }


def _player(player: RecordedPlayer | None) -> dict[str, Any] | None:
    return None if player is None else {"name": player.name, "config": player.config}


def _retrieval(found: Retrieval) -> dict[str, Any]:
    return {
        "corpus": found.ranking.corpus,
        "images": found.ranking.images,
        "retriever": {"name": found.ranking.name, "config": dict(found.ranking.retriever)},
        **{name: curve.values.tolist() for name, curve in found.curves.items()},
        "bri": found.bri,
        "truncated": None if found.truncated is None else found.truncated.tolist(),
        "bands": {name: _band(curve) for name, curve in found.curves.items()},
    }


def _chance(found: Retrieval) -> dict[str, list[float]]:
    """What Hits and Recall would be if targets were drawn at random from the corpus."""
    return {name: values.tolist() for name, values in found.chance.items()}


def _band(curve: Curve) -> dict[str, list[float]]:
    return {"low": curve.low.tolist(), "high": curve.high.tolist()}


def _worst(run: ComparedRun, places: tuple[int, ...]) -> list[dict[str, Any]]:
    return [
        {
            "id": run.dialogs[place].id,
            "img": run.dialogs[place].image,
            "repeats": int(run.counts.repeats[place]),
            "dialog": [run.dialogs[place].caption, *map(str, run.dialogs[place].rounds)],
        }
        for place in places
    ]


def _finite(value: Any) -> Any:
    """The same with null for what is not a number."""
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
