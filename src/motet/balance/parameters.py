"""The shared parameters, found by walking the graph behind the junction.

N rows (times tokens) that meet a linear layer of I inputs, P numbers in all parameters.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge

from motet.core.errors import SpecError

BEHIND = "_motet_junction"
"""Marks the tensor at which a junction at the parameters ends the graph of what lies before it."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear layer in the graph: where its output's gradient arrives, what came in, and what it learns."""

    output: GradientEdge
    entered: Float[Tensor, "N I"]
    weight: Tensor
    bias: Tensor | None

    @property
    def leaves(self) -> list[Tensor]:
        """What it learns."""
        return [self.weight] if self.bias is None else [self.weight, self.bias]


class SharedParameters:
    """The parameters that the graph behind some tensors leads to; found by walking it, so nobody has to list them.

    A list is needed only where processes have to agree on it: in each the graph holds what its own rows went through.
    `linear` are the linear layers whose weight and bias are used nowhere else. `plain` says that `add` does for every
    leaf of the graph what a backward would do: none is missing in the list, and none is changed by a hook or complex.

    Raises: `SpecError` where the graph ends at another junction that takes its gradients at the parameters.
    """

    def __init__(self, roots: Sequence[GradientEdge], listed: Sequence[Tensor] | None = None) -> None:
        self.roots = list(roots)
        nodes = list(_walk([root.node for root in self.roots]))
        uses = Counter(edge for node in nodes for edge, _ in node.next_functions if edge is not None)
        found = [variable for node in nodes if (variable := _leaf(node)) is not None]
        self.leaves = found if listed is None else list(listed)
        if any(hasattr(leaf, BEHIND) for leaf in found):
            raise SpecError("at: parameters: what lies behind this junction goes through another one at the parameters")
        known = {id(leaf) for leaf in self.leaves}
        self.plain = not any(id(one) not in known or one._backward_hooks or one.is_complex() for one in found)
        self.linear = [layer for node in nodes if (layer := _linear(node, uses)) is not None]

    def arriving(
        self, gradients: Sequence[Tensor | None], layers: Sequence[Linear], leaves: Sequence[Tensor]
    ) -> tuple[Tensor | None, ...]:
        """What arrives at the outputs of these layers and at these leaves when gradients are sent in at the roots."""
        wanted = [*(layer.output for layer in layers), *(get_gradient_edge(leaf) for leaf in leaves)]
        given = [(root, g) for root, g in zip(self.roots, gradients, strict=True) if g is not None]
        if not given or not wanted:
            return (None,) * len(wanted)
        roots, grads = [root for root, _ in given], [g for _, g in given]
        return torch.autograd.grad(roots, wanted, grads, retain_graph=True, allow_unused=True)

    def add(self, row: Float[Tensor, "P"]) -> None:
        """Add one row to the gradients of `leaves`; what a backward under way adds comes on top."""
        add_gradients(self.leaves, split(row, self.leaves))


def split(row: Float[Tensor, "P"], leaves: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The part of the row that belongs to each leaf, flat."""
    return torch.split(row, [leaf.numel() for leaf in leaves])


def add_gradients(leaves: Sequence[Tensor], changes: Sequence[Tensor]) -> None:
    """Add to the leaves' gradients in their precision, as a backward does: what waits for a gradient hears of it."""
    if leaves:
        own = [change.view_as(leaf).to(leaf) for leaf, change in zip(leaves, changes, strict=True)]
        torch.autograd.backward(list(leaves), own)


def _walk(roots: Sequence[Node]) -> Iterator[Node]:
    """Every node behind these, each once."""
    seen: set[Node] = set()
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        yield node
        waiting += [following for following, _ in node.next_functions if following is not None]


def _leaf(node: Node) -> Tensor | None:
    """The tensor whose gradient this node accumulates."""
    return getattr(node, "variable", None)


def _linear(node: Node, uses: Counter[Node]) -> Linear | None:
    """The linear layer `x W^T + b` this node computed, if W and b are leaves used nowhere else, and nobody's hook is on
    them.
    """
    mats = {"AddmmBackward0": ("_saved_mat1", 2, 0), "MmBackward0": ("_saved_self", 1, None)}
    if node.name() not in mats:
        return None
    saved, weight_at, bias_at = mats[node.name()]
    turned = node.next_functions[weight_at][0]
    if turned is None or turned.name() != "TBackward0" or uses[turned] > 1:
        return None
    held = turned.next_functions[0][0]
    bias_node = None if bias_at is None else node.next_functions[bias_at][0]
    if held is None or any(one is not None and (_leaf(one) is None or uses[one] > 1) for one in (held, bias_node)):
        return None
    weight, bias = _leaf(held), None if bias_node is None else _leaf(bias_node)
    assert weight is not None
    scaled = any(getattr(node, f"_saved_{name}", 1) != 1 for name in ("alpha", "beta"))
    if scaled or (bias is not None and bias.shape != weight.shape[:1]):
        return None
    if any(one is not None and one._backward_hooks for one in (weight, bias)):
        return None
    return Linear(GradientEdge(node, 0), getattr(node, saved), weight, bias)
