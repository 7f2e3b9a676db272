"""What a model would say had the encoded inputs been others: some taken away, exchanged, or encoded anew.

Each variant is a function of the tokens of a batch, so that inputs are encoded once however many are asked; several are
fused and answered together, since small models take longer to call than to compute. A row is alone in whatever batch
it is, so this changes no answer beyond rounding.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

from motet.core.flow import Tokens

TokensByInput = Mapping[str, Tokens]
Variant = Callable[[TokensByInput, Int64[Tensor, "B"]], TokensByInput]
"""The tokens of a batch and the numbers of its rows -> the tokens as they are to be instead."""
MOST_ROWS, MOST_VALUES = 2048, 2**20


def exchanged(name: str) -> Variant:
    """Every row that has this input gets that of the row before it that has it, the first that of the last.

    Rows that follow each other should not be alike: who asks this draws their order by chance.
    """

    def variant(tokens: TokensByInput, rows: Tensor) -> TokensByInput:
        having = tokens[name].present.nonzero().squeeze(1)
        source = torch.arange(len(rows), device=having.device).index_copy(0, having, having.roll(1))
        return {**tokens, name: tokens[name].rows(source)}

    return variant


def together(tokens: TokensByInput, num_variants: int) -> int:
    """How many variants of these tokens go through the model at once: bounded in rows and in numbers."""
    num_rows, num_values = _amounts(tokens)
    return max(1, min(num_variants, MOST_ROWS // num_rows, MOST_VALUES // num_values))


def rows_together(tokens: TokensByInput) -> int:
    """How many rows such as these go through the model at once, within the same bounds."""
    num_rows, num_values = _amounts(tokens)
    return max(1, min(MOST_ROWS, MOST_VALUES * num_rows // num_values))


def stacked(several: Sequence[TokensByInput]) -> TokensByInput:
    """The rows of all, one after the other; padded behind where one has fewer tokens than another.

    >>> from motet.core.flow import Tokens
    >>> here = torch.ones(1, dtype=torch.bool)
    >>> short, long = (Tokens(torch.ones(1, size, 2), torch.ones(1, size, dtype=torch.bool), here) for size in (1, 3))
    >>> stacked([{"x": short}, {"x": long}])["x"].mask.tolist()
    [[True, False, False], [True, True, True]]
    """
    if len(several) == 1:
        return several[0]
    return {name: _one_after_the_other([one[name] for one in several]) for name in several[0]}


def _amounts(tokens: TokensByInput) -> tuple[int, int]:
    """Rows and numbers of all inputs together."""
    num_rows = len(next(iter(tokens.values())).present)
    return max(1, num_rows), max(1, sum(_size(one) for one in tokens.values()))


def _size(tokens: Tokens) -> int:
    return tokens.values.numel() + sum(one.numel() for one in tokens.maps)


def _one_after_the_other(several: Sequence[Tokens]) -> Tokens:
    length = max(one.mask.shape[1] for one in several)
    words = [one.word for one in several if one.word is not None]
    return Tokens(
        torch.cat([_longer(one.values, length, 0) for one in several]),
        torch.cat([_longer(one.mask, length, False) for one in several]),
        torch.cat([one.present for one in several]),
        torch.cat([_longer(word, length, -1) for word in words]) if len(words) == len(several) else None,
        tuple(torch.cat(list(maps)) for maps in zip(*(one.maps for one in several), strict=True)),
    )


def _longer(value: Tensor, length: int, filler: float) -> Tensor:
    missing = length - value.shape[1]
    if missing == 0:
        return value
    return torch.cat([value, value.new_full((len(value), missing, *value.shape[2:]), filler)], dim=1)
