"""Biases of the tasks' layers that are drawn together."""

from jaxtyping import Float
from torch import Tensor


def bias_penalty(biases: Float[Tensor, "K O"], weight: float) -> dict[str, Float[Tensor, ""]]:
    """`{"bias": weight sum_k |b_k - mean_j b_j|^2}`; nothing where the weight is 0.

    It is the logarithm of a normal prior that draws each b_k from around one centre (random intercepts: Laird & Ware,
    Biometrics 1982, who estimate how far they spread; here `weight` is given). Beside squared losses
    `c_k (b_k - a_k)^2`, a_k being what the bias would be by itself, `b_k - m = c_k / (c_k + weight) (a_k - m)` with m
    the mean of all b, that of the task itself included. Losses of tasks are means over rows: where tasks with few rows
    are to keep less of what sets them apart, weigh tasks by their rows.

    >>> import torch
    >>> bias_penalty(torch.tensor([[1.0], [3.0]]), 0.5)
    {'bias': tensor(1.)}
    """
    return {"bias": weight * (biases - biases.mean(dim=0)).square().sum()} if weight else {}
