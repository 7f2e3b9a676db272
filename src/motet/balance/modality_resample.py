"""Inputs that contribute little are shown by themselves, and rows that hold a rare input are drawn more often."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor, nn

from motet.balance.base import ThrottleSpec
from motet.balance.numbers import Means, Numbers
from motet.balance.shapley import shapley
from motet.balance.singles import detached, single_terms
from motet.balance.throttle import Throttle, TokensByInput, ValidLosses
from motet.balance.witness import ByTask, Witness
from motet.core.seed import key
from motet.nn.keyed import uniform
from motet.nn.named import Named

SAMPLED = 5
"""Contributions are estimated on every fifth batch: on a fifth of the rows, as in the paper's code."""


class Resample(ThrottleSpec):
    """Valuation and resampling: rows in which only an input of low contribution is shown, more of them the lower it is.

    >>> throttle = Resample(scarce=0.5).build({"photo": 8, "review": 4}, tasks={"price": None})
    >>> throttle.row_weights({"photo": torch.tensor([1, 0, 0, 0]) > 0, "review": torch.ones(4) > 0}).tolist()
    [1.600000023841858, 0.800000011920929, 0.800000011920929, 0.800000011920929]
    """

    kind: Literal["resample"] = "resample"
    paper: ClassVar[str] = "Wei et al., Enhancing Multimodal Cooperation via Sample-level Modality Valuation, CVPR 2024"
    alpha: float = Field(default=1.0, ge=0, description="How many more such rows there are for the same discrepancy.")
    warmup: int = Field(default=5, ge=1, description="The epochs before the first estimate.")
    scarce: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="How much more often a row is drawn that holds a scarce input: (rows / rows that have it) to this "
        "power; 0: every row once an epoch.",
    )

    def build(self, input_widths: Mapping[str, int], *, tasks: Mapping[str, int | None]) -> "ResampleThrottle":
        """Any inputs and tasks will do."""
        return ResampleThrottle(
            list(input_widths), tasks=list(tasks), alpha=self.alpha, warmup=self.warmup, scarce=self.scarce
        )


class ResampleThrottle(Throttle):
    """A row is shown with input m alone with probability `q_m = p_m / (1 + sum_j p_j)`,
    `p_m = 2/3 alpha max(0, mean of the others' phi - phi_m)`.

    Wei et al., CVPR 2024, the modality-level method. phi_m is the contribution of input m to a right decision: its
    Shapley value (`shapley.py`) for `v(S) = |S| exp(-loss of the decision from S)`, averaged over rows that show at
    least two inputs and over tasks, on every fifth batch of an epoch. After `warmup` epochs, p is found at the end of
    each. The paper appends p N copies with m alone to N rows, of which there are then p / (1 + p): here as many of the
    N rows are shown so, drawn by the key of the row. The row must have m; otherwise it stays as it is.

    Deviations: `exp(-loss)`, the probability of the true label, is in the place of whether the decision is right, so
    that every task has it; with more than two inputs each is compared with the mean of the others; decisions are those
    of the training pass, with its dropout. There is no sample-level method, which keeps a value for every row.

    `scarce`, which is not in the paper, is as repeat factors for rare classes (Gupta, Dollar & Girshick, LVIS, CVPR
    2019): a row is drawn, with replacement, in proportion to the largest `(N / N_m)^scarce` of its inputs.

    Linear heads on the detached tokens only watch. `factors` are the fraction of its rows in which an input is still
    shown. Price: `2^M - 1` more passes behind the encoders on every fifth batch, `2 M + 1` from five inputs on. With
    one input nothing is done.
    """

    uses_singles = True

    def __init__(
        self,
        inputs: Sequence[str],
        *,
        tasks: Sequence[str],
        alpha: float = 1.0,
        warmup: int = 5,
        scarce: float = 0.0,
    ) -> None:
        super().__init__()
        self.alpha, self.warmup, self.scarce = alpha, warmup, scarce
        self.alone = Numbers(inputs, start=(0.0,))  # q
        self.contributed = Named({name: Means(tasks) for name in inputs})
        self.epoch: Tensor
        self.batch: Tensor
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))
        self.register_buffer("batch", torch.zeros((), dtype=torch.int64))

    def keep(
        self, present: Mapping[str, Bool[Tensor, "B"]], keys: Int64[Tensor, "B"]
    ) -> Mapping[str, Bool[Tensor, "B"]]:
        """Some rows lose all inputs but one, which they have."""
        draw = uniform(keys, salt=key("shown alone"), count=1)[:, 0].double()
        low, chosen = torch.zeros_like(draw), dict[str, Tensor]()
        for name in sorted(present):
            high = low + self.alone[name]
            chosen[name] = (low <= draw) & (draw < high) & present[name]
            low = high
        taken = torch.stack(list(chosen.values())).any(dim=0)
        return {name: one & (chosen[name] | ~taken) for name, one in present.items()}

    def forward(self, tokens: TokensByInput) -> tuple[TokensByInput, TokensByInput]:
        """The tokens, and what the heads read: detached."""
        return (tokens, detached(tokens)) if self.training else (tokens, tokens)

    def terms(self, witness: Witness) -> dict[str, Float[Tensor, ""]]:
        """The losses of the heads; on every fifth batch contributions are taken down."""
        if int(self.batch) % SAMPLED == 0 and len(witness.tokens) > 1 and witness.joint:
            self._take_down(witness)
        self.batch += 1
        there = {name for name, one in witness.tokens.items() if bool(one.present.any())}
        shown = {name: share for name, (share,) in self.alone.lists().items()}
        hidden = {name: sum(shown[other] for other in sorted(shown) if other != name) for name in shown}
        self.factors = {name: 1 - hidden[name] if name in there else 1.0 for name in sorted(witness.tokens)}
        return single_terms(witness)

    def after_backward(self, parameters: Mapping[str, Sequence[nn.Parameter]], *, key: int) -> None:
        """Nothing to do."""

    def epoch_end(self, valid: ValidLosses | None) -> None:
        """After the warm-up, how often each input is shown alone is found anew."""
        self.epoch += 1
        self.batch.zero_()
        found = {name: list(means.found().values()) for name, means in self.contributed.items()}
        for _, means in self.contributed.items():
            means.clear()
        if int(self.epoch) >= self.warmup:
            means_of = {name: sum(values) / len(values) for name, values in found.items() if values}
            for name, share in shown_alone(means_of, alpha=self.alpha).items():
                self.alone[name].fill_(share)

    def row_weights(self, present: Mapping[str, Bool[Tensor, "N"]]) -> Float[Tensor, "N"] | None:
        """In proportion to the scarcest input of the row; a row without any counts as one of the commonest."""
        if not self.scarce or len(present) < 2:
            return None
        weights = torch.stack([_scarcity(present[name]) ** self.scarce for name in sorted(present)]).amax(dim=0)
        return weights / weights.mean()

    def _take_down(self, witness: Witness) -> None:
        shown = torch.stack([one.present for one in witness.tokens.values()]).sum(dim=0)

        def value(names: frozenset[str]) -> ByTask:
            known = torch.zeros_like(shown) + sum(witness.tokens[name].present.long() for name in sorted(names))
            losses = witness.joint if len(names) == len(witness.tokens) else witness.alone(names) if names else {}
            return {
                task: known * torch.exp(-losses[task].double()) if names else known.double() for task in witness.joint
            }

        for name, tasks in shapley(sorted(witness.tokens), value).items():
            for task, rows in tasks.items():
                self.contributed[name].add(task, rows, witness.counted[name][task] & (shown > 1))


def shown_alone(contributions: Mapping[str, float], *, alpha: float) -> dict[str, float]:
    """From the mean contribution phi of each input its q.

    >>> shown_alone({"photo": 0.75, "review": 0.0}, alpha=1.0)
    {'photo': 0.0, 'review': 0.3333333333333333}
    """
    names = sorted(contributions)
    more = dict.fromkeys(names, 0.0)
    for name in names if len(names) > 1 else ():
        others = sum(contributions[other] for other in names if other != name) / (len(names) - 1)
        more[name] = 2 / 3 * alpha * max(0.0, others - contributions[name])
    return {name: more[name] / (1 + sum(more.values())) for name in names}


def _scarcity(present: Bool[Tensor, "N"]) -> Float[Tensor, "N"]:
    """`N / N_m` in the rows that have the input, 1 in the others."""
    return torch.where(present, len(present) / present.sum().clamp(min=1), 1.0)
