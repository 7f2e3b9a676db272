"""The loss of labelled rows alone."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from motet.core.flow import Cells

CERTAIN = 50.0
"""A logit that leaves no doubt."""


def labelled_loss(
    per_row: Callable[[Tensor, Tensor], Tensor], output: Float[Tensor, "B ..."], target: Cells
) -> Float[Tensor, "B"]:
    """`per_row(output, label) -> [B]` in float32, exactly 0 with gradient exactly 0 in rows without a label.

    Where labels have weights `[B]`, each row's loss is multiplied by its own.

    Filler is replaced *before* the mathematics as well as after: a masked NaN would still send NaN back, since the
    gradient of `where` multiplies it by zero.

    >>> cells = Cells({"target": torch.tensor([1.0, torch.nan])}, torch.tensor([True, False]))
    >>> labelled_loss(lambda output, label: (output - label) ** 2, torch.tensor([3.0, torch.nan]), cells)
    tensor([4., 0.])
    """
    present, label = target.present, target.values["target"]
    output = torch.where(_beside(present, output), output.float(), 0.0)
    label = torch.where(_beside(present, label), label, torch.zeros_like(label))
    loss = per_row(output, label)
    weight = target.values.get("weight")
    return torch.where(present, loss if weight is None else weight * loss, 0.0)


def _beside(present: Tensor, values: Tensor) -> Tensor:
    return present.reshape(-1, *[1] * (values.ndim - 1))
