"""Weights divided between processes: each keeps a part of every encoder and of the fusion, of their gradients, and of
what the optimiser remembers of them (FSDP2, torch's `fully_shard`).

A module is whole only while it runs: before it runs forward, and again before it runs backward, its parts are gathered,
and its gradients are added up over the processes part by part. Everything else of the network is whole in each process.
ZeRO, stage 3: Rajbhandari et al., SC 2020; as it is in PyTorch: Zhao et al., PVLDB 2023. Here gradients are summed, not
averaged. Where nothing is divided, all functions below do the plain thing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from motet.core.errors import SpecError
from motet.core.flow import Tokens
from motet.core.together import Together
from motet.model.network import Network

Tensors = Mapping[str, Tensor]


def divide(network: Network, together: Together, *, device: torch.device) -> None:
    """Leave to this process its part of the network, on its device. All processes have to begin with the same weights.

    From then on every process has to run the same batches' forward and backward passes, one by one.
    """
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.fsdp import FSDPModule, fully_shard

    assert together.group is not None
    mesh = DeviceMesh.from_group(together.group, device.type)
    for module in _bulk(network):
        opened: list[Any] = []
        module.register_forward_hook(_opening(opened))
        scalars = {one for one in module.parameters() if one.ndim == 0}  # have nothing to divide
        fully_shard(module, mesh=mesh, reshard_after_forward=True, ignored_params=scalars)
        module.register_forward_hook(_closing(opened))
        assert isinstance(module, FSDPModule)
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)  # gloo knows no other
        module.unshard()  # once here: what is first made whole while answering could not be trained
        module.reshard()
    for _, encoder in network.encoders.items():
        encoder.always = True
    network.to(device)
    network.junction.shared = None  # the list of what no longer is; nothing is compared there


def check_divisible(network: Network, *, watched: bool) -> None:
    """Refuse what needs the gradients of whole weights; `watched`: the experiment asks for `balance.watch`."""
    if network.junction.place == "parameters":
        raise SpecError(
            "training.shard: gradients of tasks can not be compared at the parameters (balance.tasks.at, which auto is "
            "where tasks meet in more than one place) that are divided between processes; use at: features or layer, "
            "another method or way of sharing, or shard: false"
        )
    if network.fusion.learns_alone:
        raise SpecError(
            "training.shard: the fusion has losses of its own, which take its weights when they are divided between "
            "processes; use another fusion or shard: false"
        )
    if watched and not compares_at_layer(network):
        raise SpecError(
            "training.shard: with this way of sharing balance.watch can only look at the parameters, which are divided "
            "between processes; use watch: 0 or shard: false"
        )


def compares_at_layer(network: Network) -> bool:
    """Whether tasks meet at one layer, where gradients can be compared without those of the parameters."""
    return all(one.fans_out for _, one in network.sharing.items())


def is_divided(tensor: Tensor) -> bool:
    """Whether this process holds only a part of it."""
    return hasattr(tensor, "full_tensor")


def local(tensor: Tensor) -> Tensor:
    """What this process holds of it."""
    return tensor.to_local() if is_divided(tensor) else tensor  # type: ignore[attr-defined]


def whole(tensors: Tensors, *, keep: bool = True) -> dict[str, Tensor]:
    """All of each tensor, on the CPU where it was divided; every process has to ask, who does not `keep` gets none."""
    found: dict[str, Tensor] = {}
    for name in sorted(tensors):
        one = tensors[name]
        full = one.detach().full_tensor() if is_divided(one) else one  # type: ignore[attr-defined]
        if keep:
            found[name] = full.cpu() if is_divided(one) else full
    return found


def parts(tensors: Tensors, like: Tensors) -> dict[str, Tensor]:
    """Whole tensors, divided as those in `like` of the same name; nothing is sent."""
    return {name: _divided_as(like[name], one) if name in like else one for name, one in tensors.items()}


def forget_idle(network: Network, ran: set[str], together: Together) -> None:
    """An encoder for which no process had a row has no gradient, rather than zeros: optimisers tell them apart.

    `ran` names the inputs that this process encoded in the step.
    """
    learned = network.encoder_parameters()
    counts = together.summed(torch.tensor([float(name in ran) for name in learned])).tolist()
    used = {id(one) for own, count in zip(learned.values(), counts, strict=True) if count for one in own}
    for one in (one for own in learned.values() for one in own):
        if is_divided(one) and id(one) not in used:
            one.grad = None


def had_rows(tokens: Mapping[str, Tokens]) -> set[str]:
    """The inputs that some row of the batch has."""
    return {name for name, one in tokens.items() if bool(one.present.any())}


def gradient_norm(parameters: Sequence[nn.Parameter], together: Together) -> Tensor:
    """The length of the whole gradient, the same in each process; of divided ones each adds its parts.

    >>> weight = nn.Parameter(torch.zeros(2))
    >>> weight.grad = torch.tensor([3.0, 4.0])
    >>> gradient_norm([weight], Together()).item()
    5.0
    """
    gradients = [(one.grad, is_divided(one)) for one in parameters if one.grad is not None]
    norm = nn.utils.get_total_norm([gradient for gradient, divided in gradients if not divided])
    own = [local(gradient) for gradient, divided in gradients if divided]
    if not own:
        return norm
    squares = together.summed(nn.utils.get_total_norm(own).double().square())
    return (norm.to(squares).square() + squares).sqrt()


def take_step(optimizer: torch.optim.Optimizer) -> None:
    """`optimizer.step()`: torch computes with lists of one sort, so once for what is whole and once for the parts."""
    moving = [one for group in optimizer.param_groups for one in group["params"] if one.grad is not None]
    if not any(map(is_divided, moving)):
        optimizer.step()
        return
    gradients = [one.grad for one in moving]
    for sort in (False, True):
        for one, gradient in zip(moving, gradients, strict=True):
            one.grad = gradient if is_divided(one) is sort else None
        optimizer.step()
    for one, gradient in zip(moving, gradients, strict=True):
        one.grad = gradient


def _bulk(network: Network) -> Iterator[nn.Module]:
    """What holds the most weights and is run by a call of its own: every encoder once, and the fusion."""
    for module in [*(one.encoder for _, one in network.encoders.items()), network.fusion]:
        if any(one.ndim for one in module.parameters()):
            yield module


def _divided_as(like: Tensor, tensor: Tensor) -> Tensor:
    if not is_divided(like):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    mesh, placements = like.device_mesh, like.placements  # type: ignore[attr-defined]
    return distribute_tensor(tensor.to(like.device), mesh, placements, src_data_rank=None)


def _opening(opened: list[Any]) -> Callable[..., tuple[Tensor, ...]]:
    """A hook that shows FSDP the bare tensors a module returns; it has to know when gradients come back to them."""

    def hook(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> tuple[Tensor, ...]:
        tensors: list[Tensor] = []
        opened.append(_owned(output, tensors))
        return tuple(tensors)

    return hook


def _closing(opened: list[Any]) -> Callable[..., Any]:
    """A hook that puts together again what `_opening` took apart."""

    def hook(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> Any:
        return opened.pop()

    return hook


def _owned(value: Any, tensors: list[Tensor]) -> Any:
    """The same structure, its tensors also in `tensors`; one that will be differentiated is no view of another."""
    if isinstance(value, Tensor):
        tensors.append(value.clone() if value.requires_grad and value._is_view() else value)
        return tensors[-1]
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{one.name: _owned(getattr(value, one.name), tensors) for one in fields(value)})
    if isinstance(value, Mapping):
        return {name: _owned(one, tensors) for name, one in value.items()}
    return value
