"""The tasks' exact gradients of all shared parameters: one pass per task through the graph behind the junction.

K tasks, N rows (times tokens) that meet a linear layer of I inputs and O outputs, P numbers in all parameters.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from motet.balance.gram import Workspace, gram_of_rows, weighted_sum
from motet.balance.parameters import Linear, SharedParameters, add_gradients, split

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

    def add(self, weights: Sequence[float], *, beside: Float[Tensor, "P"] | None = None) -> None:
        """Add `sum_k w_k g_k`, and what is to come `beside`, to the parameters' gradients.

        One that nothing came to keeps its own as it is.
        """
        combined = self._rows.new_tensor(weights) @ self._rows
        if beside is not None:
            combined += beside
        plain = zip(self._leaves, split(combined, self._leaves), self._moved, strict=True)
        changes = [(leaf, part) for leaf, part, moved in plain if moved or beside is not None]
        changes += [change for layer in self._layers for change in layer.changes(weights)]
        add_gradients([leaf for leaf, _ in changes], [change for _, change in changes])

    def _sent(
        self, gradients: Sequence[Tensor | None], parameters: SharedParameters, row: Tensor, layers: Sequence[Linear]
    ) -> tuple[Tensor | None, ...]:
        """Fill one task's row; what came to the outputs of these layers."""
        found = parameters.arriving(gradients, layers, self._leaves)
        for index, (part, gradient) in enumerate(zip(split(row, self._leaves), found[len(layers) :], strict=True)):
            if gradient is None:
                part.zero_()
            else:
                part.copy_(gradient.reshape(-1))
                self._moved[index] = True
        return found[: len(layers)]


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
        """Of weight and bias together, in float64; all in float64 where float32 overflows."""
        first = next(iter(self._given.values()))
        stacked = [self._given.get(task, torch.zeros_like(first)) for task in range(self._num_tasks)]
        shape = (len(first), len(stacked), first.shape[1])
        place = workspace.place("left", *shape, dtype=first.dtype, device=first.device)
        d = torch.stack(stacked, dim=1, out=place)
        gram = _products(self._layer.entered, d)
        if not gram.isfinite().all():
            gram = _products(self._layer.entered.double(), d.double())
        return gram if self._layer.bias is None else gram + gram_of_rows(d.sum(dim=0))

    def changes(self, weights: Sequence[float]) -> list[tuple[Tensor, Tensor]]:
        """The weighted sum of the tasks' gradients, for the weight and the bias."""
        combined = weighted_sum(list(self._given.values()), [weights[task] for task in self._given])
        found = [(self._layer.weight, combined.mT @ self._layer.entered)]
        return found if self._layer.bias is None else [*found, (self._layer.bias, combined.sum(dim=0))]


def _products(x: Float[Tensor, "N I"], d: Float[Tensor, "N K O"]) -> Float[Tensor, "K K"]:
    """`<D_i^T X, D_j^T X>`, row block by row block."""
    half, size = torch.zeros(d.shape[1], d.shape[1], dtype=torch.float64, device=d.device), -(-len(x) // NUM_BLOCKS)
    for start in range(0, len(x), size):
        stop = min(start + size, len(x))
        t = x[start:stop] @ x[start:].mT
        t[:, : stop - start] /= 2
        through = (t @ d[start:].flatten(1)).view_as(d[start:stop])
        half += torch.bmm(through, d[start:stop].mT).sum(dim=0, dtype=torch.float64)
    return half + half.mT


def products_are_cheaper(layer: Linear, *, num_tasks: int) -> bool:
    """Whether inner products of the weight's gradients take fewer multiplications than the gradients themselves.

    Only of float32 and float64: half precision would have to be widened first.
    """
    (num_rows, width), out = layer.entered.shape, layer.weight.shape[0]
    if num_rows == 0 or layer.entered.dtype not in (torch.float32, torch.float64):
        return False
    share = (1 + 1 / NUM_BLOCKS) / 2
    products = share * num_rows**2 * (width + num_tasks * out) + num_rows * num_tasks**2 * out
    return products + num_rows * width * out < num_tasks * width * out * (num_rows + num_tasks)
