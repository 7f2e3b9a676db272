"""Rows mixed in pairs while training: their inputs, and in the same shares the losses of their labels.

B rows, T tokens, D width.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import BeforeValidator, Field
from torch import Tensor

from motet.core import seed as seeds
from motet.core.component import ComponentSpec, shorthand
from motet.core.errors import SpecError
from motet.core.flow import Batch, Cells, Tokens
from motet.model.network import Decision, Network
from motet.nn import hide
from motet.tasks.row import RowTask
from motet.tasks.rules import Opinion

PIXELS = "pixels"


class Mixup(ComponentSpec):
    """Every row is mixed with another: what is encoded of each input, and the losses of both rows' labels."""

    kind: Literal["mixup"] = "mixup"
    paper: ClassVar[str] = "Zhang et al., mixup, ICLR 2018; Verma et al., Manifold Mixup, ICML 2019"
    alpha: float = Field(default=0.2, gt=0, description="Of the Beta distribution of shares; more: more even mixtures.")


class CutMix(ComponentSpec):
    """As mixup, but a picture gets a rectangle of the other row's picture instead."""

    kind: Literal["cutmix"] = "cutmix"
    paper: ClassVar[str] = "Yun et al., CutMix, ICCV 2019"
    alpha: float = Field(default=1.0, gt=0, description="Of the Beta distribution of shares; more: more even mixtures.")


AnyMix = Annotated[Annotated[Mixup | CutMix, Field(discriminator="kind")], BeforeValidator(shorthand)]


@dataclass(frozen=True, slots=True)
class Mixture:
    """For each row of a batch its partner, its own share, at least one half, and the rectangle that is cut out.

        x~_i = s_i x_i + (1 - s_i) x_p(i)          L~_i = s_i L(f(x~_i), y_i) + (1 - s_i) L(f(x~_i), y_p(i))

    The rows 2i and 2i + 1 of a batch are partners and have one share, s = max(l, 1 - l), l ~ Beta(alpha, alpha): since
    both rows of a pair are there, that is the mixture of the papers. A last row without a partner stays as it is. The
    share is drawn from the pair's first row, so it does not depend on the other pairs. `corner` and `side` say where
    the rectangle is, in fractions of height and width; its area is 1 - s, and unlike in the paper it is never clipped.

    Mixed are the tokens of an input (Verma et al.), whatever its kind, where both rows have it; a token that one of the
    two has not counts as 0. A row keeps its own presence of an input: of one that its partner lacks it has its own.
    """

    partner: Int64[Tensor, "B"]
    share: Float[Tensor, "B"]
    corner: Float[Tensor, "B 2"] | None = None
    side: Float[Tensor, "B"] | None = None

    @classmethod
    def of(cls, rows: Int64[Tensor, "B"], spec: AnyMix, *, seed: int, step: int) -> "Mixture":
        """The mixture of these rows in this step.

        >>> Mixture.of(torch.arange(3), Mixup(), seed=0, step=0).partner.tolist()
        [1, 0, 2]
        """
        pairs, numbers = len(rows) // 2, rows.tolist()
        partner = torch.arange(len(rows))
        partner[: 2 * pairs] = partner[: 2 * pairs].view(-1, 2).flip(1).reshape(-1)
        drawn = [_drawn(spec.alpha, seed, step, numbers[2 * pair]) for pair in range(pairs)]
        table = np.repeat(np.array(drawn, dtype=np.float32).reshape(-1, 3), 2, axis=0)
        table = np.concatenate([table, np.ones((len(rows) - 2 * pairs, 3), dtype=np.float32)])
        share, corner = torch.from_numpy(table[:, 0]).to(rows.device), torch.from_numpy(table[:, 1:]).to(rows.device)
        if spec.kind == "mixup":
            return cls(partner.to(rows.device), share)
        side = (1 - share).sqrt()
        return cls(partner.to(rows.device), share, corner * (1 - side[:, None]), side)

    def labels(self, batch: Batch) -> Batch:
        """The batch whose targets are the rows' own and then their partners', and whose weights are their shares."""
        weights = torch.ones_like(self.share) if batch.weights is None else batch.weights
        weights = torch.cat([self.share * weights, (1 - self.share) * weights[self.partner]])
        targets = {name: _twice(one, one.rows(self.partner)) for name, one in batch.targets.items()}
        return replace(batch, targets=targets, weights=weights)

    def cut(self, inputs: Mapping[str, Cells]) -> dict[str, Cells]:
        """Pictures with a rectangle of their partner's, where both rows have one; everything else as it is."""
        return {name: self._cut(one) if self._is_cut(one) else one for name, one in inputs.items()}

    def tokens(self, tokens: Mapping[str, Tokens], inputs: Mapping[str, Cells]) -> dict[str, Tokens]:
        """The tokens of inputs that are not cut, mixed."""
        return {name: one if self._is_cut(inputs[name]) else self._mixed(one) for name, one in tokens.items()}

    def decisions(self, decisions: Mapping[str, Decision]) -> dict[str, Decision]:
        """Each row's decisions twice, to be judged by its own label and by its partner's."""
        return {task: _decided_twice(one) for task, one in decisions.items()}

    def _is_cut(self, cells: Cells) -> bool:
        return self.side is not None and PIXELS in cells.values and cells.values[PIXELS].dim() == 4

    def _cut(self, cells: Cells) -> Cells:
        assert self.side is not None
        assert self.corner is not None
        pixels = cells.values[PIXELS]
        within = [
            _between(size, self.corner[:, axis], self.corner[:, axis] + self.side)
            for axis, size in enumerate(pixels.shape[2:])
        ]
        both = (cells.present & cells.present[self.partner])[:, None, None]
        taken = within[0][:, :, None] & within[1][:, None, :] & both
        mixed = torch.where(taken[:, None], pixels[self.partner], pixels)
        return Cells({**cells.values, PIXELS: mixed}, cells.present)

    def _mixed(self, one: Tokens) -> Tokens:
        both = one.present & one.present[self.partner]
        own = torch.where(both, self.share, torch.ones_like(self.share)).to(one.values.dtype)[:, None, None]
        other = hide(one.values, one.mask)[self.partner]
        mixed = own * hide(one.values, one.mask) + torch.where(both[:, None, None], (1 - own) * other, 0)
        mask = one.mask | (one.mask[self.partner] & both[:, None])
        return Tokens(torch.where(both[:, None, None], mixed, one.values), mask, one.present)


def decided(
    network: Network, batch: Batch, mixture: Mixture | None, keys: Int64[Tensor, "B"], *, progress: float
) -> tuple[dict[str, Tokens], dict[str, Decision]]:
    """What is encoded of a batch, each row by itself, and what the network decides about its rows, mixed or not."""
    if mixture is None:
        tokens = network.encode(batch.inputs, keys, progress=progress)
        return tokens, network.decide(tokens, keys, batch.targets)
    inputs = mixture.cut(batch.inputs)
    tokens = network.encode(inputs, keys, progress=progress)
    return tokens, mixture.decisions(network.decide(mixture.tokens(tokens, inputs), keys, batch.targets))


def check_mixed(network: Network, *, several: bool) -> None:
    """Refuse, by `SpecError`, what can not learn from mixed rows."""
    if several:
        raise SpecError("training.mix: rows of a pair may lie in different processes; train in one, or leave mix out")
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


def _drawn(alpha: float, seed: int, step: int, row: int) -> tuple[float, float, float]:
    """A share, and where the rectangle lies in what is free."""
    chance = seeds.generator(seed, "mix", step, row)
    share = float(chance.beta(alpha, alpha))
    return max(share, 1 - share), float(chance.random()), float(chance.random())


def _between(size: int, start: Float[Tensor, "B"], end: Float[Tensor, "B"]) -> Tensor:
    """Which of `size` places lie, with their middles, between two fractions of the whole."""
    middles = (torch.arange(size, device=start.device) + 0.5) / size
    return (middles >= start[:, None]) & (middles < end[:, None])


def _twice(one: Cells, other: Cells) -> Cells:
    values = {name: torch.cat([value, other.values[name]]) for name, value in one.values.items()}
    return Cells(values, torch.cat([one.present, other.present]))


def _decided_twice(one: Decision) -> Decision:
    opinions = {
        stream: Opinion(*(torch.cat([each, each]) for each in (said.output, said.features, said.present, said.weight)))
        for stream, said in one.opinions.items()
    }
    return Decision(torch.cat([one.output, one.output]), opinions)
