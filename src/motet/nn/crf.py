"""A linear chain over the labels of a sequence: each label depends on the one before.

Shapes: B rows, L places, C labels.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

NEVER = -1e30
"""The logarithm of 0, but finite, so that gradients are."""


class LinearChain(nn.Module):
    """A conditional random field (Lafferty, McCallum & Pereira, ICML 2001) over sequences of labels y_1 ... y_n.

        log p(y | z) = s(y) - log sum_y' exp s(y'),   s(y) = f_{y_1} + sum_i z_{i, y_i} + sum_{i > 1} t_{y_{i-1}, y_i}

    with logits z of each place, transitions t from one label to the next and f to the first; both start at 0. `there`
    is one run from the start of each row, of `longest` places at most. There is no score for a label being the last.

    >>> chain = LinearChain(2, longest=8)
    >>> logits, there = torch.tensor([[[2.0, 0.0], [0.0, 1.0]]]), torch.ones(1, 2, dtype=torch.bool)
    >>> chain.best(logits, there)
    tensor([[0, 1]])
    """

    def __init__(self, num_labels: int, *, longest: int) -> None:
        super().__init__()
        self.longest = longest
        self.first = nn.Parameter(torch.zeros(num_labels))
        self.transitions = nn.Parameter(torch.zeros(num_labels, num_labels))

    def forward(
        self, logits: Float[Tensor, "B L C"], there: Bool[Tensor, "B L"], labels: Int64[Tensor, "B L"]
    ) -> Float[Tensor, "B"]:
        """`-log p(labels | logits)`; where a label is below 0 the place has any, and all these sequences are summed.

        0 in a row without a place.
        """
        number = torch.arange(logits.shape[2], device=logits.device)
        allowed = (labels[:, :, None] < 0) | (labels[:, :, None] == number)
        both = torch.cat([logits, torch.where(allowed, logits, NEVER)])
        every, given = self._log_sums(both, there.repeat(2, 1)).chunk(2)
        return torch.where(there[:, 0], every - given, 0.0)

    @torch.no_grad()
    def best(self, logits: Float[Tensor, "B L C"], there: Bool[Tensor, "B L"]) -> Int64[Tensor, "B L"]:
        """The likeliest sequence of each row (Viterbi); behind its end filler.

        A graph that is compiled or exported goes through `longest` places, however many there are.
        """
        length = logits.shape[1]
        if torch.compiler.is_compiling():
            behind = self.longest - length
            logits, there = F.pad(logits, (0, 0, 0, behind)), F.pad(there, (0, behind))
            return self._best(logits, there, self.longest)[:, :length]
        places = max(1, int(there.sum(dim=1).max()))
        return F.pad(self._best(logits, there, places), (0, length - places))

    def _best(self, logits: Float[Tensor, "B L C"], there: Bool[Tensor, "B L"], places: int) -> Int64[Tensor, "B P"]:
        """The same for the first of the places."""
        score, before = self.first + logits[:, 0], []
        same = torch.arange(logits.shape[2], device=logits.device)
        for place in range(1, places):
            found, origin = (score[:, :, None] + self.transitions).max(dim=1)
            here = there[:, place, None]
            score = torch.where(here, found + logits[:, place], score)
            before.append(torch.where(here, origin, same))
        path = [score.argmax(dim=1, keepdim=True)]
        for origin in reversed(before):
            path.append(origin.gather(1, path[-1]))
        return torch.cat(path[::-1], dim=1)

    def _log_sums(self, logits: Float[Tensor, "B L C"], there: Bool[Tensor, "B L"]) -> Float[Tensor, "B"]:
        """The logarithm of the sum of `exp s` over all sequences of each row."""
        score = self.first + logits[:, 0]
        for place in range(1, int(there.sum(dim=1).max())):
            found = torch.logsumexp(score[:, :, None] + self.transitions, dim=1) + logits[:, place]
            score = torch.where(there[:, place, None], found, score)
        return torch.logsumexp(score, dim=1)
