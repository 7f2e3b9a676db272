"""What the junction is handed on the way back: one stream's gradients, of the tasks that have any.

K tasks, B rows, H width of the shared features.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from motet.balance.gram import Workspace, gram_matrix, weighted_sum


class Given:
    """One stream's gradients that are not missing, and which tasks they belong to."""

    def __init__(self, gradients: Sequence[Float[Tensor, "B *H"] | None]) -> None:
        self.tasks = [task for task, gradient in enumerate(gradients) if gradient is not None]
        self.gradients = [gradient for gradient in gradients if gradient is not None]
        self.num_tasks = len(gradients)

    def gram(self, workspace: Workspace) -> Float[Tensor, "K K"]:
        """The Gram matrix of all tasks on the CPU, zero where this stream has no gradient."""
        gram = gram_matrix(self.gradients, workspace).cpu()
        if len(self.tasks) == self.num_tasks:
            return gram
        full = torch.zeros(self.num_tasks, self.num_tasks, dtype=torch.float64)
        index = torch.tensor(self.tasks)
        full[index[:, None], index] = gram
        return full

    def layer_rows(self, z: Float[Tensor, "B *H"]) -> Float[Tensor, "K 2*C"]:
        """Each task's gradient of a gain and a bias per channel of z, which are 1 and 0: sums of `g * z` and of `g`.

        Channels are the second dimension of maps (4-D, 5-D), and the last of any other features, also of a single row.
        """
        z = z.reshape(1, -1) if z.dim() < 2 else z
        channel = 1 if z.dim() in (4, 5) else z.dim() - 1
        summed = [dim for dim in range(z.dim()) if dim != channel]
        rows = z.new_zeros(self.num_tasks, 2 * z.shape[channel], dtype=torch.float64)
        wide = z.double()
        for task, gradient in zip(self.tasks, self.gradients, strict=True):
            g = gradient.double().view_as(z)
            rows[task] = torch.cat([(g * wide).sum(summed), g.sum(summed)])
        return rows

    def combined(self, weights: Sequence[float]) -> Float[Tensor, "B *H"]:
        """The gradients weighted and added."""
        return weighted_sum(self.gradients, [weights[task] for task in self.tasks])
