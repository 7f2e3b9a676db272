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
    """`per_row(output, label) -> [B, ...]` in float32, exactly 0 with gradient exactly 0 in rows without a label.

    A row of several losses has their mean. Where labels have weights `[B, ...]`, each loss is multiplied by its own,
    before any mean.

    Filler is replaced *before* the mathematics as well as after: a masked NaN would still send NaN back, since the
    gradient of `where` multiplies it by zero.

    >>> cells = Cells({"target": torch.tensor([1.0, torch.nan])}, torch.tensor([True, False]))
    >>> labelled_loss(lambda output, label: (output - label) ** 2, torch.tensor([3.0, torch.nan]), cells)
    tensor([4., 0.])
    """
    present, label, weight = target.present, target.values["target"], target.values.get("weight")
    output = torch.where(_beside(present, output), output.float(), 0.0)
    label = torch.where(_beside(present, label), label, torch.zeros_like(label))
    loss = per_row(output, label)
    if weight is not None:
        loss = torch.where(_beside(present, weight), weight, 0.0) * loss
    if loss.ndim > 1:
        loss = loss.flatten(1).mean(1)
    return torch.where(present, loss, 0.0)


def loss_among_labelled(
    of_rows: Callable[[Tensor, Tensor], Float[Tensor, "n"]], output: Float[Tensor, "B ..."], target: Cells
) -> Float[Tensor, "B"]:
    """`of_rows(output, label) -> [n]` in float32 of the n labelled rows, whose losses may depend on each other; as
    exactly 0 elsewhere as with `labelled_loss`.

    >>> cells = Cells({"target": torch.tensor([1.0, 5.0, 2.0])}, torch.tensor([True, False, True]))
    >>> loss_among_labelled(lambda output, label: output - output.mean(), torch.tensor([3.0, torch.nan, 5.0]), cells)
    tensor([-1.,  0.,  1.])
    """
    rows = target.present.nonzero().squeeze(1)
    loss = of_rows(output[rows].float(), target.values["target"][rows])
    return loss.new_zeros(len(output)).index_copy(0, rows, loss)


def _beside(present: Tensor, values: Tensor) -> Tensor:
    return present.reshape(-1, *[1] * (values.ndim - 1))
