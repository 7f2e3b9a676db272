"""One tensor per task, all of one shape, kept under the names of the tasks and used as one stack.

K tasks, B rows, I and O widths.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from motet.nn.named import escape

START = 0.1
"""How large the layers of tasks start, as a part of PyTorch's default."""


class ByTask(nn.Module):
    """A parameter per task, all of one shape. In `state_dict` each stands under its own name.

    >>> weights = ByTask({"b": torch.zeros(2), "a": torch.ones(2)})
    >>> weights().tolist(), weights(["b"]).tolist(), list(weights.state_dict())
    ([[1.0, 1.0], [0.0, 0.0]], [[0.0, 0.0]], ['a', 'b'])
    """

    def __init__(self, starts: Mapping[str, Float[Tensor, "*shape"]]) -> None:
        super().__init__()
        self._names = tuple(sorted(starts))
        for task in self._names:
            self.register_parameter(escape(task), nn.Parameter(starts[task].detach().clone()))

    def forward(self, tasks: Sequence[str] | None = None) -> Float[Tensor, "K *shape"]:
        """Those of these tasks, in this order; of all, sorted by name, where none are named."""
        return torch.stack([self.get_parameter(escape(task)) for task in (self._names if tasks is None else tasks)])


class KeptByTask(nn.Module):
    """A tensor per task, all of one shape, kept from step to step: zeros until `keep`. Named as in `ByTask`.

    >>> kept = KeptByTask(["b", "a"], shape=(2,))
    >>> kept.keep(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    >>> kept().tolist(), kept.state_dict()["b"].tolist()
    ([[1.0, 2.0], [3.0, 4.0]], [3.0, 4.0])
    """

    def __init__(self, tasks: Sequence[str], *, shape: Sequence[int]) -> None:
        super().__init__()
        self._names = tuple(sorted(tasks))
        for task in self._names:
            self.register_buffer(escape(task), torch.zeros(*shape))

    def forward(self) -> Float[Tensor, "K *shape"]:
        """All of them, sorted by name."""
        return torch.stack([self.get_buffer(escape(task)) for task in self._names])

    def keep(self, values: Float[Tensor, "K *shape"]) -> None:
        """Keep these, in the order of the names."""
        for task, value in zip(self._names, values.detach(), strict=True):
            self.get_buffer(escape(task)).copy_(value)


class StackedLinear(nn.Module):
    """A linear layer per task, `y_k = W_k x_k + b_k`, all in one product; W_k `[O, I]`.

    All tasks start with the same weights, at a tenth of PyTorch's default: what then sets them apart, or makes them
    alike, is what they learned.

    >>> layers = StackedLinear(4, 3, tasks=("price", "sold"))
    >>> layers({"sold": torch.zeros(2, 4)})["sold"].shape, layers.weight().shape
    (torch.Size([2, 3]), torch.Size([2, 3, 4]))
    """

    def __init__(self, input_width: int, output_width: int, *, tasks: Sequence[str]) -> None:
        super().__init__()
        start = nn.Linear(input_width, output_width)
        self.weight = ByTask(dict.fromkeys(tasks, start.weight * START))
        self.bias = ByTask(dict.fromkeys(tasks, start.bias * START))

    def forward(self, copies: Mapping[str, Float[Tensor, "B I"]]) -> dict[str, Float[Tensor, "B O"]]:
        """Each task's layer on its own copy."""
        tasks = sorted(copies)
        output = times(stacked([copies[task] for task in tasks]), self.weight(tasks)) + self.bias(tasks)[:, None]
        return dict(zip(tasks, output.unbind(), strict=True))


def stacked(copies: Sequence[Float[Tensor, "B *I"]]) -> Tensor:
    """`[K, B, *I]`, or `[B, *I]` where all copies are one tensor."""
    return copies[0] if all(one is copies[0] for one in copies) else torch.stack(list(copies))


def times(x: Tensor, weight: Float[Tensor, "K O I"]) -> Float[Tensor, "K B O"]:
    """`W_k x_k`; x is `[K, B, I]`, or `[B, I]` where all tasks have one.

    >>> times(torch.ones(2, 3), torch.ones(5, 4, 3)).shape, times(torch.ones(5, 2, 3), torch.ones(5, 4, 3)).shape
    (torch.Size([5, 2, 4]), torch.Size([5, 2, 4]))
    """
    if x.dim() == 3:
        return torch.bmm(x, weight.mT)
    return F.linear(x, weight.flatten(0, 1)).view(x.shape[0], *weight.shape[:2]).transpose(0, 1)
