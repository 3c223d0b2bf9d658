"""The retriever: encoders, corpus index, exact ranks, and their measures."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chatir.retriever.index.corpus import Corpus
    from chatir.retriever.ranking.ranks import counts_before, target_ranks, target_scores
    from chatir.retriever.ranking.top_images import top_k
    from chatir.retriever.retriever import Retriever, load_retriever
    from chatir.retriever.score import ScoredFile, score

__all__ = [
    "Corpus",
    "Retriever",
    "ScoredFile",
    "counts_before",
    "load_retriever",
    "score",
    "target_ranks",
    "target_scores",
    "top_k",
]

_HOMES = {
    "Corpus": "index.corpus",
    "Retriever": "retriever",
    "load_retriever": "retriever",
    "score": "score",
    "ScoredFile": "score",
    "counts_before": "ranking.ranks",
    "target_ranks": "ranking.ranks",
    "target_scores": "ranking.ranks",
    "top_k": "ranking.top_images",
}


def __getattr__(name: str) -> Any:
    """Import a name's module when it is first asked for: the measures alone need no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


class _Package(ModuleType):
    """The package, in which `score` is the function, also once the module of the same name has been imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        taken = name == "score" and isinstance(value, ModuleType)
        super().__setattr__(name, value.score if taken else value)


sys.modules[__name__].__class__ = _Package
