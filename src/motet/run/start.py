"""The weights of a model to start from, put into a fresh network: as much of them as means the same there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from motet.core.errors import SpecError
from motet.fusion.base import FusionSpec
from motet.inputs.pretrained.lora import BASE, OF_LORA
from motet.model import Network
from motet.model.share import lender
from motet.run.init_from import WHERE, Start
from motet.sharing.base import SharingSpec

NO_WEIGHTS = frozenset({"auxiliary", "dropout", "folds", "rule", "separate"})
"""Fields of fusion and sharing that may differ: what their weights mean does not depend on them."""


@dataclass(frozen=True)
class Taken:
    """What was taken: by input whose encoder, and of fusion and trunk how many tensors of how many."""

    inputs: Mapping[str, str]
    fusion: tuple[int, int]
    trunk: tuple[int, int]
    afresh: Sequence[str] = field(default_factory=tuple)

    def document(self) -> dict[str, Any]:
        """For the log."""
        return {
            "inputs": dict(self.inputs),
            "fusion": list(self.fusion),
            "trunk": list(self.trunk),
            "afresh": list(self.afresh),
        }

    def text(self) -> str:
        """For people: what was taken, and what starts afresh."""
        names = [here if here == there else f"{here} (there {there})" for here, there in self.inputs.items()]
        parts = [f"input{'s' * (len(names) > 1)} {', '.join(names)}"]
        parts += [
            f"{what} ({count} of {total} tensors)"
            for what, (count, total) in (("fusion", self.fusion), ("trunk", self.trunk))
            if count
        ]
        return f"{', '.join(parts)}; afresh: {', '.join(self.afresh)}"


def give(start: Start, network: Network, *, fusion: FusionSpec, sharing: SharingSpec) -> Taken:
    """Put what is taken into the network; `fusion` and `sharing` are the Specs it was built of.

    Encoders with their absent tokens are taken whole. Of the fusion all is taken where it is the same over the same
    inputs. Over other inputs its tensors are taken by their names, if they belong to an input that is taken or to none,
    and would be the same with any other inputs. The trunk is taken but for what belongs to a task, if what it reads
    means the same: that of every stream, or, of a fusion with a tensor that mixes all inputs at once (concat), those of
    single inputs. Heads, priors and what balances the tasks belong to labels: they start afresh.
    """
    for here, there in start.inputs.items():
        _give_encoder(start, network, here, there)
    others = start.source.network.encoders
    for name, one in network.encoders.items():
        if not _own(one.encoder) and name in others and one.absent.shape == others[name].absent.shape:
            one.absent.data.copy_(others[name].absent)
    fused, streams = _give_fusion(start, network, fusion)
    trunk = _give_trunk(start, network, sharing, streams)
    tensors = len(network.fusion.state_dict()), sum(len(one.state_dict()) for _, one in network.sharing.items())
    found = (fused, tensors[0]), (trunk, tensors[1])
    return Taken(dict(start.inputs), *found, _afresh(start, network, *found))


def _give_encoder(start: Start, network: Network, here: str, there: str) -> None:
    """Encoder and absent token; `SpecError` where a tensor is not as it was."""
    own, source = network.encoders[here], start.source.network.encoders[there]
    lent = lender(source.encoder)
    weights, shapes = lent.state_dict(), _shapes(own.encoder)
    if shapes.keys() != weights.keys():
        weights, shapes = (
            _without_lora(lent),
            {_plain(name): one for name, one in shapes.items() if OF_LORA not in name},
        )
    expected = {name: tuple(one.shape) for name, one in weights.items()}
    for name in sorted(shapes.keys() | expected.keys()):
        if shapes.get(name) != expected.get(name):
            raise SpecError(
                f"inputs.{here}: its encoder has {name} of shape {shapes.get(name)}, but expected "
                f"{expected.get(name)}, as {there!r} has in {start.run}, which {WHERE} takes it from; write the input "
                "as it is there, or name the inputs that are taken by "
                f"{WHERE}: {{run: ..., inputs: {{...}}}}, without this one"
            )
    known = {name: weights.get(name, weights.get(_plain(name))) for name in own.encoder.state_dict()}
    own.encoder.load_state_dict({name: one for name, one in known.items() if one is not None}, strict=False)
    own.absent.data.copy_(source.absent)


def _without_lora(encoder: nn.Module) -> dict[str, Tensor]:
    """The weights under the names they have without small matrices beside them, these added to what they lie beside:
    `W + B A`, so that the encoder says what it said.
    """
    found = {_plain(name): one for name, one in encoder.state_dict().items() if OF_LORA not in name}
    for name, module in encoder.named_modules():
        beside: Any = getattr(module, "get_delta_weight", None)
        for adapter in getattr(module, "lora_A", ()) if beside else ():
            found[f"{name}.weight"] = found[f"{name}.weight"] + beside(adapter).detach()
    return found


def _plain(name: str) -> str:
    return name.replace(BASE, "")


def _over_the_same_inputs(start: Start, network: Network) -> bool:
    """Whether all inputs here are taken, and are all there are there, in the order in which a fusion has them."""
    names = dict(start.inputs) | {name: name for name, one in network.encoders.items() if not _own(one.encoder)}
    return [names.get(name) for name in sorted(network.encoders)] == sorted(start.source.network.encoders)


def _give_fusion(start: Start, network: Network, spec: FusionSpec) -> tuple[int, dict[str, str]]:
    """How many tensors were taken; and of the streams that mean what they meant, the names there."""
    own, theirs = network.fusion, start.source.network.fusion
    if not _same(start.bundle.model["fusion"], spec):
        return 0, {}
    if _over_the_same_inputs(start, network):
        count = _copy_in_order(own, theirs)
        return count, dict(zip(own.streams, theirs.streams, strict=True)) if count == len(own.state_dict()) else {}
    probe = _over_other_inputs(start, network, spec)
    if probe is None:
        return 0, {}
    known, shapes = _shapes(probe), _shapes(own)
    mixes = any(known[name] != shapes[name] for name in known.keys() & shapes.keys())
    streams = [name for name in own.streams if name in theirs.streams and (not mixes or name in start.inputs)]
    return (_copy(own, theirs, names=_alike(own, probe)) if streams else 0), {name: name for name in streams}


def _over_other_inputs(start: Start, network: Network, spec: FusionSpec) -> nn.Module | None:
    """The fusion over the inputs that are taken under their names, and others, one more than there are and wider.

    None where it takes no such inputs.
    """
    widths = {name: encoder.output_width for name, encoder in network.encoders.items()}
    grids = {name: grid for name, one in network.encoders.items() if (grid := one.encoder.output_grid) is not None}
    taken = {name: widths[name] for name in widths if start.inputs.get(name) == name}
    others = [f"another input {number}" for number in range(len(widths) - len(taken) + 1)]
    grid = next(iter(grids.values()), None)
    beside = {} if grid is None else dict.fromkeys(others, grid)
    try:
        with torch.random.fork_rng(devices=[]):
            return spec.build(taken | dict.fromkeys(others, 1 + sum(widths.values())), grids=grids | beside)
    except SpecError:
        return None


def _give_trunk(start: Start, network: Network, spec: SharingSpec, streams: Mapping[str, str]) -> int:
    """Of each of these streams what no task has for itself: what would be there with other tasks, and one more."""
    source, count = start.source.network, 0
    if not _same(start.bundle.model["sharing"], spec):
        return 0
    others = [f"another task {number}" for number in range(len(network.tasks) + 1)]
    for here, there in streams.items():
        with torch.random.fork_rng(devices=[]):
            probe = spec.build(network.fusion.output_width, tasks=others)
        own = network.sharing[here]
        count += _copy(own, source.sharing[there], names=_alike(own, probe))
    return count


def _copy_in_order(own: nn.Module, theirs: nn.Module) -> int:
    """Tensor by tensor in their order, which is that of the inputs, however these are called; none unless all fit."""
    tensors, weights = own.state_dict(), list(theirs.state_dict().values())
    if [one.shape for one in tensors.values()] != [one.shape for one in weights]:
        return 0
    own.load_state_dict(dict(zip(tensors, weights, strict=True)))
    return len(tensors)


def _copy(own: nn.Module, theirs: nn.Module, *, names: set[str]) -> int:
    weights = theirs.state_dict()
    found: dict[str, Tensor] = {name: weights[name] for name in sorted(_alike(own, theirs) & names)}
    own.load_state_dict(found, strict=False)
    return len(found)


def _alike(one: nn.Module, other: nn.Module) -> set[str]:
    """The names of tensors that both have, of one shape."""
    return {name for name, shape in _shapes(other).items() if _shapes(one).get(name) == shape}


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(one.shape) for name, one in module.state_dict().items()}


def _same(theirs: Mapping[str, Any], spec: FusionSpec | SharingSpec) -> bool:
    return _meaning(theirs) == _meaning(spec.model_dump(mode="json"))


def _meaning(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _meaning(value) if isinstance(value, Mapping) and "kind" in value else value
        for name, value in fields.items()
        if name not in NO_WEIGHTS
    }


def _afresh(start: Start, network: Network, fusion: tuple[int, int], trunk: tuple[int, int]) -> list[str]:
    """What starts from chance or from the priors."""
    own = [f"input {name}" for name, one in network.encoders.items() if _own(one.encoder) and name not in start.inputs]
    rooms = {"fusion": fusion, "trunk": trunk}
    rest = [f"{'the rest of the ' * (count > 0)}{what}" for what, (count, total) in rooms.items() if count < total]
    heads = sorted(network.tasks)
    return [*own, *rest, f"the head{'s' * (len(heads) > 1)} of {', '.join(heads)}"]


def _own(encoder: nn.Module) -> bool:
    return lender(encoder) is encoder  # type: ignore[arg-type]
