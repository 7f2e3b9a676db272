"""What rows look like to a model that learns no features: one matrix made of what the encoders are given.

By the form of a tensor, N rows, T places, F numbers, whatever the kind of input: numbers as they are, a picture by the
means of its fields, a sequence by mean, deviation, least and greatest over its places, whole numbers by how often each
is there. An absent input is zeros, and says so in a column of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from motet.core.flow import Cells

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FIELDS = 12
"""A picture is cut into so many fields on each side, at most."""
MOST_IDS = 1 << 14
"""Of larger whole numbers some share a column."""
Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Simple:
    """Features of N rows: `numbers [N, F]`, and of what is counted `counts [N, C]`, None where nothing is."""

    numbers: Matrix
    counts: "csr_matrix | None"

    def at(self, places: NDArray[np.int64]) -> "Simple":
        """Those of these rows."""
        return Simple(self.numbers[places], None if self.counts is None else self.counts[places])


def simple_features(cells: Cells) -> Simple:
    """Features of one input of N rows, fixed in number by the form of its tensors alone.

    >>> there = torch.tensor([True, False])
    >>> simple_features(Cells({"features": torch.tensor([[2.0], [7.0]])}, there)).numbers.tolist()
    [[1.0, 2.0], [0.0, 0.0]]
    """
    from scipy import sparse

    present = cells.present.cpu()
    values = {name: value.cpu() for name, value in sorted(cells.values.items())}
    masks = [value for value in values.values() if value.dtype == torch.bool and value.dim() == 2]
    numbers, counts = [present[:, None].float()], []
    for value in values.values():
        if value.dtype == torch.bool or value.numel() == 0:
            continue
        mask = _mask_of(value, masks)
        if value.is_floating_point():
            numbers.append(_numbers(value.float(), mask))
        else:
            counts.append(_counts(value, mask, present))
    found = torch.cat(numbers, dim=1) * present[:, None]
    return Simple(
        np.nan_to_num(found.numpy(), nan=0.0, posinf=0.0, neginf=0.0),
        sparse.csr_matrix(sparse.hstack(counts)) if counts else None,
    )


def stacked(parts: Sequence[Simple]) -> Simple:
    """Rows of several batches, one below the other."""
    from scipy import sparse

    counts = [one.counts for one in parts if one.counts is not None]
    numbers = np.concatenate([one.numbers for one in parts])
    return Simple(numbers, sparse.csr_matrix(sparse.vstack(counts)) if counts else None)


def joined(parts: Sequence[Simple]) -> Simple:
    """Several inputs of the same rows, side by side."""
    counts = [one.counts for one in parts if one.counts is not None]
    numbers = np.concatenate([one.numbers for one in parts], axis=1)
    if not counts:
        return Simple(numbers, None)
    from scipy import sparse

    return Simple(numbers, sparse.csr_matrix(sparse.hstack(counts)))


def _mask_of(value: Tensor, masks: Sequence[Tensor]) -> Tensor | None:
    return next((mask for mask in masks if value.dim() >= 2 and mask.shape == value.shape[:2]), None)


def _numbers(value: Tensor, mask: Tensor | None) -> Tensor:
    """`[N, ...]` -> `[N, F]`."""
    if value.dim() == 2 and mask is not None:
        return _over_places(value[:, :, None], mask)
    if value.dim() <= 2:
        return value.reshape(len(value), -1)
    if value.dim() == 4:
        return _fields(value).flatten(1)
    return _over_places((_fields(value) if value.dim() > 4 else value).flatten(2), mask)


def _fields(pictures: Tensor) -> Tensor:
    """`[..., H, W]` -> the means of fields, `[..., h, w]`."""
    height, width = (min(FIELDS, size) for size in pictures.shape[-2:])
    means = F.adaptive_avg_pool2d(pictures.reshape(-1, 1, *pictures.shape[-2:]), (height, width))
    return means.reshape(*pictures.shape[:-2], height, width)


def _over_places(value: Tensor, mask: Tensor | None) -> Tensor:
    """`[N, T, F]` -> mean, deviation, least and greatest over the T places that are there, `[N, 4F]`."""
    there = torch.ones(value.shape[:2], dtype=torch.bool) if mask is None else mask
    shown = there[:, :, None]
    count = shown.sum(dim=1).clamp(min=1)
    mean = (value * shown).sum(dim=1) / count
    deviation = (((value - mean[:, None]) * shown).square().sum(dim=1) / count).sqrt()
    least = value.masked_fill(~shown, torch.inf).amin(dim=1)
    greatest = value.masked_fill(~shown, -torch.inf).amax(dim=1)
    return torch.cat([mean, deviation, *(torch.where(one.isfinite(), one, 0.0) for one in (least, greatest))], dim=1)


def _counts(value: Tensor, mask: Tensor | None, present: Tensor) -> "csr_matrix":
    """How often each whole number is there in each row, `[N, C]`; those below 0 are not counted."""
    from scipy import sparse

    ids = value.reshape(len(value), -1).numpy()
    there = (ids >= 0) & present.numpy()[:, None]
    if mask is not None and value.dim() == 2:
        there &= mask.numpy()
    rows, places = np.nonzero(there)
    columns = ids[rows, places] % MOST_IDS
    ones = np.ones(len(rows), dtype=np.float32)
    return sparse.csr_matrix((ones, (rows, columns)), shape=(len(value), MOST_IDS))
