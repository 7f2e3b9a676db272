"""Biases of the tasks' layers that are drawn together."""

from jaxtyping import Float
from torch import Tensor


def bias_penalty(biases: Float[Tensor, "K O"], weight: float) -> dict[str, Float[Tensor, ""]]:
    """`{"bias": weight sum_k |b_k - mean_j b_j|^2}`; nothing where the weight is 0.

    A normal prior on the offset of each task asks for it (a random intercept; Laird & Ware, Biometrics 1982). Beside a
    squared loss that counts `c` times, a task keeps a part `c / (c + weight)` of its own offset from the others. Losses
    of tasks are means over rows: where tasks with few rows are to keep less, weigh tasks by their rows.

    >>> import torch
    >>> bias_penalty(torch.tensor([[1.0], [3.0]]), 0.5)
    {'bias': tensor(1.)}
    """
    return {"bias": weight * (biases - biases.mean(dim=0)).square().sum()} if weight else {}
