"""Ordered levels from one value: cut points that rise."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from motet.tasks.row import Head

LEAST_GAP = 1e-6


class OrdinalHead(Head):
    """Features `[B, D]` -> log probabilities `[B, C]` of ordered levels: the proportional-odds model.

    `P(y <= k | x) = s(t_k - w x)` for k = 0 ... C - 2, with the logistic function s and cut points
    `t_k = t_0 + sum_{j <= k} (1e-6 + softplus(d_j))`, learned as t_0 and the d_j. The cut points rise, so that no
    probability of a level is negative. Computed without differences, as
    `log P(y = k) = log s(t_k - w x) + log s(w x - t_{k-1}) + log(1 - exp(t_{k-1} - t_k))`.

    McCullagh, Regression Models for Ordinal Data, JRSS B 1980. Unlike CORAL (Cao, Mirjalili & Raschka, Pattern
    Recognition Letters 2020), which adds up the cross-entropies of "more than k" with one weight vector and free
    biases, the order holds for any parameters and not at the optimum alone, and the loss is a likelihood of levels.

    >>> head = OrdinalHead(4, num_classes=3)
    >>> head.start_from(torch.tensor([0.2, 0.5, 0.3]).log())
    >>> head(torch.zeros(1, 4)).exp()
    tensor([[0.2000, 0.5000, 0.3000]], grad_fn=<ExpBackward0>)
    """

    def __init__(self, input_width: int, *, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_width, 1, bias=False)
        self.cuts = nn.Parameter(torch.zeros(num_classes - 1))
        with torch.no_grad():
            self.linear.weight.mul_(0.1)

    def forward(self, features: Float[Tensor, "B D"]) -> Float[Tensor, "B C"]:
        """Features -> log probabilities, in float32 or better."""
        score = self.linear(features)
        gaps = LEAST_GAP + F.softplus(self.cuts[1:])
        margin = self.cuts[0] + F.pad(gaps.cumsum(0), (1, 0)) - score.to(torch.promote_types(score.dtype, gaps.dtype))
        below, above = F.pad(F.logsigmoid(margin), (0, 1)), F.pad(F.logsigmoid(-margin), (1, 0))
        output: Tensor = below + above + F.pad(torch.log(-torch.expm1(-gaps)), (1, 1))
        return output

    def start_from(self, prior: Tensor) -> None:
        """Cut points with these log probabilities where the features are 0."""
        below = prior.double().softmax(-1).cumsum(-1)[:-1]
        cuts = torch.logit(below.clamp(1e-12, 1 - 1e-12))
        gaps = (cuts.diff() - LEAST_GAP).clamp(min=LEAST_GAP)
        with torch.no_grad():
            self.cuts.copy_(torch.cat([cuts[:1], gaps + torch.log(-torch.expm1(-gaps))]))
