"""The node of the graph where the tasks' gradients meet, and what it can see of them there.

K tasks, B rows, H width of the shared features.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.autograd.graph import GradientEdge, get_gradient_edge

from motet.balance.base import Place
from motet.balance.given import Given
from motet.balance.gram import Workspace
from motet.balance.parameters import BEHIND, SharedParameters
from motet.balance.passes import Passes
from motet.nn.keyed import current_row_keys, uniform

Combine = Callable[["Meeting"], list[Tensor | None]]
"""What a meeting makes of its gradients: one for each stream."""
SALT = 0x6A756E63


def part(
    streams: Mapping[str, Float[Tensor, "B *H"]], *, tasks: Sequence[str], combine: Combine, apart: bool = False
) -> dict[str, dict[str, Float[Tensor, "B *H"]]]:
    """`{task: {stream: z}}`: every stream once per task, all from one node; on the way back `combine` is asked once.

    With `apart` the backward ends at the node, which itself sends on what `combine` returns: only where that is not
    None does anything pass through the graph behind z once more.
    """
    # The compiler can not follow a node of our own: it has to stop before it and go on behind it.
    node = torch.compiler.disable(_Node.apply) if torch.compiler.is_compiling() else _Node.apply  # type: ignore[no-untyped-call]
    edges = [get_gradient_edge(z) if z.requires_grad else None for z in streams.values()]
    given = [_end_of(z) if apart else z for z in streams.values()]
    copies = iter(node(combine, len(tasks), edges, apart, *given))
    by_stream = {stream: {task: next(copies) for task in tasks} for stream in streams}
    return {task: {stream: by_stream[stream][task] for stream in streams} for task in tasks}


def _end_of(z: Tensor) -> Tensor:
    """Where the graph that is differentiated begins anew; a junction behind must not take it for a parameter."""
    end = z.detach().requires_grad_(z.requires_grad)
    setattr(end, BEHIND, True)
    return end


class Meeting:
    """The gradients of one backward, and the places where they can be compared."""

    def __init__(
        self,
        gradients: Sequence[Sequence[Tensor | None]],
        *,
        streams: Sequence[Tensor],
        edges: Sequence[GradientEdge | None],
        keys: Int64[Tensor, "B"] | None,
    ) -> None:
        self.workspace = Workspace()
        self.flat = False
        """Whether every shared parameter's gradients are needed as they are."""
        self.listed: Sequence[Tensor] | None = None
        """All shared parameters, where the graph alone does not tell."""
        self.beside: Float[Tensor, "P"] | None = None
        """What the shared parameters' gradients get on top of the weighted sum."""
        self.given = [Given(group) for group in gradients]
        self.streams, self.keys = streams, keys
        self._gradients, self._edges = gradients, edges

    @property
    def empty(self) -> bool:
        """Whether nothing came back."""
        return not any(one.tasks for one in self.given)

    @cached_property
    def parameters(self) -> SharedParameters:
        """All that the streams were computed from and that learns."""
        return SharedParameters([edge for edge in self._edges if edge is not None], self.listed)

    @cached_property
    def passes(self) -> Passes:
        """What the gradients come to at the parameters."""
        return Passes(self.parameters, self._by_task(), flat=self.flat, workspace=self.workspace)

    def gram(self, place: Place) -> Float[Tensor, "K K"]:
        """The Gram matrix of the tasks' gradients there, on the CPU in float64."""
        if place == "features":
            num_tasks = self.given[0].num_tasks
            nothing = torch.zeros(num_tasks, num_tasks, dtype=torch.float64)
            return torch.stack([nothing, *(one.gram(self.workspace) for one in self.given if one.tasks)]).sum(dim=0)
        if place == "parameters":
            return self.passes.gram()
        rows = self.rows(place)
        return (rows @ rows.mT).cpu()

    def rows(self, place: Place) -> Float[Tensor, "K N"]:
        """The tasks' gradients there, one row each."""
        if place == "parameters":
            return self.passes.rows
        pairs = zip(self.given, self.streams, strict=True)
        return torch.cat([one.layer_rows(z) for one, z in pairs], dim=1)

    def chance(self, index: int) -> Float[Tensor, "B *H"]:
        """A uniform number for each element of a stream, by the key of its row; drawn in turn where rows have none."""
        z = self.streams[index]
        if self.keys is None:
            return torch.rand(z.shape, device=z.device)
        return uniform(self.keys, salt=SALT + index, count=z[0].numel()).view_as(z)

    def combined(self, weights: Sequence[float], *, at: Place | None = None) -> list[Tensor | None]:
        """Each stream's gradients, weighted and added.

        Where they were already followed to the parameters these are given theirs, and nothing is left to pass on.
        """
        if at == "parameters" and self.parameters.plain:
            self.passes.add(weights, beside=self.beside)
            return [None] * len(self.given)
        if self.beside is not None:
            self.parameters.add(self.beside)
        return [one.combined(weights) if one.tasks else None for one in self.given]

    def _by_task(self) -> list[list[Tensor | None]]:
        """The gradients at the streams that have an edge, by task."""
        live = [group for group, edge in zip(self._gradients, self._edges, strict=True) if edge is not None]
        return [list(task) for task in zip(*live, strict=True)]


class _Node(torch.autograd.Function):
    """Forward: every stream once per task. Backward: the combined gradient of every stream."""

    @staticmethod
    def forward(
        ctx: Any, combine: Combine, num_tasks: int, edges: Sequence[GradientEdge | None], apart: bool, *streams: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.combine, ctx.num_tasks, ctx.edges, ctx.apart = combine, num_tasks, edges, apart
        ctx.keys = current_row_keys()
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*streams)
        return tuple(z.view_as(z) for z in streams for _ in range(num_tasks))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        if ctx.apart and torch.is_grad_enabled():
            raise RuntimeError("a junction at the parameters can not be differentiated twice; leave out create_graph")
        return _Node.once(ctx, *gradients)

    @staticmethod
    @once_differentiable
    def once(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """The gradients met, combined, and sent on."""
        per_stream = [gradients[start : start + ctx.num_tasks] for start in range(0, len(gradients), ctx.num_tasks)]
        wanted = [edge is not None for edge in ctx.edges]
        shown = [group if want else (None,) * ctx.num_tasks for group, want in zip(per_stream, wanted, strict=True)]
        meeting = Meeting(shown, streams=ctx.saved_tensors, edges=ctx.edges, keys=ctx.keys)
        with torch.autocast(ctx.saved_tensors[0].device.type, enabled=False):
            combined = ctx.combine(meeting)
        if ctx.apart:
            left = [(edge, one) for edge, one in zip(ctx.edges, combined, strict=True) if edge and one is not None]
            if left:
                torch.autograd.backward([edge for edge, _ in left], [one for _, one in left], retain_graph=True)
            combined = [None] * len(combined)
        return (None, None, None, None, *combined)
