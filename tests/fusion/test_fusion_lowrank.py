"""Low-rank fusion beside the full tensor of weights it stands for; how its factors begin."""

import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from motet.core.flow import Tokens
from motet.fusion import Fusion, LowRankFusion
from motet.testing.tokens import EIGHT_WIDTHS, WIDTHS, example


def built(widths: Mapping[str, int], *, width: int = 5, rank: int = 3) -> LowRankFusion:
    torch.manual_seed(0)
    fusion = LowRankFusion(widths, width=width, rank=rank)
    nn.init.normal_(fusion.weight)
    nn.init.normal_(fusion.bias)
    return fusion


def test_two_numbers_and_two_ranks_by_hand() -> None:
    fusion = LowRankFusion({"a": 1, "b": 1}, width=1, rank=2)
    given = {
        "factors.a.weight": [[2.0], [0.0]],
        "factors.a.bias": [1.0, 3.0],
        "factors.b.weight": [[-1.0], [4.0]],
        "factors.b.bias": [0.0, 1.0],
        "weight": [1.0, 10.0],
        "bias": [0.5],
    }
    fusion.load_state_dict({name: torch.tensor(values) for name, values in given.items()})
    a, b = torch.tensor([1.5, 1.5, math.nan, math.nan]), torch.tensor([-1.0, math.nan, -1.0, math.nan])
    one = torch.ones(4, 1, dtype=torch.bool)
    joint = fusion({name: Tokens(x[:, None, None], one, ~x.isnan()) for name, x in (("a", a), ("b", b))})["joint"]
    # a is 2 * 1.5 + 1 and 3, b is 1 and 4 * -1 + 1
    assert joint.pooled[:, 0].tolist() == [4 - 90 + 0.5, 4 + 30 + 0.5, 1 - 30 + 0.5, 11.5]
    assert joint.present.tolist() == [True, True, True, False]


def with_one(tokens: Tokens, row: int) -> Tensor:
    return torch.cat([tokens.values[row][tokens.mask[row]].mean(dim=0), torch.ones(1)])


def factor(fusion: LowRankFusion, name: str, *, rank: int, channel: int) -> Tensor:
    """`W_m^r`, of one output channel: the weights of x, then that of the 1."""
    place = rank * fusion.output_width + channel
    weight, bias = (fusion.state_dict()[f"factors.{name}.{part}"] for part in ("weight", "bias"))
    return torch.cat([weight[place], bias[place : place + 1]])


def test_it_is_a_full_tensor_of_weights_over_the_outer_product() -> None:
    fusion, tokens = built(WIDTHS), example(WIDTHS)
    b = 7  # of all subsets the one with every input
    age, photo, review = (with_one(tokens[name], b) for name in ("age", "photo", "review"))
    outer = age[:, None, None] * photo[None, :, None] * review[None, None]
    found = fusion(tokens)["joint"].pooled[b]
    for channel in range(5):
        full = torch.zeros(4, 7, 5)
        for rank in range(3):
            one, two, three = (factor(fusion, name, rank=rank, channel=channel) for name in sorted(WIDTHS))
            full += fusion.weight[rank].item() * one[:, None, None] * two[None, :, None] * three[None, None]
        torch.testing.assert_close(found[channel], (full * outer).sum() + fusion.bias[channel])


def test_the_equation_on_every_subset() -> None:
    fusion, tokens = built(WIDTHS), example(WIDTHS)
    found = fusion(tokens)["joint"].pooled
    for b in range(8):
        expected = fusion.bias.detach().clone()
        for rank in range(3):
            for channel in range(5):
                factors = [
                    float(factor(fusion, name, rank=rank, channel=channel) @ with_one(one, b))
                    for name, one in tokens.items()
                    if one.present[b]
                ]
                expected[channel] += fusion.weight[rank].item() * math.prod(factors)
        torch.testing.assert_close(found[b], expected)


@pytest.mark.parametrize("num_inputs", range(1, 9))
def test_products_of_any_number_neither_vanish_nor_run_away_at_first(num_inputs: int) -> None:
    widths = dict(list(EIGHT_WIDTHS.items())[:num_inputs])
    torch.manual_seed(0)
    fusion = LowRankFusion(widths, width=2000)
    one = torch.ones(64, 1, dtype=torch.bool)
    tokens = {name: Tokens(torch.randn(64, 1, width), one, one[:, 0]) for name, width in widths.items()}
    h = fusion(tokens)["joint"].pooled
    assert 0.6 < h.square().mean() < 1.6
    for name, values in tokens.items():  # each input is heard
        other = Tokens(torch.randn_like(values.values), one, one[:, 0])
        change = (fusion({**tokens, name: other})["joint"].pooled - h).square().mean()  # 2 / (M + 1) in the mean
        assert 1 < change * (num_inputs + 1) < 4


def test_every_factor_moves_when_it_is_trained() -> None:
    """Kept outside `parameters()`, as in three libraries, none would."""
    fusion, tokens = built(WIDTHS), example(WIDTHS)
    before = {name: value.clone() for name, value in fusion.state_dict().items()}
    assert sum(value.numel() for value in before.values()) == 3 * 5 * sum(w + 1 for w in WIDTHS.values()) + 3 + 5
    optimizer = torch.optim.SGD(fusion.parameters(), lr=0.1)
    fusion(tokens)["joint"].pooled.square().mean().backward()
    optimizer.step()
    for name, value in fusion.state_dict().items():
        assert not torch.equal(value, before[name]), name


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
