"""Power and L2 normalisation, with which sums of products are tamed."""

import torch
from jaxtyping import Float
from torch import Tensor

EPSILON = 1e-4


def power_normalized(z: Float[Tensor, "*B W"]) -> Float[Tensor, "*B W"]:
    """`s / |s|` with `s = sign(z) sqrt(|z|)`: `s = z / sqrt(|z| + e)`, then `s / sqrt(|s|^2 + e)`.

    Deviation from the papers: e = 1e-4, since at 0 the slope of the root is infinite and the norm has no direction. In
    float32 at least: the slopes on the way are more than float16 holds.

    >>> power_normalized(torch.tensor([[9.0, -16.0]])).mul(5).round(decimals=3)
    tensor([[ 3., -4.]])
    """
    wide = z.to(torch.promote_types(z.dtype, torch.float32))
    root = wide * (wide.abs() + EPSILON).rsqrt()
    return (root * (root.square().sum(dim=-1, keepdim=True) + EPSILON).rsqrt()).to(z.dtype)
