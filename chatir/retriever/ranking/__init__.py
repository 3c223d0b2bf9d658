"""Ranking: exact scores, target ranks and the best images of each query."""
