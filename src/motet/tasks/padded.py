"""Targets that are as long as their row has parts."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor


def padded(items: Sequence[np.ndarray], *, filler: int) -> Int64[Tensor, "n L"]:
    """Numbers of one row after the other, filled up to the longest of them, at least to one.

    >>> padded([np.array([4, 2]), np.array([7])], filler=-1).tolist()
    [[4, 2], [7, -1]]
    """
    target = np.full((len(items), max(1, *map(len, items))), filler, dtype=np.int64)
    for row, item in zip(target, items, strict=True):
        row[: len(item)] = item
    return torch.from_numpy(target)
