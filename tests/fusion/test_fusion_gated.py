"""The gated multimodal unit by hand and by its equation; what opens the gates and what ties them."""

import math

import pytest
import torch
from torch import Tensor, nn

from motet.core.flow import Tokens
from motet.fusion import GatedFusion
from motet.testing.tokens import WIDTHS, example


def numbers(**given: list[float | None]) -> dict[str, Tokens]:
    """Inputs of one number a row, None where absent."""
    tokens = {}
    for name, row in given.items():
        values = torch.tensor([[[math.nan if value is None else value]] for value in row])
        tokens[name] = Tokens(values, torch.ones(len(row), 1, dtype=torch.bool), ~values.isnan().flatten())
    return tokens


def filled(fusion: GatedFusion, **values: float) -> GatedFusion:
    """All parameters 0 but these, dots as double underscores."""
    for name, parameter in fusion.named_parameters():
        nn.init.constant_(parameter, values.pop(name.replace(".", "__"), 0.0))
    assert not values, f"no such parameters: {values}"
    return fusion


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_two_numbers_by_hand() -> None:
    fusion = filled(
        GatedFusion({"a": 1, "b": 1}, width=1),
        feature__a__weight=1.0,
        feature__b__weight=0.5,
        gate__a__a__weight=1.0,
        gate__a__b__weight=-1.0,
        gate__b__a__weight=3.0,
        gate__b__b__bias=0.25,
    )
    joint = fusion(numbers(a=[1.0, 1.0, None, None], b=[2.0, None, 2.0, None]))["joint"]
    one = math.tanh(1)  # both features, of 1 * 1 and 0.5 * 2
    by_hand = [sigmoid(1 - 2) * one + sigmoid(3 + 0.25) * one, sigmoid(1) * one, sigmoid(0.25) * one, 0.0]
    torch.testing.assert_close(joint.pooled[:, 0], torch.tensor(by_hand))
    assert joint.present.tolist() == [True, True, True, False]


def by_the_equation(fusion: GatedFusion, row: dict[str, Tensor], *, gates: str) -> Tensor:
    """`sum_m g_m * tanh(V_m x_m)` over the inputs in `row`, with the weights as `state_dict` names them."""
    state = fusion.state_dict()
    logits = {}
    for m in row:
        blocks = torch.cat([state[f"gate.{m}.{n}.weight"] for n in row], dim=1)
        logits[m] = blocks @ torch.cat(list(row.values())) + state[f"gate.{m}.{m}.bias"]
    total = torch.zeros(fusion.output_width)
    for m, x in row.items():
        gate = 1 / (1 + (-logits[m]).exp())
        if gates == "softmax":
            gate = logits[m].exp() / sum(logit.exp() for logit in logits.values())
        total = total + gate * torch.tanh(state[f"feature.{m}.weight"] @ x + state[f"feature.{m}.bias"])
    return total


@pytest.mark.parametrize("gates", ["sigmoid", "softmax"])
def test_the_equation_on_every_subset_of_three_inputs(gates: str) -> None:
    torch.manual_seed(0)
    fusion, tokens = GatedFusion(WIDTHS, width=5, gates=gates), example(WIDTHS)
    found = fusion(tokens)["joint"].pooled
    for b in range(len(found)):
        row = {name: one.values[b][one.mask[b]].mean(dim=0) for name, one in tokens.items() if one.present[b]}
        torch.testing.assert_close(found[b], by_the_equation(fusion, row, gates=gates))


def test_softmax_over_two_is_the_bimodal_unit_of_the_paper() -> None:
    torch.manual_seed(0)
    fusion = GatedFusion({"a": 3, "b": 2}, width=4, gates="softmax")
    state, (a, b) = fusion.state_dict(), (torch.randn(6, 3), torch.randn(6, 2))
    one = torch.ones(6, 1, dtype=torch.bool)
    found = fusion({"a": Tokens(a[:, None], one, one[:, 0]), "b": Tokens(b[:, None], one, one[:, 0])})["joint"].pooled
    difference = torch.cat([state["gate.a.a.weight"], state["gate.a.b.weight"]], dim=1)
    difference = difference - torch.cat([state["gate.b.a.weight"], state["gate.b.b.weight"]], dim=1)
    bias = state["gate.a.a.bias"] - state["gate.b.b.bias"]
    z = torch.sigmoid(torch.cat([a, b], dim=1) @ difference.T + bias)
    h_a = torch.tanh(a @ state["feature.a.weight"].T + state["feature.a.bias"])
    h_b = torch.tanh(b @ state["feature.b.weight"].T + state["feature.b.bias"])
    torch.testing.assert_close(found, z * h_a + (1 - z) * h_b)


def test_tied_gates_add_up_to_one_over_the_inputs_present_and_untied_ones_need_not() -> None:
    tokens = example(WIDTHS)
    for gates in ("sigmoid", "softmax"):
        torch.manual_seed(0)
        fusion = GatedFusion(WIDTHS, width=5, gates=gates)
        for _, linear in fusion.feature.items():
            nn.init.zeros_(linear.weight)
            nn.init.constant_(linear.bias, 20.0)  # every feature is 1
        sums = fusion(tokens)["joint"].pooled
        assert (sums[0] == 0).all()
        assert torch.allclose(sums[1:], torch.ones(7, 5)) == (gates == "softmax")


def test_an_input_that_adds_nothing_still_opens_the_gates_of_others() -> None:
    fusion = GatedFusion({"a": 1, "b": 1}, width=1)
    filled(fusion, feature__a__weight=1.0, gate__a__b__weight=1.0)
    shut, ajar, wide = fusion(numbers(a=[1.0, 1.0, 1.0], b=[-9.0, 0.0, 9.0]))["joint"].pooled[:, 0].tolist()
    assert shut < 0.001
    assert ajar == pytest.approx(math.tanh(1) / 2)
    assert wide > math.tanh(1) - 0.001


def test_gates_begin_as_one_layer_over_all_inputs_would() -> None:
    torch.manual_seed(0)
    fusion = GatedFusion({f"input {number}": 4 for number in range(9)}, width=50)
    weights = torch.cat([linear.weight for _, linear in fusion.gate["input 0"].items()], dim=1)
    bound = 1 / math.sqrt(9 * 4)
    assert 0.9 * bound < weights.abs().max() <= bound
