"""Each input is held to the share it has had so far."""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor, nn

from motet.balance.base import ThrottleSpec
from motet.balance.gradients import scaled
from motet.balance.numbers import Numbers
from motet.balance.shapley import shapley
from motet.balance.singles import detached, mean_by_input, single_terms
from motet.balance.throttle import Throttle, TokensByInput, ValidLosses
from motet.balance.witness import ByTask, Witness

WORST = -math.log(1e-8)
"""The largest loss of a row that is believed; the code bounds the probability of the true label by 1e-8."""
MOST = 7.0
"""The largest exponent before alpha, as in the code for three inputs."""
LARGEST = 100.0
"""The largest exponent of a ratio: a loss far below zero must not overflow."""


class AGM(ThrottleSpec):
    """Adaptive gradient modulation: inputs that contribute more than they did so far are slowed, others sped up.

    >>> AGM().build({"photo": 8, "review": 4}, tasks={"price": None})
    AGMThrottle(
      (history): Numbers()
    )
    """

    kind: Literal["agm"] = "agm"
    paper: ClassVar[str] = (
        "Li et al., Boosting Multi-modal Model Performance with Adaptive Gradient Modulation, ICCV 2023"
    )
    alpha: float = Field(default=0.1, ge=0, description="How strongly gradients are modulated; 0: not at all.")

    def build(self, input_widths: Mapping[str, int], *, tasks: Mapping[str, int | None]) -> "AGMThrottle":
        """Any inputs and tasks will do."""
        return AGMThrottle(list(input_widths), alpha=self.alpha)


class AGMThrottle(Throttle):
    """`k_m = exp(alpha min(r*_m - r_m, 7))`, with `r_m = exp(M / (M - 1) * (mean_j s_j - s_m))` over M inputs.

    Li et al., ICCV 2023, and their code. s_m is what input m adds to the loss of this batch: its Shapley value over the
    decisions from every subset of the inputs (`shapley.py`), so a small s is a strong input, and r its ratio to the
    others, for two inputs `exp(s_other - s_m)`. r* is the same of the running means of s over all batches before, 1 at
    first. The gradient at the tokens of m, and so that of its whole encoder, is multiplied by k_m.

    Deviations: the paper takes Shapley values of the logits and then their cross-entropy, here they are of the loss
    itself, which every task has, averaged over tasks (the paper leaves out the empty subset, which drops out of every
    difference where no cell is absent); the gradient is scaled at the tokens, not where Shapley's sum over the
    passes enters the loss; the other passes have no gradient. The decision from a subset hides the other inputs as if
    they were absent, with the dropout of the pass itself. An optimiser that divides by the size of the gradient, as
    Adam does, undoes a factor that stays the same.

    Price: `2^M - 1` more passes behind the encoders up to four inputs, then `2 M + 1`. An input that no counted row of
    the batch has, or without others to be compared with, has factor 1 and is not remembered.

    >>> throttle = AGMThrottle(["photo", "review"], alpha=1.0)
    >>> throttle.modulate({"photo": 0.0, "review": 0.0})  # as they should be
    {'photo': 1.0, 'review': 1.0}
    >>> round(throttle.modulate({"photo": -0.5, "review": 0.5})["photo"], 4) == round(math.exp(1 - math.e), 4)
    True
    """

    uses_singles = True

    def __init__(self, inputs: Sequence[str], *, alpha: float = 0.1) -> None:
        super().__init__()
        self.alpha = alpha
        self.history = Numbers(inputs, start=(0.0, 0.0))  # the mean of s, and over how many batches

    def keep(
        self, present: Mapping[str, Bool[Tensor, "B"]], keys: Int64[Tensor, "B"]
    ) -> Mapping[str, Bool[Tensor, "B"]]:
        """All there is."""
        return present

    def forward(self, tokens: TokensByInput) -> tuple[TokensByInput, TokensByInput]:
        """The tokens, to be modulated on the way back, and what the heads read: detached."""
        return (scaled(tokens, self), detached(tokens)) if self.training else (tokens, tokens)

    def terms(self, witness: Witness) -> dict[str, Float[Tensor, ""]]:
        """The losses of the heads, which are there to be watched: they teach no encoder."""
        found = self.modulate(_additions(witness)) if len(witness.tokens) > 1 else {}
        self.factors = {name: found.get(name, 1.0) for name in sorted(witness.tokens)}
        return single_terms(witness)

    def modulate(self, additions: Mapping[str, float]) -> dict[str, float]:
        """k_m of each input from what it adds to the loss now and has added so far; then this too is remembered."""
        if len(additions) < 2:
            return {}
        known = self.history.lists()
        now, best = _ratios(additions), _ratios({name: known[name][0] for name in additions if known[name][1]})
        for name, addition in additions.items():
            mean, count = known[name]
            row = self.history[name]
            row.copy_(row.new_tensor([mean + (addition - mean) / (count + 1), count + 1]))
        return {name: math.exp(self.alpha * min(best.get(name, 1.0) - now[name], MOST)) for name in sorted(additions)}

    def after_backward(self, parameters: Mapping[str, Sequence[nn.Parameter]], *, key: int) -> None:
        """Nothing to do."""

    def epoch_end(self, valid: ValidLosses | None) -> None:
        """Nothing to do: the means run over all epochs."""

    def row_weights(self, present: Mapping[str, Bool[Tensor, "N"]]) -> Float[Tensor, "N"] | None:
        """Once an epoch each."""
        return None


def _additions(witness: Witness) -> dict[str, float]:
    """s_m: the mean over tasks and counted rows of what the input adds to the loss."""
    everything = frozenset(witness.tokens)

    def loss(names: frozenset[str]) -> ByTask:
        rows = witness.joint if names == everything else witness.alone(names)
        return {task: one.double().clamp(max=WORST) for task, one in rows.items()}

    return mean_by_input(shapley(sorted(everything), loss), witness.counted) if witness.joint else {}


def _ratios(additions: Mapping[str, float]) -> dict[str, float]:
    """r_m; 1 for an input by itself."""
    count = len(additions)
    if count < 2:
        return dict.fromkeys(additions, 1.0)
    mean = sum(additions[name] for name in sorted(additions)) / count
    return {name: math.exp(min(count / (count - 1) * (mean - additions[name]), LARGEST)) for name in additions}
