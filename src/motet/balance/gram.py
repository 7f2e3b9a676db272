"""Inner products and weighted sums of the tasks' gradients, whatever their shape and precision.

K gradients of one shape.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

BLOCK = 1024  # products added in float32 before float64 takes over


class Workspace:
    """Memory to put gradients side by side in, kept from step to step: getting it anew costs more than the copy."""

    def __init__(self) -> None:
        self._memory: dict[str, Tensor] = {}

    def place(self, name: str, *shape: int, dtype: torch.dtype, device: torch.device | None) -> Float[Tensor, "*shape"]:
        """So much of the memory of that name; it holds anything, and the next call of that name gets the same."""
        size, memory = math.prod(shape), self._memory.get(name)
        if memory is None or memory.numel() < size or (memory.dtype, memory.device) != (dtype, device or memory.device):
            memory = self._memory[name] = torch.empty(size, dtype=dtype, device=device)
        return memory[:size].view(shape)

    def __deepcopy__(self, memo: object) -> "Workspace":
        """None of it: nothing in it is worth a copy."""
        return Workspace()

    def __reduce__(self) -> tuple[type["Workspace"], tuple[()]]:
        """Nor worth saving."""
        return Workspace, ()

    def stacked(self, gradients: Sequence[Float[Tensor, "*shape"]]) -> Float[Tensor, "K N"]:
        """The gradients as rows; they are overwritten by the next call."""
        first, rows = gradients[0], [gradient.reshape(-1) for gradient in gradients]
        place = self.place("rows", len(rows), first.numel(), dtype=first.dtype, device=first.device)
        return torch.stack(rows, out=place)


def gram_matrix(
    gradients: Sequence[Float[Tensor, "*shape"]], workspace: Workspace | None = None
) -> Float[Tensor, "K K"]:
    """`G_ij = <g_i, g_j>` in float64.

    Float64 stays float64, and a GPU always computes in it. On the CPU float32 is multiplied as such within blocks of
    1024 numbers, and the blocks are added in float64: the sum errs by about 1e-8 of its size, at a quarter of the time
    of float64. Half precision is widened before. Where float32 overflows, float64 takes over. Autocast does not apply.

    >>> gram_matrix([torch.tensor([1.0, 2.0]), torch.tensor([0.0, 3.0])]).tolist()
    [[5.0, 6.0], [6.0, 9.0]]
    """
    return gram_of_rows((workspace or Workspace()).stacked(gradients))


def gram_of_rows(rows: Float[Tensor, "K N"]) -> Float[Tensor, "K K"]:
    """`gram_matrix` of gradients that already lie side by side."""
    with torch.autocast(rows.device.type, enabled=False):
        if rows.dtype != torch.float64 and not rows.is_cuda:
            gram = _by_blocks(rows.float())
            if gram.isfinite().all():
                return gram
        rows = rows.double()
        return rows @ rows.mT


def weighted_sum(gradients: Sequence[Float[Tensor, "*shape"]], weights: Sequence[float]) -> Float[Tensor, "*shape"]:
    """`sum_k w_k g_k`, added in float32 at least, in the precision of the gradients.

    >>> weighted_sum([torch.ones(2), torch.eye(2)[0]], [0.5, 2.0]).tolist()
    [2.5, 0.5]
    """
    first = gradients[0]
    total = (first if first.dtype == torch.float64 else first.float()) * weights[0]
    for gradient, weight in zip(gradients[1:], weights[1:], strict=True):
        total.add_(gradient, alpha=weight)
    return total.to(first.dtype)


def _by_blocks(rows: Float[Tensor, "K N"]) -> Float[Tensor, "K K"]:
    whole = rows.shape[1] // BLOCK * BLOCK
    blocks, rest = rows[:, :whole].reshape(len(rows), -1, BLOCK).transpose(0, 1), rows[:, whole:]
    return torch.bmm(blocks, blocks.mT).sum(dim=0, dtype=torch.float64) + (rest @ rest.mT).double()
