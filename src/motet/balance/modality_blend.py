"""The joint loss and those of each input alone, blended by how fast each overfits."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor, nn

from motet.balance.base import ThrottleSpec
from motet.balance.gradients import met
from motet.balance.gram import weighted_sum
from motet.balance.numbers import Means, Numbers
from motet.balance.singles import detached, single_terms
from motet.balance.throttle import Throttle, TokensByInput, ValidLosses
from motet.balance.witness import Witness
from motet.core.checks import did_you_mean
from motet.core.errors import SpecError
from motet.nn.named import Named

JOINT = ""
"""The name under which the joint decision stands among the inputs."""
LEAST = 0.01
"""Overfitting below this is taken for this: a gap that did not move would get all weight."""


class Losses(NamedTuple):
    """A loss at the end of an epoch."""

    valid: float
    train: float


Weights = Literal["auto", "equal"] | dict[str, Annotated[float, Field(ge=0)]]


class Blend(ThrottleSpec):
    """Gradient blending: encoders learn from the joint loss and from each input's own, weighed by how each overfits.

    `weights: equal` is the plain sum of the joint loss and the single-input losses, the baseline to run beside any
    other method.

    >>> Blend(weights={"photo": 0.5}).build({"photo": 8, "review": 4}, tasks={"price": None}).weighed()
    {'': 1.0, 'photo': 0.5, 'review': 1.0}
    """

    kind: Literal["blend"] = "blend"
    paper: ClassVar[str] = (
        "Wang, Tran & Feiszli, What Makes Training Multi-modal Classification Networks Hard?, CVPR 2020"
    )
    weights: Weights = Field(
        default="auto",
        description="auto: estimated from the losses; equal: 1 each; or a number per input beside 1 for the joint loss "
        "and 1 for an input that is not named.",
    )
    every: int = Field(default=5, ge=1, description="After how many epochs auto weights are estimated again.")

    def build(self, input_widths: Mapping[str, int], *, tasks: Mapping[str, int | None]) -> "BlendThrottle":
        """Refuses weights of inputs that do not exist."""
        for name in self.weights if isinstance(self.weights, dict) else ():
            if name not in input_widths:
                hint = did_you_mean(name, sorted(input_widths))
                raise SpecError(f"balance.modalities.weights: there is no input {name!r}{hint}")
        return BlendThrottle(list(input_widths), tasks=list(tasks), weights=self.weights, every=self.every)


class BlendThrottle(Throttle):
    """An input's encoder gets `w_0 g_joint + w_m g_m`, the gradients at its tokens of the joint loss and of its own.

    Wang, Tran & Feiszli, CVPR 2020: `w = G / O^2 / Z`, where over the last `every` epochs G is how much the validation
    loss fell and O how much the gap between validation and training loss grew, for each input's own loss and for the
    joint one, averaged over tasks. Here the weights add up to the number of losses, so that equal ones are 1.

    Deviations: the slopes are measured along the one run, from the end of the first epoch on, and not on copies of the
    network trained on each loss alone; training losses are the mean over the epoch, with dropout, validation losses
    those of the averaged weights. A loss that did not fall on the validation rows has weight 0, where the formula would
    turn its gradient round; if none fell, the weights stay; an O below 0.01 counts as 0.01. Weights act where the
    losses meet, at the tokens: each head has one loss only and keeps its gradient. Without validation rows auto weights
    stay equal, and a loss that can not be measured keeps its weight.

    The gradient of an input that a row lacks is not touched, and with one input there is nothing to blend: its head
    only watches.
    """

    uses_singles = True

    def __init__(
        self, inputs: Sequence[str], *, tasks: Sequence[str], weights: Weights = "auto", every: int = 5
    ) -> None:
        super().__init__()
        self.every, self.auto = every, weights == "auto"
        names = [JOINT, *inputs]
        self.weights = Numbers(names, start=(1.0,))
        for name, weight in weights.items() if isinstance(weights, dict) else ():
            self.weights[name].fill_(weight)
        self.trained = Named({name: Means(tasks) for name in names})
        self.mark = Numbers(names, start=(0.0, 0.0, 0.0))  # whether it is set, validation loss, training loss
        self.epoch: Tensor
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))

    def keep(
        self, present: Mapping[str, Bool[Tensor, "B"]], keys: Int64[Tensor, "B"]
    ) -> Mapping[str, Bool[Tensor, "B"]]:
        """All there is."""
        return present

    def forward(self, tokens: TokensByInput) -> tuple[TokensByInput, TokensByInput]:
        """The tokens twice, both of which teach the encoders."""
        if not self.training:
            return tokens, tokens
        return met(tokens, self._blended) if len(tokens) > 1 else (tokens, detached(tokens))

    def terms(self, witness: Witness) -> dict[str, Float[Tensor, ""]]:
        """The losses of the heads."""
        for task, rows in witness.joint.items():
            self.trained[JOINT].add(task, rows, witness.labelled[task])
            for name in witness.losses:
                self.trained[name].add(task, witness.losses[name][task], witness.counted[name][task])
        there = {name for name, one in witness.tokens.items() if bool(one.present.any())}
        weights = self.weighed()
        self.factors = {name: weights[name] if name in there else 1.0 for name in sorted(witness.tokens)}
        self.factors[JOINT] = weights[JOINT]
        return single_terms(witness)

    def weighed(self) -> dict[str, float]:
        """The weight of the joint loss, under the empty name, and of each input's own."""
        return {name: weight for name, (weight,) in self.weights.lists().items()}

    def after_backward(self, parameters: Mapping[str, Sequence[nn.Parameter]], *, key: int) -> None:
        """Nothing to do."""

    def epoch_end(self, valid: ValidLosses | None) -> None:
        """Every so often the weights are estimated anew."""
        self.epoch += 1
        now = self._measured(valid or {})
        for _, means in self.trained.items():
            means.clear()
        former = {name: Losses(*losses) for name, (known, *losses) in self.mark.lists().items() if known}
        if self.auto and (not former or int(self.epoch) % self.every == 0):
            self._estimate(former, now)
            for name, losses in now.items():
                self.mark[name].copy_(self.mark[name].new_tensor([1.0, *losses]))

    def row_weights(self, present: Mapping[str, Bool[Tensor, "N"]]) -> Float[Tensor, "N"] | None:
        """Once an epoch each."""
        return None

    def _measured(self, valid: ValidLosses) -> dict[str, Losses]:
        """The losses of the epoch, each the mean over the tasks that have both."""
        found = {}
        for name, means in self.trained.items():
            trained = means.found()
            tasks = [task for task, loss in sorted(valid.get(name, {}).items()) if task in trained and isfinite(loss)]
            if tasks:
                found[name] = Losses(
                    sum(valid[name][task] for task in tasks) / len(tasks),
                    sum(trained[task] for task in tasks) / len(tasks),
                )
        return found

    def _estimate(self, former: Mapping[str, Losses], now: Mapping[str, Losses]) -> None:
        """New weights for the losses measured twice; their sum stays."""
        weights = self.weighed()
        names = sorted(former.keys() & now.keys())
        merits = {name: merit(former[name], now[name]) for name in names}
        total = sum(merits.values())
        for name in names if total > 0 else ():
            self.weights[name].fill_(merits[name] / total * sum(weights[other] for other in names))

    def _blended(self, name: str, joint: Tensor | None, single: Tensor | None) -> Tensor:
        parts = [(joint, self.factors.get(JOINT, 1.0)), (single, self.factors.get(name, 1.0))]
        given = [(gradient, weight) for gradient, weight in parts if gradient is not None]
        return weighted_sum([gradient for gradient, _ in given], [weight for _, weight in given])


def merit(former: Losses, now: Losses) -> float:
    """`G / O^2`: how much better a loss became on the validation rows, over how much it overfitted on the way, squared.

    >>> merit(Losses(valid=1.0, train=1.0), Losses(valid=0.5, train=0.25))
    8.0
    """
    gained = former.valid - now.valid
    overfitted = (now.valid - now.train) - (former.valid - former.train)
    return max(gained, 0.0) / max(overfitted**2, LEAST**2)
