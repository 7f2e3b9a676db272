"""Feature-wise modulation by hand and by its equation; what is left where an input is absent."""

import math

import pytest
import torch
from torch import Tensor, nn

from motet.core.errors import SpecError
from motet.core.flow import Tokens
from motet.fusion import FiLM, FiLMFusion, Hybrid
from motet.testing.tokens import WIDTHS, example


def numbers(**given: list[float | None]) -> dict[str, Tokens]:
    """Inputs of one number a row, None where absent."""
    tokens = {}
    for name, row in given.items():
        values = torch.tensor([[[math.nan if value is None else value]] for value in row])
        tokens[name] = Tokens(values, torch.ones(len(row), 1, dtype=torch.bool), ~values.isnan().flatten())
    return tokens


def by_hand(*, conditioned: str | None) -> FiLMFusion:
    """`y_a = 2 a`, `y_b = b`; of b for a: gamma = 3 b, beta = 1; of a for b: gamma = -a, beta = a / 2."""
    fusion = FiLMFusion({"a": 1, "b": 1}, width=1, conditioned=conditioned)
    values = {
        "project.a.weight": [[2.0]],
        "project.b.weight": [[1.0]],
        "modulate.a.b.weight": [[3.0], [0.0]],
        "modulate.a.b.bias": [0.0, 1.0],
        "modulate.b.a.weight": [[-1.0], [0.5]],
    }
    with torch.no_grad():
        for name, parameter in fusion.named_parameters():
            parameter.copy_(torch.tensor(values.get(name, 0.0)))
    return fusion


GIVEN = numbers(a=[4.0, 4.0, None, None], b=[0.5, None, 0.5, None])


def test_two_numbers_by_hand() -> None:
    a_by_b, b_by_a = (1 + 1.5) * 8 + 1, (1 - 4) * 0.5 + 2
    joint = by_hand(conditioned=None)(GIVEN)["joint"]
    # both: the mean of the two; one alone: itself, as no one conditions it
    torch.testing.assert_close(joint.pooled[:, 0], torch.tensor([(a_by_b + b_by_a) / 2, 8.0, 0.5, 0.0]))
    assert joint.present.tolist() == [True, True, True, False]


def test_the_one_conditioned_input_by_hand() -> None:
    joint = by_hand(conditioned="a")(GIVEN)["joint"]
    # both: a by b; a alone: itself; b alone: the shift that b is for a; none: nothing
    torch.testing.assert_close(joint.pooled[:, 0], torch.tensor([(1 + 1.5) * 8 + 1, 8.0, 1.0, 0.0]))
    assert joint.present.tolist() == [True, True, True, False]


def by_the_equation(fusion: FiLMFusion, m: str, row: dict[str, Tensor]) -> Tensor:
    """`y_m * prod (1 + gamma) + sum beta` over the other inputs in `row`."""
    state, width = fusion.state_dict(), fusion.output_width
    gain, shift, y = torch.ones(width), torch.zeros(width), torch.zeros(width)
    if m in row:
        y = state[f"project.{m}.weight"] @ row[m] + state[f"project.{m}.bias"]
    for n in row:
        if n != m:
            both = state[f"modulate.{m}.{n}.weight"] @ row[n] + state[f"modulate.{m}.{n}.bias"]
            gain, shift = gain * (1 + both[:width]), shift + both[width:]
    return gain * y + shift


@pytest.mark.parametrize("conditioned", [None, *WIDTHS])
def test_the_equation_on_every_subset_of_three_inputs(conditioned: str | None) -> None:
    torch.manual_seed(0)
    fusion, tokens = FiLMFusion(WIDTHS, width=5, conditioned=conditioned), example(WIDTHS)
    found = fusion(tokens)["joint"].pooled
    assert (found[0] == 0).all()
    for b in range(1, len(found)):
        row = {name: one.values[b][one.mask[b]].mean(dim=0) for name, one in tokens.items() if one.present[b]}
        wanted = list(row) if conditioned is None else [conditioned]
        expected = torch.stack([by_the_equation(fusion, m, row) for m in wanted]).mean(dim=0)
        torch.testing.assert_close(found[b], expected)


def test_an_input_alone_is_itself() -> None:
    torch.manual_seed(0)
    fusion, tokens = FiLMFusion(WIDTHS, width=5), example(WIDTHS)
    alone = tokens["photo"].present & ~tokens["age"].present & ~tokens["review"].present
    (row,) = alone.nonzero().flatten().tolist()
    photo = tokens["photo"].values[row][tokens["photo"].mask[row]].mean(dim=0)
    torch.testing.assert_close(fusion(tokens)["joint"].pooled[row], fusion.project["photo"](photo))


def test_two_inputs_do_more_together_than_each_by_itself() -> None:
    """`f(1, 1) - f(1, 0) - f(0, 1) + f(0, 0)` is 0 for any layer over both; here it is 3 b * 2 a."""
    pooled = by_hand(conditioned="a")(numbers(a=[1.0, 1.0, 0.0, 0.0], b=[1.0, 0.0, 1.0, 0.0]))["joint"].pooled[:, 0]
    assert (pooled @ torch.tensor([1.0, -1.0, -1.0, 1.0])).item() == pytest.approx(6)


@pytest.mark.parametrize("spec", [FiLM(conditioned="phto"), Hybrid(fusion=FiLM(conditioned="phto"))])
def test_an_unknown_conditioned_input_is_refused_with_the_nearest_name(spec: FiLM | Hybrid) -> None:
    with pytest.raises(SpecError, match=r"fusion\.conditioned: there is no input 'phto'; did you mean 'photo'"):
        spec.build(WIDTHS)


def test_many_conditioners_begin_smaller_so_that_their_product_does_not_run_away() -> None:
    torch.manual_seed(0)
    for num_others in (1, 4, 9):
        widths = {"a": 4} | {f"other {number}": 4 for number in range(num_others)}
        fusion = FiLMFusion(widths, width=50, conditioned="a")
        largest = max(linear.weight.abs().max().item() for _, linear in fusion.modulate["a"].items())
        usual = nn.Linear(4, 100).weight.abs().max().item()
        assert largest == pytest.approx(usual / math.sqrt(num_others), rel=0.05)
