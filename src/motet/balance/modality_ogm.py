"""The input that does best learns slower, step by step."""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field, model_validator
from torch import Tensor, nn

from motet.balance.base import ThrottleSpec
from motet.balance.gradients import scaled
from motet.balance.noise import add_noise
from motet.balance.singles import detached, scores, single_terms
from motet.balance.throttle import Throttle, TokensByInput, ValidLosses
from motet.balance.witness import Witness

STEEPEST = 15.0
"""`1 - tanh` beyond this is less than 2e-13: small enough, and the gradient can still be divided by it."""


class OGM(ThrottleSpec):
    """On-the-fly gradient modulation (OGM-GE): an input that does better than the others has its gradient damped.

    >>> OGM(noise=False).build({"photo": 8, "review": 4}, tasks={"price": None})
    OGMThrottle()
    """

    kind: Literal["ogm"] = "ogm"
    paper: ClassVar[str] = "Peng et al., Balanced Multimodal Learning via On-the-fly Gradient Modulation, CVPR 2022"
    alpha: float = Field(default=0.3, ge=0, description="How strongly a leading input is damped; 0: not at all.")
    noise: bool = Field(
        default=True, description="Add noise as large as the gradient to every encoder's gradient (the GE of OGM-GE)."
    )
    from_epoch: int = Field(
        default=1, ge=1, description="The first epoch in which anything is done; epochs start at 1."
    )
    to_epoch: int | None = Field(default=None, ge=1, description="The last such epoch; null: to the end.")

    @model_validator(mode="after")
    def _epochs_in_order(self) -> Self:
        if self.to_epoch is not None and self.to_epoch < self.from_epoch:
            raise ValueError(f"to_epoch ({self.to_epoch}) comes before from_epoch ({self.from_epoch})")
        return self

    def build(self, input_widths: Mapping[str, int], *, tasks: Mapping[str, int | None]) -> "OGMThrottle":
        """Any inputs and tasks will do."""
        return OGMThrottle(alpha=self.alpha, noise=self.noise, from_epoch=self.from_epoch, to_epoch=self.to_epoch)


class OGMThrottle(Throttle):
    """`k_m = 1 - tanh(alpha rho_m)` where `rho_m > 1`, else 1; `rho_m = score_m / mean score of the other inputs`.

    Peng et al., CVPR 2022, equations 8 to 10 and their code. The gradient at an input's tokens, and so that of its
    whole encoder, is multiplied by k_m. With `noise`, each encoder's gradient then gets normal noise whose standard
    deviation is that of the gradient before it was damped (`noise.py`).

    Scores (`singles.scores`) are those of linear heads on the mean of the detached tokens: they are taught here, and
    teach no encoder. Deviations: heads of their own, where the paper takes the joint layer apart, which only exists for
    concatenation and sums; the ratio to the mean of the others, which for two inputs is the paper's; weights of any
    shape get noise, in the code only kernels; no epoch is left out unless told to, the paper names a window for each
    data set. An optimiser that divides by the size of the gradient, as Adam does, undoes a factor that stays the same.

    An input that no counted row of the batch has, or without others to be compared with, has factor 1; with one input
    there is no noise either.

    >>> throttle = OGMThrottle(alpha=0.5)
    >>> round(throttle.damping({"photo": 0.6, "review": 0.3})["photo"], 6) == round(1 - math.tanh(0.5 * 2), 6)
    True
    """

    uses_singles = True

    def __init__(
        self, *, alpha: float = 0.3, noise: bool = True, from_epoch: int = 1, to_epoch: int | None = None
    ) -> None:
        super().__init__()
        self.alpha, self.noise, self.from_epoch, self.to_epoch = alpha, noise, from_epoch, to_epoch
        self._largest: dict[str, float] = {}  # of the factors of this step's batches
        self.epoch: Tensor
        self.register_buffer("epoch", torch.ones((), dtype=torch.int64))

    def keep(
        self, present: Mapping[str, Bool[Tensor, "B"]], keys: Int64[Tensor, "B"]
    ) -> Mapping[str, Bool[Tensor, "B"]]:
        """All there is."""
        return present

    def forward(self, tokens: TokensByInput) -> tuple[TokensByInput, TokensByInput]:
        """The tokens, to be damped on the way back, and what the heads read: detached."""
        return (scaled(tokens, self), detached(tokens)) if self.training else (tokens, tokens)

    def terms(self, witness: Witness) -> dict[str, Float[Tensor, ""]]:
        """The losses of the heads."""
        found = self.damping(scores(witness)) if self._active() else {}
        self.factors = {name: found.get(name, 1.0) for name in sorted(witness.tokens)}
        self._largest = {name: max(factor, self._largest.get(name, 0.0)) for name, factor in self.factors.items()}
        return single_terms(witness)

    def damping(self, scores: Mapping[str, float]) -> dict[str, float]:
        """k_m of each input."""
        return {name: self._damped(name, scores) for name in sorted(scores)}

    def after_backward(self, parameters: Mapping[str, Sequence[nn.Parameter]], *, key: int) -> None:
        """The noise. Of an accumulated step the largest factor of its batches tells how large the gradient was."""
        if self.noise and len(parameters) > 1 and self._active():
            add_noise(parameters, self._largest, key=key)
        self._largest = {}

    def epoch_end(self, valid: ValidLosses | None) -> None:
        """Count it."""
        self.epoch += 1

    def row_weights(self, present: Mapping[str, Bool[Tensor, "N"]]) -> Float[Tensor, "N"] | None:
        """Once an epoch each."""
        return None

    def _active(self) -> bool:
        epoch = int(self.epoch)
        return self.from_epoch <= epoch and (self.to_epoch is None or epoch <= self.to_epoch)

    def _damped(self, name: str, scores: Mapping[str, float]) -> float:
        others = [scores[other] for other in sorted(scores) if other != name]
        mean = sum(others) / len(others) if others else math.inf
        if not scores[name] > mean:
            return 1.0
        # 1 - tanh(x) in the form that does not lose its digits where it is small.
        x = min(self.alpha * scores[name] / mean, STEEPEST) if mean > 0 else STEEPEST
        return 2.0 / (1.0 + math.exp(2.0 * x))
