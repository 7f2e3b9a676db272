"""From the features of a row, or from an input's own tokens, to what the input holds.

Shapes: B rows, D width of the features, S the sizes of an array; L places, T tokens, d their width, V ids in all.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from motet.core.flow import Cells, Tokens
from motet.nn import MLP, Dropout, hide
from motet.tasks.part import PartHead, Reading
from motet.tasks.reconstruction.idforms import EDGE, HIDDEN

ROWS_AT_ONCE = 16
"""Rows answered at a time: each has a number for every id in every place."""


class ArrayHead(PartHead):
    """Features -> array `[B, *S]` by a perceptron; an absent input is filled in from what the features have of others.

    >>> ArrayHead(8, shape=(2, 3), hidden=[4]).answer(Reading(torch.zeros(5, 8), {})).shape
    torch.Size([5, 2, 3])
    """

    def __init__(self, input_width: int, *, shape: tuple[int, ...], hidden: list[int], dropout: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        self.mlp = MLP(input_width, hidden=hidden, output_width=math.prod(shape), dropout=dropout)

    def forward(self, reading: Reading, target: Cells) -> Float[Tensor, "B *S"]:
        """The array."""
        return self.answer(reading)

    def answer(self, reading: Reading) -> Float[Tensor, "B *S"]:
        """The array, in standardised units."""
        array: Tensor = self.mlp(reading.features)
        return array.reshape(array.shape[0], *self.shape)

    def start_from(self, prior: Float[Tensor, "*S"]) -> None:
        """Take the mean as the bias, and begin close to it."""
        last = self.mlp.layers[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.weight.mul_(0.1)
            last.bias.copy_(prior.reshape(-1))


class IdsHead(PartHead):
    """Every place on its own: `p_t = softmax(W drop(gelu(A f + q_t)) + b)`, f the features, q_t learned for place t.

    With `tokens`, the width of an input's own, q_t is a linear map of the token at the place: what the input's
    preparation hid of it in training has to be told from those around it and from the other inputs. An encoder's first
    token is the start; what stands behind the last, where the end is asked for, is 0. A row without the input, of which
    there are no tokens, has no answer.

    >>> head = IdsHead(8, num_ids=9, longest=5, ends=True, width=4)
    >>> head.answer(Reading(torch.zeros(2, 8), {})).shape
    torch.Size([2, 5])
    """

    def __init__(
        self,
        input_width: int,
        *,
        num_ids: int,
        longest: int,
        ends: bool,
        width: int,
        tokens: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.longest, self.ends = longest, ends
        self.features = nn.Linear(input_width, width)
        self.places = None if tokens is not None else nn.Parameter(0.1 * torch.randn(longest, width))
        self.tokens = None if tokens is None else nn.Linear(tokens, width)
        self.dropout = Dropout(dropout)
        self.ids = nn.Linear(width, num_ids)

    def forward(self, reading: Reading, target: Cells) -> Float[Tensor, "B L"]:
        """`-log p_t` of the id in each place, 0 behind the end."""
        wanted = target.values["target"][:, : self.longest]
        x = self._hidden(reading)
        x = F.pad(x, (0, 0, 0, max(0, wanted.shape[1] - x.shape[1])))[:, : wanted.shape[1]]
        asked = wanted != HIDDEN
        losses = F.cross_entropy(self.ids(x[asked]).float(), wanted[asked], reduction="none")
        return torch.zeros(wanted.shape, device=losses.device).masked_scatter(asked, losses)

    def answer(self, reading: Reading) -> Int64[Tensor, "B L"]:
        """The likeliest id in each place, up to the first end."""
        x = self._hidden(reading)
        parts = (x,) if torch.compiler.is_compiling() else torch.split(x, ROWS_AT_ONCE)
        ids = torch.cat([self.ids(rows).argmax(dim=2) for rows in parts])
        if self.ends:
            end = ids == EDGE
            ids = torch.where((end.cumsum(dim=1) - end.long()) > 0, HIDDEN, ids)
        if self.tokens is None:
            return ids
        (read,) = reading.tokens.values()
        return torch.where(read.mask & read.present[:, None], ids, HIDDEN)

    def start_from(self, prior: Tensor) -> None:
        """Nothing: how often which id occurs is learned in the first steps."""

    def _hidden(self, reading: Reading) -> Float[Tensor, "B L width"]:
        of_row = self.features(reading.features)[:, None]
        if self.tokens is None:
            x: Tensor = F.gelu(of_row + self.places)
            return self._dropped(x)
        (read,) = reading.tokens.values()
        return self._dropped(F.gelu(of_row + self.tokens(_behind_start(read))))

    def _dropped(self, x: Tensor) -> Tensor:
        dropped: Tensor = self.dropout(x)
        return dropped


def _behind_start(tokens: Tokens) -> Float[Tensor, "B T d"]:
    """Each token in the place of the one before it; zeros where there is none."""
    there = tokens.mask & tokens.present[:, None]
    return F.pad(hide(tokens.values, there)[:, 1:], (0, 0, 0, 1))
