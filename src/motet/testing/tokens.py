"""Example tokens for every fusion: B rows, T tokens, D width."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from motet.core.errors import SpecError
from motet.core.flow import Fused, Tokens
from motet.fusion.base import Fusion, FusionSpec
from motet.testing import suite

WIDTHS = {"age": 3, "photo": 6, "review": 4}
LENGTHS = {"age": 1, "photo": 4, "review": 5}
EIGHT_WIDTHS = WIDTHS | {f"input {index}": index for index in range(4, 9)}


def build(spec: FusionSpec) -> Fusion:
    """The operator for the example's inputs, seeded, in evaluation mode."""
    fusion: Fusion = suite.seeded(lambda: spec.build(accepted(spec)))
    return fusion


def some(spec: FusionSpec) -> dict[str, Tokens]:
    """The rows of the example that have at least one input."""
    widths = accepted(spec)
    return of_rows(example(widths), list(range(1, 2 ** len(widths))))


def accepted(spec: FusionSpec) -> dict[str, int]:
    """The widths of all three inputs, or of the first two where the operator refuses three."""
    try:
        suite.seeded(lambda: spec.build(WIDTHS))
    except SpecError:
        return dict(list(WIDTHS.items())[:2])
    return WIDTHS


def numbers(streams: Mapping[str, Fused]) -> list[Tensor]:
    """Every number a fusion gives: vectors and weights, streams sorted by name."""
    return [number for stream in sorted(streams) for number in (streams[stream].pooled, streams[stream].weight)]


def example(widths: Mapping[str, int]) -> dict[str, Tokens]:
    """A row for every subset of the inputs, lengths at random; bit m of the row says whether it has the m-th."""
    generator = torch.Generator().manual_seed(0)
    return {name: _tokens(name, bit, 2 ** len(widths), generator) for bit, name in enumerate(widths)}


def _tokens(name: str, bit: int, num_rows: int, generator: torch.Generator) -> Tokens:
    length = LENGTHS[name]
    present = torch.arange(num_rows) >> bit & 1 == 1
    lengths = torch.where(present, torch.randint(1, length + 1, (num_rows,), generator=generator), 1)
    mask = torch.arange(length) < lengths[:, None]
    values = torch.randn(num_rows, length, WIDTHS[name], generator=generator)
    values = torch.where(present[:, None, None], values, torch.full_like(values, 0.1 * (bit + 1)))
    return Tokens(values.masked_fill(~mask[:, :, None], 0.0), mask, present)


def of_all_lengths(widths: dict[str, int]) -> dict[str, Tokens]:
    """Six rows, each input a length of its own in each row, from 1 to 200; the last input is absent in the last row."""
    generator = torch.Generator().manual_seed(2)
    tokens = {}
    for place, (name, width) in enumerate(widths.items()):
        lengths = torch.tensor([1, 200, 3, 50, 7, 1]).roll(place)
        mask = torch.arange(200) < lengths[:, None]
        values = torch.randn(6, 200, width, generator=generator)
        present = torch.ones(6, dtype=torch.bool)
        if place == len(widths) - 1 and place > 0:
            present[-1], mask[-1, 1:] = False, False
        tokens[name] = Tokens(values.masked_fill(~mask[:, :, None], 0.0), mask, present)
    return tokens


def of_rows(tokens: dict[str, Tokens], rows: Sequence[int]) -> dict[str, Tokens]:
    """These rows alone, in this order."""
    index = torch.tensor(rows)
    return {name: Tokens(t.values[index], t.mask[index], t.present[index]) for name, t in tokens.items()}
