"""Putting the rows of a group in order."""

from motet.tasks.ranking.codec import RankingCodec
from motet.tasks.ranking.losses import listwise, pairwise
from motet.tasks.ranking.ndcg import ndcg
from motet.tasks.ranking.task import Ranking

__all__ = ["Ranking", "RankingCodec", "listwise", "ndcg", "pairwise"]
