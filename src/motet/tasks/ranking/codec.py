"""How relevant a row is within its group, and what is answered: a score."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from motet.core import seed
from motet.core.checks import text_of
from motet.core.errors import CellError
from motet.tasks.base import Metric
from motet.tasks.labels import label_of
from motet.tasks.numbers import number_of
from motet.tasks.ranking.ndcg import ndcg_metric
from motet.tasks.row import RowCodec

MOST_RELEVANT = 50.0


class RankingCodec(RowCodec):
    """Target `(relevance, group)`, float64 `[B, 2]`, output a score `[B]`; a cell is a list of the two.

    A group is told by 52 bits of a hash of its text, which float64 holds exactly.
    """

    def read(self, cell: object) -> np.ndarray:
        """Relevance and group; `CellError` for a relevance below 0, or too great for a gain of 2^relevance."""
        if not isinstance(cell, list | tuple | np.ndarray) or len(cell) != 2:
            raise CellError("expected a list of two values, the relevance and the group")
        relevance = number_of(cell[0])
        if not 0 <= relevance <= MOST_RELEVANT:
            raise CellError(
                f"relevance {relevance:g} is not from 0 to {MOST_RELEVANT:g}; it counts as 2^relevance - 1, so use "
                "grades such as 0 to 4"
            )
        return np.array([relevance, seed.key(text_of(label_of(cell[1]))) >> 11], dtype=np.float64)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"target": float64 [n, 2]}`."""
        return {"target": torch.from_numpy(np.stack(items))}

    def decode(self, output: Tensor) -> dict[str, list[Any]]:
        """The score; only its order within a group says anything."""
        return {"": output.detach().double().cpu().tolist()}

    def calibrated(self, output: Tensor, target: Tensor) -> Self:
        """Itself: an order has no interval."""
        return self

    def certain(self, target: Tensor) -> Tensor:
        """The relevance."""
        return target[:, 0].float()

    def metrics(self) -> tuple[Metric, ...]:
        """ndcg, the mean over groups with a relevant row. Its interval is over groups."""
        return (ndcg_metric(),)

    def prior(self, target: Tensor) -> Tensor:
        """0: without any input no row comes first."""
        return torch.zeros(())
