"""Attention under a mask, and the pre-norm blocks: a sequence that reads itself, and one that reads another.

Shapes: B rows, Q queries, T keys, D width, H heads.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from motet.nn.dropout import Dropout
from motet.nn.pooling import hide


def attend(
    query: Float[Tensor, "B Q D"],
    key: Float[Tensor, "B T D"],
    value: Float[Tensor, "B T D"],
    mask: Bool[Tensor, "B T"],
    *,
    heads: int,
) -> Float[Tensor, "B Q D"]:
    """`softmax(Q K^T / sqrt(D / H)) V`, the heads side by side; keys outside the mask have weight exactly 0.

    They must be finite all the same. A row whose mask is empty has nothing to attend to: zeros.

    >>> import torch
    >>> q, k, v = torch.zeros(1, 1, 2), torch.randn(1, 3, 2), torch.tensor([[[1.0, 0.0], [3.0, 4.0], [9.0, 9.0]]])
    >>> attend(q, k, v, torch.tensor([[True, True, False]]), heads=1)
    tensor([[[2., 2.]]])
    """
    anything = mask.any(dim=1)
    # A softmax over nothing is NaN: such rows look at every key, and their answer is hidden below.
    seen = mask | ~anything[:, None]
    query, key, value = (_split(x, heads) for x in (query, key, value))
    attended = F.scaled_dot_product_attention(query, key, value, attn_mask=seen[:, None, None, :])
    merged = attended.transpose(1, 2).flatten(2)
    return hide(merged, anything[:, None].expand(merged.shape[:2]))


def attend_where(
    seen: Bool[Tensor, "B Q T"],
    query: Float[Tensor, "B Q D"],
    key: Float[Tensor, "B T D"],
    value: Float[Tensor, "B T D"],
    *,
    heads: int,
) -> Float[Tensor, "B Q D"]:
    """`attend` where every query has a mask of its own, with a key or more in it.

    >>> import torch
    >>> x, value = torch.zeros(1, 3, 2), torch.tensor([[[1.0, 0.0], [3.0, 4.0], [5.0, 5.0]]])
    >>> attend_where(torch.ones(1, 3, 3, dtype=torch.bool).tril(), x, x, value, heads=1)
    tensor([[[1., 0.],
             [2., 2.],
             [3., 3.]]])
    """
    query, key, value = (_split(x, heads) for x in (query, key, value))
    attended = F.scaled_dot_product_attention(query, key, value, attn_mask=seen[:, None])
    return attended.transpose(1, 2).flatten(2)


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al., NeurIPS 2017): `softmax(Q K^T / sqrt(D / H)) V`, keys under a mask.

    What the mask hides has no weight at all, NaN included. In a row whose mask is empty there is nothing to attend to:
    its output is the output layer's bias.

    >>> import torch
    >>> x, mask = torch.randn(2, 5, 8), torch.ones(2, 5, dtype=torch.bool)
    >>> Attention(8, heads=2)(x, x, mask).shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, width: int, *, heads: int, context_width: int | None = None) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"the width must be a multiple of the number of heads, found {width} and {heads}")
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width if context_width is None else context_width, 2 * width)
        self.output = nn.Linear(width, width)

    def forward(
        self, queries: Float[Tensor, "B Q D"], context: Float[Tensor, "B T C"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B Q D"]:
        """What each query reads from the tokens of `context` that are in `mask`."""
        return self.read(queries, hide(context, mask), mask)

    def read(
        self, queries: Float[Tensor, "B Q D"], context: Float[Tensor, "B T C"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B Q D"]:
        """`forward`, for a context known to be finite outside its mask too."""
        key, value = self.key_value(context).chunk(2, dim=-1)
        output: Tensor = self.output(attend(self.query(queries), key, value, mask, heads=self.heads))
        return output


class TransformerBlock(nn.Module):
    """Pre-norm block: `x += attention(norm(x))`, `x += mlp(norm(x))`, dropout on both branches.

    >>> import torch
    >>> block = TransformerBlock(8, heads=2)
    >>> block(torch.randn(2, 5, 8), torch.ones(2, 5, dtype=torch.bool)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, width: int, *, heads: int, expansion: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads=heads)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = _mlp(width, expansion)
        self.dropout = nn.ModuleList([Dropout(dropout), Dropout(dropout)])

    def forward(self, x: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Tokens in, tokens out; hidden tokens come out as zeros."""
        x = hide(x, mask)
        normed = self.attention_norm(x)
        x = x + self.dropout[0](self.attention.read(normed, normed, mask))
        x = x + self.dropout[1](self.mlp(self.mlp_norm(x)))
        return hide(x, mask)


class CrossBlock(nn.Module):
    """Pre-norm block that reads another sequence: `x += attention(norm(x), norm(context))`, `x += mlp(norm(x))`.

    Queries and context have a norm each. In a row whose context is empty nothing is read, and x goes through the MLP
    alone; where x itself is padding its answer is finite and means nothing.

    >>> import torch
    >>> block = CrossBlock(8, heads=2)
    >>> block(torch.randn(2, 5, 8), torch.randn(2, 3, 8), torch.ones(2, 3, dtype=torch.bool)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, width: int, *, heads: int, expansion: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.context_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads=heads)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = _mlp(width, expansion)
        self.dropout = nn.ModuleList([Dropout(dropout), Dropout(dropout)])

    def forward(
        self, x: Float[Tensor, "B Q D"], context: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B Q D"]:
        """Queries in, queries out; `mask` is that of the context."""
        read = self.attention.read(self.attention_norm(x), self.context_norm(hide(context, mask)), mask)
        x = x + self.dropout[0](hide(read, mask.any(dim=1, keepdim=True).expand(x.shape[:2])))
        mixed: Tensor = x + self.dropout[1](self.mlp(self.mlp_norm(x)))
        return mixed


class Transformer(nn.Module):
    """Blocks one upon another, then a layer norm, over tokens that know their place by a learned vector.

    >>> import torch
    >>> encoder = Transformer(8, layers=2, heads=2, longest=16)
    >>> encoder(torch.randn(2, 5, 8), torch.ones(2, 5, dtype=torch.bool)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, width: int, *, layers: int, heads: int, longest: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.places = nn.Parameter(0.02 * torch.randn(longest, width))
        self.blocks = nn.ModuleList(TransformerBlock(width, heads=heads, dropout=dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Tokens in, tokens out; hidden tokens come out as zeros."""
        x = x + self.places[: x.shape[1]]
        for block in self.blocks:
            x = block(x, mask)
        return hide(self.norm(x), mask)


def _split(x: Float[Tensor, "B T D"], heads: int) -> Float[Tensor, "B H T d"]:
    return x.view(*x.shape[:2], heads, x.shape[2] // heads).transpose(1, 2)


def _mlp(width: int, expansion: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width))
