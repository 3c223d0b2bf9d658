"""The measures of retrieval, by the path that programs import; `chatir.measures.retrieval` has them."""

from chatir.measures.retrieval import (
    as_ranks,
    average_target_rank,
    best_log_rank_integral,
    best_ranks,
    chance_of_hits,
    chance_of_recall,
    hits_at_k,
    mean_reciprocal_rank,
    recall_at_k,
    share_improved,
    truncated_share,
)

__all__ = [
    "as_ranks",
    "average_target_rank",
    "best_log_rank_integral",
    "best_ranks",
    "chance_of_hits",
    "chance_of_recall",
    "hits_at_k",
    "mean_reciprocal_rank",
    "recall_at_k",
    "share_improved",
    "truncated_share",
]
