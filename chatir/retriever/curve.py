"""How well the targets are found, round by round: as a table to read, and as data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chatir.console import aligned, printable
from chatir.retriever.metrics import (
    Figures,
    average_target_rank,
    best_log_rank_integral,
    hits_at_k,
    mean_reciprocal_rank,
    recall_at_k,
    rounds_to_first_hit,
    share_improved,
)
from chatir.retriever.score import ScoredFile


def curve_text(scores: ScoredFile, ks: Sequence[int]) -> str:
    """The measures of every round, a row each, and under them those of whole dialogs, with Hits and Recall at `ks`.

    Where some dialogs have ended before, figures of the round itself stand as "-".
    """
    columns, ranking = _columns(scores, ks), scores.ranking
    rows = [["round", *columns]]
    rows += [[str(number), *figures] for number, figures in enumerate(zip(*columns.values(), strict=True))]
    dialogs = f"{scores.ranks.shape[1]:,} dialogs"
    title = f"{printable(str(scores.file))}: {dialogs}, {printable(ranking.name)} in {ranking.images:,} images"
    return "\n".join([title, *(f"  {line}" for line in aligned(rows)), *_of_dialogs(scores, ks)])


def _columns(scores: ScoredFile, ks: Sequence[int]) -> dict[str, list[str]]:
    ranks = scores.ranks
    columns = {f"Hits@{k}": _shown(hits_at_k(ranks, k), 2) for k in ks}
    columns |= {f"Recall@{k}": _shown(recall_at_k(ranks, k), 2) for k in ks}
    columns["ATR"] = _shown(average_target_rank(ranks), 2)
    columns["MRR"] = _shown(mean_reciprocal_rank(ranks), 4)
    columns["improved"] = _shown(share_improved(ranks), 1)
    if scores.truncated is not None:
        columns["truncated"] = _shown(scores.truncated, 1)
    return columns


def _of_dialogs(scores: ScoredFile, ks: Sequence[int]) -> list[str]:
    lines = []
    if not math.isnan(bri := best_log_rank_integral(scores.ranks)):
        lines.append(f"  BRI {bri:.4f} (lower is better)")
    for k in ks:
        first = rounds_to_first_hit(scores.ranks, k)
        if found := int(np.isfinite(first).sum()):
            rounds = float(np.nanmean(first))
            lines.append(f"  Hits@{k}: {found:,} of {len(first):,} targets, found after {rounds:.2f} rounds on average")
    return lines


def curve_json(scores: ScoredFile, ks: Sequence[int]) -> dict[str, Any]:
    """The measures of every round as plain data, with Hits and Recall at `ks`; null where a figure cannot be given."""
    ranks, ranking = scores.ranks, scores.ranking
    figures: dict[str, Figures | None] = {}
    for k in ks:
        figures |= {f"hits@{k}": hits_at_k(ranks, k), f"recall@{k}": recall_at_k(ranks, k)}
    figures |= {"atr": average_target_rank(ranks), "mrr": mean_reciprocal_rank(ranks)}
    figures |= {"improved": share_improved(ranks), "truncated": scores.truncated}
    bri = best_log_rank_integral(ranks)
    return {
        "file": str(scores.file),
        "run_file": str(scores.run_file),
        "dialogs": ranks.shape[1],
        "rounds": len(ranks) - 1,
        "retriever": {"name": ranking.name, "config": dict(ranking.retriever)},
        "corpus": {"fingerprint": ranking.corpus, "images": ranking.images},
        **{name: None if column is None else [_plain(figure) for figure in column] for name, column in figures.items()},
        "bri": _plain(bri),
    }


def _plain(figure: float) -> float | None:
    return None if math.isnan(figure) else float(figure)


def _shown(figures: Figures, digits: int) -> list[str]:
    return ["-" if math.isnan(figure) else f"{figure:,.{digits}f}" for figure in figures]
