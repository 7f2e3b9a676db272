"""A trained network as a graph of tensor operations: `torch.export`, for any number of rows and whoever is absent.

B rows, T tokens of a sequence.
"""

import contextlib
import copy
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from motet.core.flow import Cells
from motet.model.network import Network

PRESENT = "present"
REAL = ("mask", "there")
"""What an input may call the tensor `[B, T]` that says which of its places are real."""


class Exportable(nn.Module):
    """A network whose arguments are the tensors of `flat`, in that order, and whose answer is `{task: output}`.

    `names` says which argument is what: the input and the name of its tensor.
    """

    def __init__(self, network: Network, *, names: tuple[tuple[str, str], ...]) -> None:
        super().__init__()
        self.network = network
        self.names = names

    def forward(self, *tensors: Tensor) -> dict[str, Tensor]:
        """What each task is answered, as in `Decision.output`."""
        given: dict[str, dict[str, Tensor]] = {}
        for (name, part), tensor in zip(self.names, tensors, strict=True):
            given.setdefault(name, {})[part] = tensor
        cells = {name: Cells(parts, parts.pop(PRESENT)) for name, parts in given.items()}
        return {task: decision.output for task, decision in self.network(cells).items()}


def flat(inputs: Mapping[str, Cells]) -> dict[tuple[str, str], Tensor]:
    """What an exported network takes, in its order: of each input its tensors, sorted by name, then who has it.

    >>> number = Cells({"features": torch.zeros(2, 3)}, torch.tensor([True, False]))
    >>> list(flat({"size": number, "age": number}))
    [('age', 'features'), ('age', 'present'), ('size', 'features'), ('size', 'present')]
    """
    return {
        (name, part): tensor
        for name in sorted(inputs)
        for part, tensor in [*sorted(inputs[name].values.items()), (PRESENT, inputs[name].present)]
    }


def exportable(
    network: Network, inputs: Mapping[str, Cells]
) -> tuple[Exportable, tuple[Tensor, ...], tuple[tuple[dict[int, Any], ...]]]:
    """A copy of the network in evaluation mode, and what `torch.export.export` needs beside it.

    That is the arguments for an example batch, and its `dynamic_shapes`: the number of rows is free, and so is the
    length of a sequence where torch finds that the graph holds for others.
    """
    from torch.export import Dim

    device = next(network.parameters()).device
    example = {name: _several(cells) for name, cells in inputs.items()}
    tensors = {name: _own(tensor.to(device)) for name, tensor in flat(example).items()}
    module = Exportable(copy.deepcopy(network), names=tuple(tensors)).eval()
    shapes = tuple(
        {0: Dim.DYNAMIC, 1: Dim.AUTO} if _has_places(example[name], part) else {0: Dim.DYNAMIC}
        for name, part in tensors
    )
    return module, tuple(tensors.values()), (shapes,)


def export(network: Network, inputs: Mapping[str, Cells]) -> "torch.export.ExportedProgram":
    """The graph of a network in evaluation mode, with a copy of its weights, made at an example batch of any size.

    Whether an input is present is an argument like any other; the content of absent cells does not matter, NaN
    included. `range_constraints` tells how long sequences may be: a transformer ends at its last learned place. A GRU
    stays one operation; what takes it apart (`run_decompositions`, and what lowers a program) fixes its length anew.
    """
    module, arguments, shapes = exportable(network, inputs)
    with torch.no_grad(), _free_recurrent_lengths(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"(?s).*_flat_weights")  # a GRU's own list of its parameters
        return torch.export.export(module, arguments, dynamic_shapes=shapes)


def _has_places(cells: Cells, part: str) -> bool:
    """Whether a tensor is `[B, T, ...]`, with others that say which of T are real."""
    shapes = {mask: cells.values[mask].shape for mask in REAL if mask in cells.values}
    return part in cells.values and cells.values[part].shape[:2] in shapes.values()


def _several(cells: Cells) -> Cells:
    """At least two rows and two places, blank if need be: torch takes a size of 1 for one that never changes."""
    return Cells({part: _grown(cells, part) for part in cells.values}, _doubled(cells.present))


def _grown(cells: Cells, part: str) -> Tensor:
    tensor = cells.values[part]
    if _has_places(cells, part) and tensor.shape[1] == 1:
        tensor = torch.cat([tensor, torch.zeros_like(tensor)], dim=1)
    return _doubled(tensor)


def _own(tensor: Tensor) -> Tensor:
    """In memory of its own: of a view torch would remember the whole."""
    return tensor.clone(memory_format=torch.contiguous_format)


def _doubled(tensor: Tensor) -> Tensor:
    return torch.cat([tensor, tensor]) if tensor.shape[0] == 1 else tensor


@contextlib.contextmanager
def _free_recurrent_lengths() -> Iterator[None]:
    """A GRU in the graph stays one operation, of which torch needs the shapes alone.

    To find them it would unroll the GRU over the example, which fixes the length; here they are simply stated. Where
    torch has no such place for them the length stays fixed.
    """
    gru: Any = torch.ops.aten.gru.input
    composite = torch._C.DispatchKey.CompositeImplicitAutograd
    kernels, cache = getattr(gru, "py_kernels", {}), getattr(gru, "_dispatch_cache", {})
    unrolled = kernels.get(composite)
    cache.clear()
    kernels[composite] = _gru_shapes
    try:
        yield
    finally:
        cache.clear()
        del kernels[composite]
        kernels.update({composite: unrolled} if unrolled else {})


def _gru_shapes(x: Tensor, state: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    """Empty tensors for `output [B, T, H * directions]` and the last `state [layers * directions, B, H]`."""
    bidirectional = rest[5]
    return x.new_empty(*x.shape[:2], state.shape[2] * (1 + bidirectional)), torch.empty_like(state)
