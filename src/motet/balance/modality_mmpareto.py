"""The gradient of the joint loss and that of an input's own, combined so that neither is led uphill."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import ClassVar, Literal

from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor, nn

from motet.balance.base import ThrottleSpec
from motet.balance.gradients import met
from motet.balance.gram import gram_matrix, weighted_sum
from motet.balance.singles import detached, single_terms
from motet.balance.throttle import Throttle, TokensByInput, ValidLosses
from motet.balance.witness import Witness

TINY = 1e-12
"""A combination whose square is less than this of the two gradients' squares is nothing but rounding."""


class MMPareto(ThrottleSpec):
    """Joint and single-input loss, added where they agree; where they pull apart, the direction that serves both.

    >>> MMPareto().build({"photo": 8, "review": 4}, tasks={"price": None})
    MMParetoThrottle()
    """

    kind: Literal["mmpareto"] = "mmpareto"
    paper: ClassVar[str] = (
        "Wei & Hu, MMPareto: Boosting Multimodal Learning with Innocent Unimodal Assistance, ICML 2024"
    )
    gamma: float = Field(default=1.5, gt=0, description="What the combined gradient of every encoder is multiplied by.")

    def build(self, input_widths: Mapping[str, int], *, tasks: Mapping[str, int | None]) -> "MMParetoThrottle":
        """Any inputs and tasks will do."""
        return MMParetoThrottle(gamma=self.gamma)


class MMParetoThrottle(Throttle):
    """`gamma * |g_0 + g_m| / |h| * h`, with `h = w g_0 + (1 - w) g_m`, in place of `g_0 + g_m`.

    Wei & Hu, ICML 2024, and their code. g_0 is the gradient of the joint losses and g_m that of input m's own, over all
    tasks. If `<g_0, g_m> >= 0`, w is 1/2; else h is the shortest of the segment between them,
    `w = (|g_m|^2 - <g_0, g_m>) / |g_0 - g_m|^2`, which descends for both, brought to the length of the plain sum. In
    either case gamma multiplies what comes of it. Where the two are exactly opposed nothing serves both, and the
    encoder gets no gradient.

    Deviations: the gradients meet at the tokens of the input, in the one backward, where the code compares the
    gradients of the whole encoder in a backward for each loss and then restores the length of each parameter by itself.
    This is the feature-level surrogate, as at the junction: two directions that agree at the tokens agree in the
    encoder's output, not in each of its layers. An optimiser that divides by the size of the gradient, as Adam does,
    undoes gamma.

    `factors` are `2 (1 - w)`, the weight of the input's own loss where plain addition has 1. Rows that lack an input
    take no part; one gradient alone is multiplied by gamma; with one input the head only watches.

    >>> import torch
    >>> throttle = MMParetoThrottle(gamma=1.0)
    >>> throttle.combined("photo", torch.tensor([[[3.0, 0.0]]]), torch.tensor([[[-1.0, 1.0]]])).round(decimals=4)
    tensor([[[0.5423, 2.1693]]])
    """

    uses_singles = True

    def __init__(self, *, gamma: float = 1.5) -> None:
        super().__init__()
        self.gamma = gamma

    def keep(
        self, present: Mapping[str, Bool[Tensor, "B"]], keys: Int64[Tensor, "B"]
    ) -> Mapping[str, Bool[Tensor, "B"]]:
        """All there is."""
        return present

    def forward(self, tokens: TokensByInput) -> tuple[TokensByInput, TokensByInput]:
        """The tokens twice; on the way back the two gradients are combined."""
        if not self.training:
            return tokens, tokens
        return met(tokens, self.combined) if len(tokens) > 1 else (tokens, detached(tokens))

    def terms(self, witness: Witness) -> dict[str, Float[Tensor, ""]]:
        """The losses of the heads."""
        self.factors = dict.fromkeys(sorted(witness.tokens), 1.0)
        return single_terms(witness)

    def combined(self, name: str, joint: Tensor | None, single: Tensor | None) -> Tensor:
        """The gradient an encoder gets for these two."""
        if joint is None or single is None:
            alone = single if joint is None else joint
            assert alone is not None, "a node is never handed nothing"
            return alone * self.gamma
        (squared, product), (_, other) = gram_matrix([joint, single]).tolist()
        weight, length = _direction(squared, product, other)
        self.factors = {**self.factors, name: 2 * (1 - weight)}
        return weighted_sum([joint, single], [self.gamma * length * weight, self.gamma * length * (1 - weight)])

    def after_backward(self, parameters: Mapping[str, Sequence[nn.Parameter]], *, key: int) -> None:
        """Nothing to do."""

    def epoch_end(self, valid: ValidLosses | None) -> None:
        """Nothing to do."""

    def row_weights(self, present: Mapping[str, Bool[Tensor, "N"]]) -> Float[Tensor, "N"] | None:
        """Once an epoch each."""
        return None


def _direction(joint: float, product: float, single: float) -> tuple[float, float]:
    """w, and `|g_0 + g_m| / |h|`, from the squares of the two gradients and their product.

    Where anything is not finite the plain sum goes on, so that a gradient scaler sees it.
    """
    if not product < 0 or not isfinite(joint + single - product):
        return 0.5, 2.0
    weight = (single - product) / (joint + single - 2 * product)
    shortest = weight**2 * joint + 2 * weight * (1 - weight) * product + (1 - weight) ** 2 * single
    plain = max(joint + single + 2 * product, 0.0)
    return weight, (plain / shortest) ** 0.5 if shortest > TINY * (joint + single) else 0.0
