"""One learned number per name."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from motet.nn.named import escape


class NamedScalars(nn.Module):
    """A learned number for each name: logits, log variances. In `state_dict` each stands under its own name.

    >>> logits = NamedScalars(["b", "a"], start=1.0)
    >>> logits(["a", "b"])
    tensor([1., 1.], grad_fn=<StackBackward0>)
    """

    def __init__(self, names: Sequence[str], *, start: float = 0.0) -> None:
        super().__init__()
        for name in sorted(names):
            self.register_parameter(escape(name), nn.Parameter(torch.tensor(start)))

    def forward(self, names: Sequence[str]) -> Float[Tensor, "N"]:
        """The numbers of these names, in this order."""
        return torch.stack([self.get_parameter(escape(name)) for name in names])
