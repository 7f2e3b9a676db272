"""The tasks' exact gradients of all shared parameters: one pass per task through the graph behind the junction.

K tasks, N rows (times tokens) that meet a linear layer of I inputs and O outputs, P numbers in all parameters.
"""

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from motet.balance.gram import Workspace, gram_of_rows, weighted_sum
from motet.balance.parameters import Linear, SharedParameters, add_gradient

NUM_BLOCKS = 4


class Passes:
    """What each task's gradient at the junction comes to at the shared parameters.

    `gradients[k]` are task k's at the roots of `parameters`. With `flat` every parameter's gradients are held as they
    are, which `rows` needs; else those of linear layers' weights only where that is the cheaper way to their products.

    Nothing more has to be sent through the graph: `add` makes the combined gradient of what the passes brought.
    """

    def __init__(
        self,
        parameters: SharedParameters,
        gradients: Sequence[Sequence[Tensor | None]],
        *,
        workspace: Workspace,
        flat: bool = False,
    ) -> None:
        self._flat, self._workspace = flat, workspace
        num_tasks = len(gradients)
        layers = [] if flat else [one for one in parameters.linear if products_are_cheaper(one, num_tasks=num_tasks)]
        inside = {id(leaf) for layer in layers for leaf in layer.leaves}
        self._leaves = [leaf for leaf in parameters.leaves if id(leaf) not in inside]
        dtype = torch.float64 if any(leaf.dtype == torch.float64 for leaf in self._leaves) else torch.float32
        device, size = (self._leaves[0].device if self._leaves else None), sum(leaf.numel() for leaf in self._leaves)
        self._rows = workspace.place("parameters", num_tasks, size, dtype=dtype, device=device)
        self._moved = [False] * len(self._leaves)
        arrived = [self._sent(task, parameters, row, layers) for task, row in zip(gradients, self._rows, strict=True)]
        by_layer = zip(layers, zip(*arrived, strict=True), strict=False)
        self._layers = [LinearPass(layer, d) for layer, d in by_layer if any(one is not None for one in d)]

    @property
    def rows(self) -> Float[Tensor, "K P"]:
        """The gradients, in the order of the parameters' leaves, in float32 at least; until the next passes."""
        assert self._flat, "gradients of linear layers were not formed"
        return self._rows

    def gram(self) -> Float[Tensor, "K K"]:
        """`<g_i, g_j>` over all parameters, on the CPU in float64."""
        gram = gram_of_rows(self._rows).cpu()
        for layer in self._layers:
            gram += layer.gram(self._workspace).cpu()
        return gram

    def add(self, weights: Sequence[float]) -> None:
        """Add `sum_k w_k g_k` to the parameters' gradients; one that nothing came to keeps its own as it is."""
        combined = self._rows.new_tensor(weights) @ self._rows
        for leaf, part, moved in zip(self._leaves, self._parts(combined), self._moved, strict=True):
            if moved:
                add_gradient(leaf, part)
        for layer in self._layers:
            layer.add(weights)

    def _sent(
        self, gradients: Sequence[Tensor | None], parameters: SharedParameters, row: Tensor, layers: Sequence[Linear]
    ) -> tuple[Tensor | None, ...]:
        """Fill one task's row; what came to the outputs of these layers."""
        found = parameters.arriving(gradients, layers, self._leaves)
        for index, (part, gradient) in enumerate(zip(self._parts(row), found[len(layers) :], strict=True)):
            if gradient is None:
                part.zero_()
            else:
                part.copy_(gradient.reshape(-1))
                self._moved[index] = True
        return found[: len(layers)]

    def _parts(self, row: Float[Tensor, "P"]) -> tuple[Tensor, ...]:
        return torch.split(row, [leaf.numel() for leaf in self._leaves])


class LinearPass:
    """A linear layer's part, from X that entered it and D_k, task k's gradient of what left it.

    The gradient of its weight is `D_k^T X`, and products need it not: `<D_i^T X, D_j^T X> = <X X^T D_i, D_j>`. Of
    `A = X X^T` only what is above the diagonal, by blocks, is multiplied: `A = T + T^T`, so G is S + S^T with
    `S_ij = <T D_i, D_j>`.
    """

    def __init__(self, layer: Linear, arrived: Sequence[Float[Tensor, "N O"] | None]) -> None:
        self._layer = layer
        self._given = {task: one for task, one in enumerate(arrived) if one is not None}
        self._num_tasks = len(arrived)

    def gram(self, workspace: Workspace) -> Float[Tensor, "K K"]:
        """Of weight and bias together, in float64."""
        x, first = self._layer.entered, next(iter(self._given.values()))
        stacked = [self._given.get(task, torch.zeros_like(first)) for task in range(self._num_tasks)]
        place = partial(workspace.place, dtype=first.dtype, device=first.device)
        d = torch.stack(stacked, dim=1, out=place("left", len(x), len(stacked), first.shape[1]))
        td = place("through", *d.shape)
        size = -(-len(x) // NUM_BLOCKS)
        for start in range(0, len(x), size):
            stop = min(start + size, len(x))
            t = x[start:stop] @ x[start:].mT
            t[:, : stop - start] /= 2
            torch.mm(t, d[start:].flatten(1), out=td[start:stop].flatten(1))
        half = torch.bmm(td, d.mT).sum(dim=0, dtype=torch.float64)
        gram = half + half.mT
        return gram if self._layer.bias is None else gram + gram_of_rows(d.sum(dim=0))

    def add(self, weights: Sequence[float]) -> None:
        """Add the weighted sum of the tasks' gradients."""
        left = weighted_sum(list(self._given.values()), [weights[task] for task in self._given])
        add_gradient(self._layer.weight, left.mT @ self._layer.entered)
        if self._layer.bias is not None:
            add_gradient(self._layer.bias, left.sum(dim=0))


def products_are_cheaper(layer: Linear, *, num_tasks: int) -> bool:
    """Whether inner products of the weight's gradients take fewer multiplications than the gradients themselves.

    Only of float32 and float64: half precision would have to be widened first.
    """
    (num_rows, width), out = layer.entered.shape, layer.weight.shape[0]
    if layer.entered.dtype not in (torch.float32, torch.float64):
        return False
    share = (1 + 1 / NUM_BLOCKS) / 2
    products = share * num_rows**2 * (width + num_tasks * out) + num_rows * num_tasks**2 * out
    return products + num_rows * width * out < num_tasks * width * out * (num_rows + num_tasks)
