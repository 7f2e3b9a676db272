"""Deep sets by hand and by their equation; what each pool keeps of the set."""

import math

import pytest
import torch
from torch import Tensor, nn

from motet.core.flow import Tokens
from motet.fusion import DeepSetFusion
from motet.testing.tokens import WIDTHS, example

POOLS = ("sum", "mean", "max")


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def alike(names: str, *, pool: str) -> DeepSetFusion:
    """Inputs of one width with the same map, so that nothing but their content tells them apart."""
    torch.manual_seed(0)
    fusion = DeepSetFusion(dict.fromkeys(names, 3), width=4, pool=pool)
    for _, linear in fusion.element.items():
        linear.load_state_dict(fusion.element["a"].state_dict())
    return fusion


def rows(*vectors: Tensor, present: list[bool]) -> dict[str, Tokens]:
    one = torch.ones(1, 1, dtype=torch.bool)
    return {
        name: Tokens(vector[None, None], one, torch.tensor([there]))
        for name, vector, there in zip("abcd", vectors, present, strict=False)
    }


@pytest.mark.parametrize(("pool", "by_hand"), [("sum", [14.0, 6.0]), ("mean", [7.0, 3.0]), ("max", [8.0, 4.0])])
def test_two_channels_by_hand(pool: str, by_hand: list[float]) -> None:
    fusion = DeepSetFusion({"a": 2, "b": 2, "c": 2}, width=2, pool=pool, layers=1)
    for linear in (*(linear for _, linear in fusion.element.items()), fusion.read.layers[0]):
        nn.init.eye_(linear.weight)
        nn.init.zeros_(linear.bias)
    given = rows(*torch.tensor([[8.0, 2.0], [6.0, 4.0], [99.0, 99.0]]), present=[True, True, False])
    joint = fusion(given)["joint"]  # gelu(x) is x for numbers so large
    torch.testing.assert_close(joint.pooled[0], torch.tensor(by_hand), atol=0.1, rtol=0)


def by_the_equation(fusion: DeepSetFusion, row: dict[str, Tensor], *, pool: str) -> Tensor:
    """`rho(pool_m gelu(P_m x_m))` over the inputs in `row`, rho of two layers."""
    state = fusion.state_dict()
    elements = [gelu(state[f"element.{m}.weight"] @ x + state[f"element.{m}.bias"]) for m, x in row.items()]
    found = torch.zeros(fusion.output_width)
    if elements:
        found = {"sum": sum(elements), "mean": sum(elements) / len(elements), "max": torch.stack(elements).amax(0)}[
            pool
        ]
    hidden = gelu(state["read.layers.0.weight"] @ found + state["read.layers.0.bias"])
    return state["read.layers.2.weight"] @ hidden + state["read.layers.2.bias"]


@pytest.mark.parametrize("pool", POOLS)
def test_the_equation_on_every_subset_of_three_inputs(pool: str) -> None:
    torch.manual_seed(0)
    fusion, tokens = DeepSetFusion(WIDTHS, width=5, pool=pool), example(WIDTHS)
    joint = fusion(tokens)["joint"]
    for b in range(len(joint.pooled)):
        row = {name: one.values[b][one.mask[b]].mean(dim=0) for name, one in tokens.items() if one.present[b]}
        torch.testing.assert_close(joint.pooled[b], by_the_equation(fusion, row, pool=pool))
        assert joint.present[b] == bool(row)


@pytest.mark.parametrize("pool", POOLS)
def test_inputs_of_one_kind_are_exchangeable(pool: str) -> None:
    fusion, (x, y, z) = alike("abc", pool=pool), torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
    straight = fusion(rows(x, y, z, present=[True, True, True]))["joint"].pooled
    turned = fusion(rows(z, x, y, present=[True, True, True]))["joint"].pooled
    other = fusion(rows(z, x, x, present=[True, True, True]))["joint"].pooled
    torch.testing.assert_close(straight, turned)
    assert not torch.allclose(straight, other)


@pytest.mark.parametrize("pool", POOLS)
def test_only_the_sum_tells_one_from_several_that_are_the_same(pool: str) -> None:
    fusion, x = alike("abc", pool=pool), torch.tensor([1.0, -0.5, 2.0])
    once = fusion(rows(x, x, x, present=[True, False, False]))["joint"].pooled
    thrice = fusion(rows(x, x, x, present=[True, True, True]))["joint"].pooled
    assert torch.allclose(once, thrice) == (pool != "sum")


def test_a_set_is_more_than_a_linear_map_of_its_elements() -> None:
    """Without the bend in every element two opposite ones would cancel, as they do in `concat`."""
    fusion, x = alike("ab", pool="sum"), torch.tensor([1.0, -0.5, 2.0])
    opposite = fusion(rows(x, -x, present=[True, True]))["joint"].pooled
    zero = fusion(rows(0 * x, 0 * x, present=[True, True]))["joint"].pooled
    assert (opposite - zero).abs().max() > 0.01
