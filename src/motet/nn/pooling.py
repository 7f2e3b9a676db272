"""Pooling of tokens under a mask."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def masked_mean(values: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
    """`sum_t m_t x_t / max(1, sum_t m_t)`; what the mask hides has no weight at all, NaN included.

    A row with nothing in its mask has mean 0.

    >>> import torch
    >>> values = torch.tensor([[[1.0], [3.0], [float("nan")]]])
    >>> masked_mean(values, torch.tensor([[True, True, False]]))
    tensor([[2.]])
    """
    length = values.shape[1]
    if isinstance(length, int) and length == 1:  # a number, a category: as exact, at a third of the operations
        return hide(values, mask).squeeze(1)
    total = hide(values, mask).sum(dim=1)
    return total / mask.sum(dim=1, keepdim=True).clamp(min=1).to(total.dtype)


def hide(values: Float[Tensor, "B T *D"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T *D"]:
    """Zeros where the mask is False, by selection: a product would keep NaN, and pass it back as gradient.

    >>> import torch
    >>> hide(torch.tensor([[1.0, float("inf")]]), torch.tensor([[True, False]]))
    tensor([[1., 0.]])
    """
    if not mask.is_cuda and not torch.compiler.is_compiling() and bool(mask.all()):
        return values  # a look at the mask costs a CPU less than a copy of the values; a GPU would have to wait for it
    shape = mask.shape + (1,) * (values.dim() - mask.dim())
    return torch.where(mask.view(shape), values, 0.0)  # a fifth faster than masked_fill, in either direction
