"""Latents that read all tokens, against the equations written out for one row."""

import pytest
import torch
from attention_by_hand import (
    WIDTHS,
    close,
    cross_block,
    embedded,
    inputs_of,
    norm,
    perceptron,
    self_block,
    shaken,
    some_tokens,
)
from pydantic import ValidationError
from torch import Tensor

from motet.core.flow import Tokens
from motet.fusion import Perceiver, PerceiverFusion


def by_hand(fusion: PerceiverFusion, row: dict[str, Tensor]) -> Tensor:
    x = fusion.latents
    if row:
        x = cross_block(x, torch.cat([embedded(fusion, name, each) for name, each in row.items()]), fusion.read)
    else:  # nothing to read: the latents as they are
        x = x + perceptron(norm(x, fusion.read.mlp_norm), fusion.read.mlp)
    for block in fusion.blocks:
        x = self_block(x, block)
    return norm(x, fusion.norm).mean(dim=0)


@pytest.mark.parametrize(("latents", "layers"), [(3, 1), (2, 2)])
def test_every_row_equals_the_equations(latents: int, layers: int) -> None:
    torch.manual_seed(0)
    fusion = shaken(PerceiverFusion(WIDTHS, width=6, heads=2, latents=latents, layers=layers))
    tokens = some_tokens()
    joint = fusion(tokens)["joint"]
    for row in range(len(joint.pooled)):
        close(joint.pooled[row], by_hand(fusion, inputs_of(tokens, row)))


def test_a_row_without_inputs_falls_back_on_the_latents() -> None:
    """Beside a row that has inputs, and whatever its absent inputs hold."""
    torch.manual_seed(0)
    fusion = shaken(PerceiverFusion({"a": 2}, width=4, heads=1))
    there = torch.tensor([True, False])
    values = torch.randn(2, 3, 2, dtype=torch.float64)
    values[1] = float("nan")
    joint = fusion({"a": Tokens(values, torch.tensor([[True] * 3, [True, False, False]]), there)})["joint"]
    close(joint.pooled[1], by_hand(fusion, {}))
    assert joint.present.tolist() == [True, False]


def test_latents_start_apart_or_they_would_all_read_the_same() -> None:
    torch.manual_seed(0)
    latents = Perceiver(width=8).build({"a": 2}).latents
    assert torch.pdist(latents).min() > 0.3


def test_one_latent_would_leave_nothing_to_choose_from() -> None:
    with pytest.raises(ValidationError):
        Perceiver(latents=1)
