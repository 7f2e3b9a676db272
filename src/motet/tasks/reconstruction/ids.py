"""Categories and texts said again: ids in their places. N rows, L places."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float64, Int64
from torch import Tensor

from motet.tasks.base import Codec, Metric
from motet.tasks.metrics import metric_of_counts, ratio_of
from motet.tasks.padded import padded
from motet.tasks.reconstruction.idforms import HIDDEN, UNSEEN, AnyIdsForm, CategoryForm


class IdsCodec(Codec):
    """Target and output: ids, int64 `[B, L]`, padded behind with -1; a text's end is among them.

    A row of nothing but -1 has no answer.
    """

    form: AnyIdsForm

    def read(self, cell: object) -> Int64[np.ndarray, "L"]:
        """The ids."""
        return self.form.read(cell)

    def knows(self, cell: object) -> bool:
        """Whether it is a text, or a category with a number of its own."""
        return self.form.knows(cell)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"target": int64 [n, L]}`."""
        return {"target": padded(items, filler=HIDDEN)}

    def decode(self, output: Int64[Tensor, "N L"]) -> dict[str, list[Any]]:
        """The category, or the text; None for a row without an answer, and for a category that has no name."""
        rows = [[one for one in row if one != HIDDEN] for row in output.tolist()]
        return {"": [self.form.answer(row) if row else None for row in rows]}

    def calibrated(self, output: Tensor, target: Tensor) -> Self:
        """Itself: there is no interval."""
        return self

    def metrics(self) -> tuple[Metric, ...]:
        """mse: of the ids asked for, the part that is answered wrongly in its place.

        That is half the squared distance of two vectors with a 1 at the id said, and at the true one. A category that
        has no number is a miss, whatever is answered.
        """
        return (metric_of_counts("mse", partial(_wrong, unseen=self._unseen), ratio_of, higher_is_better=False),)

    def prior(self, target: Int64[Tensor, "N L"]) -> Int64[Tensor, "L"]:
        """The most frequent id of each place that can be right, the lowest of several; among the rows that have it."""
        counts = torch.zeros(target.shape[1], self.form.num_ids, dtype=torch.int64)
        rows, places = (target != HIDDEN).nonzero(as_tuple=True)
        counts.index_put_((places, target[rows, places]), torch.ones_like(rows), accumulate=True)
        if self._unseen is not None:
            counts[:, self._unseen] = 0
        return counts.argmax(dim=1)

    def trivial(self, prior: Int64[Tensor, "l"], target: Int64[Tensor, "N L"]) -> Int64[Tensor, "N l"]:
        """The same ids for every row."""
        return prior.expand(len(target), -1)

    def certain(self, target: Int64[Tensor, "N L"]) -> Int64[Tensor, "N L"]:
        """The ids themselves."""
        return target

    @property
    def _unseen(self) -> int | None:
        """The id that no answer can be right about; in texts there is none."""
        return UNSEEN if isinstance(self.form, CategoryForm) else None


def _wrong(output: Tensor, target: Tensor, *, unseen: int | None) -> Float64[np.ndarray, "N 2"]:
    length = target.shape[1]
    said = F.pad(output[:, :length], (0, max(0, length - output.shape[1])), value=HIDDEN)
    asked, wrong = target != HIDDEN, said != target
    if unseen is not None:
        wrong |= target == unseen
    return torch.stack([(asked & wrong).sum(dim=1), asked.sum(dim=1)], dim=1).cpu().numpy().astype(float)
