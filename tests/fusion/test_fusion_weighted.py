"""The weighted sum by its equation, its weights learned or predicted."""

import pytest
import torch
from torch import Tensor, nn

from motet.fusion import WeightedFusion
from motet.testing.tokens import WIDTHS, example


def seeded(*, per_row: bool) -> WeightedFusion:
    torch.manual_seed(0)
    fusion = WeightedFusion(WIDTHS, width=5, per_row=per_row)
    if fusion.logits is not None:
        for parameter in fusion.logits.parameters():
            nn.init.normal_(parameter)
    return fusion


def by_the_equation(fusion: WeightedFusion, row: dict[str, Tensor], *, per_row: bool) -> Tensor:
    """`sum_m exp(l_m) P_m x_m / sum_n exp(l_n)` over the inputs in `row`."""
    state = fusion.state_dict()
    above, below = torch.zeros(fusion.output_width), torch.zeros(())
    for m, x in row.items():
        y = state[f"project.maps.{m}.weight"] @ x + state[f"project.maps.{m}.bias"]
        logit = state[f"score.{m}.weight"][0] @ y + state[f"score.{m}.bias"][0] if per_row else state[f"logits.{m}"]
        above, below = above + logit.exp() * y, below + logit.exp()
    return above / below


@pytest.mark.parametrize("per_row", [False, True])
def test_the_equation_on_every_subset_of_three_inputs(per_row: bool) -> None:
    fusion, tokens = seeded(per_row=per_row), example(WIDTHS)
    joint = fusion(tokens)["joint"]
    for b in range(1, len(joint.pooled)):
        row = {name: one.values[b][one.mask[b]].mean(dim=0) for name, one in tokens.items() if one.present[b]}
        torch.testing.assert_close(joint.pooled[b], by_the_equation(fusion, row, per_row=per_row))
    assert joint.present.tolist() == [False] + [True] * 7


def test_a_row_without_any_input_is_the_mean_of_what_the_absent_tokens_become() -> None:
    fusion, tokens = seeded(per_row=False), example(WIDTHS)
    absent = {name: one.values[0, 0] for name, one in tokens.items()}
    expected = torch.stack([fusion.project.maps[name](token) for name, token in absent.items()]).mean(dim=0)
    torch.testing.assert_close(fusion(tokens)["joint"].pooled[0], expected)


def test_a_predicted_weight_looks_at_its_own_input_alone() -> None:
    """The weights of two inputs keep their ratio whatever the third says; only together they grow or shrink."""
    fusion, tokens = seeded(per_row=True), example(WIDTHS)
    logits = fusion._logits(fusion.project(tokens))
    tokens["photo"].values.mul_(-1)
    changed = fusion._logits(fusion.project(tokens)) != logits
    assert changed.any(dim=0).tolist() == [False, True, False]
