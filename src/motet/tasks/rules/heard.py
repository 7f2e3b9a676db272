"""What the streams of a row say, side by side, with nothing of those that are absent.

S streams, B rows, D width of a stream's features. Streams stand in the order of their names, so that the order of the
mapping changes no bit.
"""

import math
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from motet.nn.pooling import hide
from motet.tasks.rules.base import Opinion


def statements(opinions: Mapping[str, Opinion]) -> tuple[Float[Tensor, "S B ..."], Bool[Tensor, "S B ..."]]:
    """What each says, in float32 or better and 0 where it is absent; and where it is not, shaped to stand beside that.

    >>> some = torch.tensor([True, False])
    >>> statements({"photo": Opinion(torch.tensor([2.0, torch.nan]), torch.zeros(2, 1), some, some.float())})
    (tensor([[2., 0.]]), tensor([[ True, False]]))
    """
    ordered = [opinions[name] for name in sorted(opinions)]
    said = torch.stack([at_least_single(one.output) for one in ordered])
    present = beside(torch.stack([one.present for one in ordered]), said)
    return torch.where(present, said, 0.0), present


def shares(opinions: Mapping[str, Opinion]) -> Float[Tensor, "S B"]:
    """The share of each in the joint decision, 0 where it is absent."""
    ordered = [opinions[name] for name in sorted(opinions)]
    return torch.stack([hide(one.weight.float(), one.present) for one in ordered])


def features(opinion: Opinion) -> Float[Tensor, "B D"]:
    """What its statement was made from, 0 where it is absent."""
    return hide(opinion.features.float(), opinion.present)


def each(opinions: Mapping[str, Opinion], of_stream: Callable[[str], Tensor]) -> Float[Tensor, "S B ..."]:
    """`of_stream` of every stream."""
    return torch.stack([of_stream(name) for name in sorted(opinions)])


def simplex(log_weights: Float[Tensor, "S B ..."], present: Bool[Tensor, "S B ..."]) -> Float[Tensor, "S B ..."]:
    """Weights that add up to 1 over the streams present, exactly 0 elsewhere; uniform in a row without any.

    >>> simplex(torch.tensor([[3.0], [1.0]]).log(), torch.ones(2, 1, dtype=torch.bool))
    tensor([[0.7500],
            [0.2500]])
    """
    heard = torch.where(present, log_weights, -math.inf)
    return torch.where(present.any(dim=0), heard, 0.0).softmax(dim=0)


def safe_log(weights: Tensor) -> Tensor:
    """The logarithm, minus infinity at 0, where no gradient passes: the true one would be infinite."""
    positive = weights > 0
    return torch.where(positive, torch.where(positive, weights, 1.0).log(), -math.inf)


def at_least_single(values: Tensor) -> Tensor:
    """In float32, or in float64 where it is that."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def beside(rows: Tensor, values: Tensor) -> Tensor:
    """`rows [S, B]` with a dimension of 1 for each further one of `values [S, B, ...]`."""
    return rows.reshape(*rows.shape, *[1] * (values.ndim - rows.ndim))
