"""Attention written out for one row of real tokens: no masks, no padding, no batch, one query and one head at a time.

What an absent input must not do is not written anywhere: rows are made of the inputs they have.
"""

import math
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from motet.core.flow import Tokens

close = partial(torch.testing.assert_close, rtol=1e-5, atol=1e-5)  # sinusoids are float32
WIDTHS = {"age": 3, "photo": 6, "review": 4}
LENGTHS = {"age": 1, "photo": 4, "review": 7}


def some_tokens(
    widths: Mapping[str, int] = WIDTHS, lengths: Mapping[str, int] = LENGTHS, *, seed: int = 0
) -> dict[str, Tokens]:
    """A row for every subset of the inputs but the empty one, in float64, of lengths drawn for each."""
    generator = torch.Generator().manual_seed(seed)
    rows, found = torch.arange(1, 2 ** len(widths)), {}
    for bit, (name, width) in enumerate(widths.items()):
        present = rows >> bit & 1 == 1
        length = torch.where(present, torch.randint(1, lengths[name] + 1, rows.shape, generator=generator), 1)
        length[-1] = lengths[name]  # the row that has every input, all of it
        mask = torch.arange(lengths[name]) < length[:, None]
        values = torch.randn(*mask.shape, width, generator=generator, dtype=torch.float64)
        found[name] = Tokens(values, mask, present)
    return found


def shaken(fusion: nn.Module) -> nn.Module:
    """In float64, without dropout, no parameter where it starts: norms start alike and would pass for each other."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in fusion.double().parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return fusion.eval()


def inputs_of(tokens: Mapping[str, Tokens], row: int) -> dict[str, Tensor]:
    """The inputs this row has, `[t, D]` each."""
    return {name: one.values[row][one.mask[row]] for name, one in sorted(tokens.items()) if one.present[row]}


def linear(x: Tensor, layer: nn.Linear) -> Tensor:
    mapped = x @ layer.weight.T
    return mapped if layer.bias is None else mapped + layer.bias


def norm(x: Tensor, layer: nn.LayerNorm) -> Tensor:
    centred = x - x.mean(dim=-1, keepdim=True)
    return centred / (centred.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt() * layer.weight + layer.bias


def attention(query: Tensor, key: Tensor, value: Tensor, *, heads: int) -> Tensor:
    """`softmax(q . k / sqrt(d)) v`, `[Q, W]` from `[Q, W]`, `[T, W]`, `[T, W]`."""
    width = query.shape[1] // heads
    answers = []
    for one in query:
        parts = []
        for head in range(heads):
            mine = slice(head * width, (head + 1) * width)
            odds = torch.stack([(one[mine] @ each[mine] / math.sqrt(width)).exp() for each in key])
            parts.append(sum(odd / odds.sum() * each[mine] for odd, each in zip(odds, value, strict=True)))
        answers.append(torch.cat(parts))
    return torch.stack(answers)


def read(x: Tensor, context: Tensor, layer: nn.Module) -> Tensor:
    """What the layer's queries, from x, read from the context."""
    key, value = linear(context, layer.key_value).chunk(2, dim=1)
    return linear(attention(linear(x, layer.query), key, value, heads=layer.heads), layer.output)


def perceptron(x: Tensor, layers: nn.Sequential) -> Tensor:
    hidden = linear(x, layers[0])
    return linear(hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2, layers[2])


def self_block(x: Tensor, block: nn.Module) -> Tensor:
    normed = norm(x, block.attention_norm)
    x = x + read(normed, normed, block.attention)
    return x + perceptron(norm(x, block.mlp_norm), block.mlp)


def cross_block(x: Tensor, context: Tensor, block: nn.Module) -> Tensor:
    x = x + read(norm(x, block.attention_norm), norm(context, block.context_norm), block.attention)
    return x + perceptron(norm(x, block.mlp_norm), block.mlp)


def embedded(fusion: nn.Module, name: str, x: Tensor) -> Tensor:
    """`norm(P x) + p(t)`."""
    z = norm(linear(x, fusion.embed.maps[name]), fusion.embed.norms[name])
    half = -(-z.shape[1] // 2)
    for t in range(len(z)):
        angles = [t / 10_000 ** (i / half) for i in range(half)]
        waves = [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]
        z[t] = z[t] + torch.tensor(waves[: z.shape[1]], dtype=z.dtype)
    return z


def summarised(fusion: nn.Module, name: str, x: Tensor) -> Tensor:
    """`[c; z]`: the learned token of this input before its embedded tokens."""
    return torch.cat([fusion.summaries.tokens[name].token[None], embedded(fusion, name, x)])
