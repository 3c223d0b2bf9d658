"""How well the targets are found, round by round: as a table to read, and as data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chatir.console import aligned, printable
from chatir.measures.retrieval import Figures, chance_of_hits, share_improved
from chatir.measures.retrieval_by_dialog import by_dialog
from chatir.retriever.ranking.ranked_dialogs import TOP
from chatir.retriever.score import ScoredFile


def curve_text(scores: ScoredFile, ks: Sequence[int]) -> str:
    """The measures of every round, a row each, and under them BRI, with Hits and Recall at `ks`.

    Where some dialogs have ended before, figures of the round itself stand as "-".
    """
    columns, ranking = _columns(scores, ks), scores.ranking.shown
    rows = [["round", *columns]]
    rows += [[str(number), *figures] for number, figures in enumerate(zip(*columns.values(), strict=True))]
    dialogs = f"{scores.ranks.shape[1]:,} dialogs"
    title = f"{printable(str(scores.file))}: {dialogs}, {printable(ranking.name)} in {ranking.images:,} images"
    return "\n".join([title, *(f"  {line}" for line in aligned(rows)), *_explained(scores, ks)])


def _columns(scores: ScoredFile, ks: Sequence[int]) -> dict[str, list[str]]:
    columns = {}
    for k in ks:
        columns[f"Hits@{k}"] = _shown(_means(f"hits@{k}", scores), 2)
        if (chance := _chance(scores, k)) is not None:
            columns["chance" if len(ks) == 1 else f"chance@{k}"] = _shown(chance, 2)
    columns |= {f"Recall@{k}": _shown(_means(f"recall@{k}", scores), 2) for k in ks}
    columns["ATR"] = _shown(_means("atr", scores), 2)
    columns["MRR"] = _shown(_means("mrr", scores), 4)
    columns["improved"] = _shown(share_improved(scores.ranks), 1)
    if scores.truncated is not None:
        columns["truncated"] = _shown(scores.truncated, 1)
    return columns


def _means(measure: str, scores: ScoredFile) -> Figures:
    """Means over dialogs [rounds + 1], or the one mean [] of a measure without rounds; nan once not all played."""
    return np.asarray(by_dialog(measure, scores.ranks).mean(axis=0))


def _explained(scores: ScoredFile, ks: Sequence[int]) -> list[str]:
    lines = []
    if not math.isnan(bri := float(_means("bri", scores))):
        lines.append(f"  BRI {bri:.4f}: the best rank so far is typically {math.exp(bri):.1f} (lower is better)")
    if any(_chance(scores, k) is not None for k in ks):
        lines.append("  chance: Hits@K if targets were drawn at random from the corpus")
    return lines


def _chance(scores: ScoredFile, k: int) -> Figures | None:
    """What Hits@k would be by chance [rounds + 1]; None for a k beyond the best images that are kept."""
    if k > TOP:
        return None
    return np.asarray(chance_of_hits(scores.best, k, scores.ranking.images, len(scores.ranks) - 1).mean(axis=1))


def curve_json(scores: ScoredFile, ks: Sequence[int]) -> dict[str, Any]:
    """The measures of every round as plain data, with Hits and Recall at `ks`; null where a figure cannot be given."""
    ranks, ranking = scores.ranks, scores.ranking.shown
    figures: dict[str, Figures | None] = {}
    for k in ks:
        figures |= {name: _means(name, scores) for name in (f"hits@{k}", f"recall@{k}")}
    figures |= {name: _means(name, scores) for name in ("atr", "mrr")}
    figures |= {f"chance@{k}": _chance(scores, k) for k in ks}
    figures |= {"improved": share_improved(ranks), "truncated": scores.truncated}
    return {
        "file": str(scores.file),
        "run_file": str(scores.run_file),
        "dialogs": ranks.shape[1],
        "rounds": len(ranks) - 1,
        "retriever": {"name": ranking.name, "config": dict(ranking.retriever)},
        "corpus": {"fingerprint": ranking.corpus, "images": ranking.images},
        **{name: None if column is None else [_plain(figure) for figure in column] for name, column in figures.items()},
        "bri": _plain(float(_means("bri", scores))),
    }


def _plain(figure: float) -> float | None:
    return None if math.isnan(figure) else float(figure)


def _shown(figures: Figures, digits: int) -> list[str]:
    return ["-" if math.isnan(figure) else f"{figure:,.{digits}f}" for figure in figures]
