"""Tensor fusion beside the explicit outer product of `[z; 1]`; how many products there are, and what is left out."""

import itertools
import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from motet.core.errors import SpecError
from motet.core.flow import Tokens
from motet.fusion import Fusion, TensorFusion
from motet.fusion import Tensor as TensorSpec
from motet.testing.tokens import EIGHT_WIDTHS, WIDTHS, example


def built(widths: Mapping[str, int], *, width: int = 5, narrow: int = 3, order: int = 3) -> TensorFusion:
    torch.manual_seed(0)
    fusion = TensorFusion(widths, width=width, narrow=narrow, order=order)
    nn.init.normal_(fusion.products.read.weight)
    return fusion


def test_two_numbers_by_hand() -> None:
    fusion = TensorFusion({"a": 1, "b": 1}, width=1)
    named = {
        "narrow.a.weight": 2.0,
        "narrow.b.weight": -1.0,
        "products.read.weight": 0.5,
        "products.then.a.read.weight": 3.0,
        "products.then.b.read.weight": 5.0,
        "products.then.a.then.b.read.weight": 7.0,
    }
    for name, parameter in fusion.named_parameters():
        nn.init.constant_(parameter, named.pop(name))
    assert not named
    a, b = torch.tensor([1.5, 1.5, math.nan, math.nan]), torch.tensor([-1.0, math.nan, -1.0, math.nan])
    one = torch.ones(4, 1, dtype=torch.bool)
    joint = fusion({name: Tokens(x[:, None, None], one, ~x.isnan()) for name, x in (("a", a), ("b", b))})["joint"]
    assert joint.pooled[:, 0].tolist() == [7 * 3 + 3 * 3 + 5 + 0.5, 3 * 3 + 0.5, 5 + 0.5, 0.5]
    assert joint.present.tolist() == [True, True, True, False]


def core(fusion: TensorFusion, names: list[str], *, narrow: int) -> Tensor:
    """W as the paper has it, `[width, d + 1, ..., d + 1]`: the last place of each axis is that of the 1."""
    state = fusion.state_dict()
    weights = torch.zeros(fusion.output_width, *(narrow + 1 for _ in names))
    for size in range(len(names) + 1):
        for some in itertools.combinations(names, size):
            key = "products." + "".join(f"then.{name}." for name in some) + "read.weight"
            place = tuple(slice(0, narrow) if name in some else narrow for name in names)
            if key in state:
                weights[(slice(None), *place)] = state[key].reshape(-1, *[narrow] * size)
    return weights


@pytest.mark.parametrize("order", [1, 2, 3, 8])
def test_it_is_the_outer_product_of_z_and_1(order: int) -> None:
    fusion, tokens = built(WIDTHS, order=order), example(WIDTHS)
    names = sorted(WIDTHS)
    weights = core(fusion, names, narrow=3)
    found = fusion(tokens)["joint"].pooled
    for b in range(len(found)):
        ends = []
        for name in names:
            x = tokens[name].values[b][tokens[name].mask[b]].mean(dim=0)
            z = fusion.state_dict()[f"narrow.{name}.weight"] @ x
            ends.append(torch.cat([z * tokens[name].present[b], torch.ones(1)]))
        outer = ends[0][:, None, None] * ends[1][None, :, None] * ends[2][None, None]
        torch.testing.assert_close(found[b], weights.flatten(1) @ outer.flatten())


def test_beyond_the_order_there_are_no_products() -> None:
    assert num_products(WIDTHS, narrow=3, order=1) == 9
    assert num_products(WIDTHS, narrow=3, order=2) == 9 + 27
    assert num_products(WIDTHS, narrow=3, order=3) == num_products(WIDTHS, narrow=3, order=8) == 9 + 27 + 27


def test_eight_inputs_have_as_many_products_as_the_docstring_says() -> None:
    wide = dict.fromkeys(EIGHT_WIDTHS, 32)
    count = num_products(wide, narrow=8, order=3)
    assert count == 30528
    assert f"{count:,} products instead of {round(9**8 / 1e6)} million" in (TensorFusion.__doc__ or "")


def test_an_input_is_never_made_wider() -> None:
    assert num_products({"a": 2, "b": 16}, narrow=8, order=2) == 2 + 8 + 16


def num_products(widths: Mapping[str, int], *, narrow: int, order: int) -> int:
    """The channels that the weights of all sets read, without the 1."""
    fusion = TensorFusion(widths, width=1, narrow=narrow, order=order)
    return sum(parameter.numel() for parameter in fusion.products.parameters()) - 1


def test_too_many_products_are_refused_with_what_to_try() -> None:
    for narrow, count in ((3, 63), (8, 3 + 6 + 4 + 18 + 12 + 24 + 72)):
        TensorSpec(narrow=narrow, most=count).build(WIDTHS)
        with pytest.raises(
            SpecError, match=rf"fusion\.most: tensor .* at most {count - 1} products, found {count} for"
        ):
            TensorSpec(narrow=narrow, most=count - 1).build(WIDTHS)


def test_names_may_have_dots_and_be_taken() -> None:
    fusion = built({"a.b": 2, "read": 3, "then": 2}, width=4, narrow=2)
    keys = list(fusion.state_dict())
    assert "products.then.a%2Eb.then.read.then.then.read.weight" in keys
    assert len(set(keys)) == len(keys) == 3 + 8


@pytest.mark.parametrize("filler", [math.nan, 1e30])
def test_the_content_of_an_absent_input_changes_no_bit(filler: float) -> None:
    fusion, tokens = built(WIDTHS), example(WIDTHS)
    spoilt = {
        name: Tokens(torch.where(one.present[:, None, None], one.values, filler), one.mask, one.present)
        for name, one in tokens.items()
    }
    assert all(torch.equal(*pair) for pair in zip(learned(fusion, tokens), learned(fusion, spoilt), strict=True))


def learned(fusion: Fusion, tokens: Mapping[str, Tokens]) -> list[Tensor]:
    fused = fusion(tokens)["joint"].pooled
    return [fused, *torch.autograd.grad(fused.square().sum(), list(fusion.parameters()))]
