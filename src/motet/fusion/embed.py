"""Tokens of all inputs, made of one width: what the token-level operators attend to.

B rows, T tokens, D width of an input, W common width, M inputs.
"""

import math
from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from motet.core.errors import SpecError
from motet.core.flow import Tokens
from motet.nn.named import Named
from motet.nn.pooling import hide, masked_mean


class Embeddings(nn.Module):
    """`z_mt = norm_m(P_m x_mt) + p(t)`: a linear map and a layer norm for each input m, and the place within it.

    The norm makes inputs equally loud, whatever their encoders do; its bias is the input's embedding. p is the sinusoid
    of Vaswani et al. (NeurIPS 2017), so that no sequence is too long. Here the mask says what may be attended to: an
    absent input has nothing there, its learned absent token is not looked at.

    >>> there = torch.tensor([True, False])
    >>> photo = Tokens(torch.randn(2, 3, 8), torch.tensor([[True] * 3, [True, False, False]]), there)
    >>> embedded = Embeddings({"photo": 8}, width=4)({"photo": photo})["photo"]
    >>> embedded.values.shape, embedded.mask.tolist()
    (torch.Size([2, 3, 4]), [[True, True, True], [False, False, False]])
    """

    def __init__(self, input_widths: Mapping[str, int], *, width: int) -> None:
        super().__init__()
        self.maps = Named({name: nn.Linear(input_widths[name], width) for name in sorted(input_widths)})
        self.norms = Named({name: nn.LayerNorm(width) for name in sorted(input_widths)})

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Tokens]:
        """Sorted by name; tokens that are not in the mask are zeros."""
        return {name: self._embed(name, tokens[name]) for name in self.maps}

    def _embed(self, name: str, one: Tokens) -> Tokens:
        mask = one.mask & one.present[:, None]
        x: Tensor = self.norms[name](self.maps[name](hide(one.values, mask)))
        return Tokens(hide(x + sinusoids(x.shape[1], x.shape[2], x.device).to(x), mask), mask, one.present)


class Summaries(nn.Module):
    """`[c_m; z_m]`: before the tokens of each input m a learned one, in which what is read comes together.

    It also leaves whoever reads an input of a single token a choice: over one key a softmax is always 1.

    >>> there = torch.tensor([True, False])
    >>> photo = Tokens(torch.zeros(2, 1, 4), there[:, None], there)
    >>> Summaries(["photo"], width=4)({"photo": photo})["photo"].mask.tolist()
    [[True, True], [False, False]]
    """

    def __init__(self, names: Iterable[str], *, width: int) -> None:
        super().__init__()
        self.tokens = Named({name: _Summary(width) for name in names})

    def forward(self, embedded: Mapping[str, Tokens]) -> dict[str, Tokens]:
        """One token more, at place 0, masked where the input is absent."""
        return {name: summary(embedded[name]) for name, summary in self.tokens.items()}


class _Summary(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.token = learned_tokens(width)

    def forward(self, one: Tokens) -> Tokens:
        """The learned token in front; nothing where the input is absent."""
        there = one.present[:, None]
        token = hide(self.token.to(one.values.dtype).expand(there.shape[0], 1, -1), there)
        return Tokens(torch.cat([token, one.values], dim=1), torch.cat([there, one.mask], dim=1), one.present)


def learned_tokens(*shape: int) -> nn.Parameter:
    """Tokens to be learned. Closer to 0 they would all read the same at first, further away drown what they read.

    >>> learned_tokens(4, 8).shape
    torch.Size([4, 8])
    """
    return nn.Parameter(0.3 * torch.randn(*shape))


def sinusoids(length: int, width: int, device: torch.device | None = None) -> Float[Tensor, "T W"]:
    """`sin(t / 10000^(2i/W))` in the first half of the channels i, the cosines in the second.

    >>> sinusoids(2, 2)
    tensor([[0.0000, 1.0000],
            [0.8415, 0.5403]])
    """
    half = (width + 1) // 2
    pace = torch.exp(torch.arange(half, device=device) * (-math.log(10_000) / half))
    angle = torch.arange(length, device=device)[:, None] * pace
    return torch.cat([angle.sin(), angle.cos()], dim=1)[:, :width]


def mean_of_present(vectors: Mapping[str, Float[Tensor, "B W"]], present: Bool[Tensor, "B M"]) -> Float[Tensor, "B W"]:
    """The mean over the inputs a row has, columns of `present` in the order of `vectors`; zeros where it has none.

    >>> vectors = {"a": torch.tensor([[2.0]]), "b": torch.tensor([[float("nan")]])}
    >>> mean_of_present(vectors, torch.tensor([[True, False]]))
    tensor([[2.]])
    """
    stacked = torch.stack(list(vectors.values()), dim=1)
    return masked_mean(stacked.flatten(2), present).view(stacked.shape[0], *stacked.shape[2:])


def contextual(values: Tensor, given: Tokens) -> Tokens:
    """An input's tokens as fusion leaves them, zeros where there is none, under the mask they came with.

    >>> one = torch.ones(1, 1, dtype=torch.bool)
    >>> contextual(torch.ones(1, 1, 2), Tokens(torch.zeros(1, 1, 8), one, ~one[0])).values
    tensor([[[0., 0.]]])
    """
    return Tokens(hide(values, given.mask & given.present[:, None]), given.mask, given.present)


def check_heads(width: int, heads: int) -> None:
    """Refuse heads that do not divide the width.

    >>> check_heads(10, 4)
    Traceback (most recent call last):
    motet.core.errors.SpecError: fusion.heads: the 4 heads must divide the width, found 10; try a width of 12
    """
    if width % heads:
        more = -(-width // heads) * heads
        raise SpecError(f"fusion.heads: the {heads} heads must divide the width, found {width}; try a width of {more}")
