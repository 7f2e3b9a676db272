"""Attention bottlenecks, against the equations written out for one row."""

import pytest
import torch
from attention_by_hand import WIDTHS, close, inputs_of, norm, self_block, shaken, some_tokens, summarised
from torch import Tensor

from motet.core.errors import SpecError
from motet.fusion import Bottleneck, BottleneckFusion


def by_hand(fusion: BottleneckFusion, row: dict[str, Tensor], *, layers: int, from_layer: int) -> dict[str, Tensor]:
    z, shared = {name: summarised(fusion, name, x) for name, x in row.items()}, fusion.bottlenecks
    for layer in range(layers):
        if layer < from_layer:
            z = {name: self_block(each, fusion.blocks[name][layer]) for name, each in z.items()}
            continue
        both = {name: self_block(torch.cat([each, shared]), fusion.blocks[name][layer]) for name, each in z.items()}
        shared = sum(each[-len(shared) :] for each in both.values()) / len(both)
        z = {name: each[: len(z[name])] for name, each in both.items()}
    return {name: norm(each, fusion.norm) for name, each in z.items()}


@pytest.mark.parametrize(("layers", "from_layer", "bottlenecks"), [(2, 0, 4), (3, 1, 1)])
def test_every_row_equals_the_equations(layers: int, from_layer: int, bottlenecks: int) -> None:
    torch.manual_seed(0)
    fusion = shaken(
        BottleneckFusion(WIDTHS, width=6, heads=2, layers=layers, from_layer=from_layer, bottlenecks=bottlenecks)
    )
    tokens = some_tokens()
    joint = fusion(tokens)["joint"]
    for row in range(len(joint.pooled)):
        expected = by_hand(fusion, inputs_of(tokens, row), layers=layers, from_layer=from_layer)
        pooled = torch.stack([y[0] for y in expected.values()]).mean(dim=0)
        close(joint.pooled[row], pooled)
        for name, y in expected.items():
            close(joint.tokens[name].values[row][tokens[name].mask[row]], y[1:])


@pytest.mark.parametrize(("layers", "from_layer", "try_instead"), [(2, 1, 0), (4, 3, 2), (3, 5, 1)])
def test_one_fused_layer_would_join_nothing_and_is_refused(layers: int, from_layer: int, try_instead: int) -> None:
    """After one, no token of an input depends on another input: the bottleneck tokens only then know something."""
    with pytest.raises(SpecError, match=f"never hear of one another; it takes two: set it to {try_instead}"):
        Bottleneck(layers=layers, from_layer=from_layer).build(WIDTHS)


def test_after_one_fused_layer_nothing_has_come_through() -> None:
    torch.manual_seed(0)
    fusion = shaken(BottleneckFusion(WIDTHS, width=6, heads=2, layers=2))
    row = inputs_of(some_tokens(), -1)
    other = {**row, "photo": -row["photo"]}
    for layers, same in ((1, True), (2, False)):
        found = [by_hand(fusion, each, layers=layers, from_layer=0)["age"] for each in (row, other)]
        assert torch.equal(*found) == same
