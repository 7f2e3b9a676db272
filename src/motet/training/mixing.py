"""A step on mixed rows: which rows are mixed, what the network decides about them, and what can not be learned so."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Int64
from torch import Tensor

from motet.core.errors import SpecError
from motet.core.flow import Batch, Tokens
from motet.inputs.base import InputSpec, Preparation
from motet.inputs.image import ImagePreparation
from motet.inputs.pretrained import PretrainedEncoder
from motet.model.network import Decision, Network
from motet.model.share import lender
from motet.nn import keys_of
from motet.tasks.row import RowTask
from motet.tasks.rules import Opinion
from motet.training.mix import AnyMix, Mixture


def mixed(
    network: Network, batches: Sequence[Batch], mix: AnyMix | None, *, seed: int, step: int, progress: float
) -> list[tuple[Batch, Mixture | None]]:
    """The batches with the inputs that their rows keep in this step, what is cut into them, and how rows are mixed."""
    found: list[tuple[Batch, Mixture | None]] = []
    for batch in batches:
        if mix is None:
            found.append((batch, None))
            continue
        keys = keys_of(batch.rows, seed, "step", step)
        batch = replace(batch, inputs=network.shown(batch.inputs, keys, progress=progress))
        mixture = Mixture.of(batch, mix, seed=seed, step=step)
        found.append((replace(batch, inputs=mixture.inputs(batch.inputs)), mixture))
    return found


def decided(
    network: Network, batch: Batch, mixture: Mixture | None, keys: Int64[Tensor, "B"], *, progress: float
) -> tuple[dict[str, Tokens], dict[str, Decision]]:
    """What is encoded of a batch, and what the network decides about its rows, mixed or not."""
    if mixture is None:
        tokens = network.encode(batch.inputs, keys, progress=progress)
        return tokens, network.decide(tokens, keys, batch.targets)
    tokens = network.encode_shown(batch.inputs, keys, progress=progress)
    decisions = network.decide(tokens, keys, mix=mixture.vectors)
    return tokens, {task: _twice(one) for task, one in decisions.items()}


def check_mixed(network: Network, mix: AnyMix, inputs: Mapping[str, tuple[InputSpec, Preparation]]) -> None:
    """Refuse, by `SpecError`, what can not learn from mixed rows."""
    if mix.kind == "cutmix":
        _check_pictures(network, inputs)
    for task, spec in sorted(network.tasks.items()):
        if not isinstance(spec, RowTask) or spec.whole_batch or spec.batched_by is not None:
            raise SpecError(
                f"training.mix: {spec.kind} ({task}) is not decided row by row from one vector, so there is no mixture "
                "of its labels; leave mix out, or this task"
            )
    if network.throttle.uses_singles:
        raise SpecError("training.mix: this balance.modalities judges inputs by unmixed labels; use modalities: none")
    if network.junction.balancer.looks_again:
        raise SpecError("training.mix: this balance.tasks looks at the losses of a step again; use another, or no mix")
    if network.fusion.separate or any(rule.rows_alike for _, rule in network.rules.items()):
        raise SpecError("training.mix: this fusion.rule has losses of its own; use rule: mean, or leave mix out")
    if mix.kind == "cutmix" and network.fusion.learns_alone:
        raise SpecError("training.mix: this fusion learns from unmixed inputs; use mixup, or another fusion")


def _check_pictures(network: Network, inputs: Mapping[str, tuple[InputSpec, Preparation]]) -> None:
    """Rectangles are cut out of single pictures of one size that are encoded in every step."""
    for name, (_, preparation) in sorted(inputs.items()):
        encoder = lender(network.encoders[name].encoder)
        frozen = isinstance(encoder, PretrainedEncoder) and encoder.frozen
        if not isinstance(preparation, ImagePreparation) or frozen:
            what = "an encoder that is frozen" if frozen else "not one picture in a row"
            raise SpecError(
                f"training.mix: cutmix is for pictures alone, one in a column, that an encoder learns to read; "
                f"inputs.{name} is {what}; use mixup"
            )
    sizes = {preparation.size for _, preparation in inputs.values() if isinstance(preparation, ImagePreparation)}
    if len(sizes) > 1:
        raise SpecError(f"training.mix: cutmix needs pictures of one size, found {sorted(sizes)}; set `size` of each")


def _twice(one: Decision) -> Decision:
    """To be judged by the row's own label, and by its partner's."""
    opinions = {
        stream: Opinion(*(torch.cat([each, each]) for each in (said.output, said.features, said.present, said.weight)))
        for stream, said in one.opinions.items()
    }
    return Decision(torch.cat([one.output, one.output]), opinions)
