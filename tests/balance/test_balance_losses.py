"""Balancers that only weigh losses: fixed weights and uncertainty."""

import math

import pytest
import torch
from pydantic import ValidationError

from motet.balance import Fixed, Junction, Uncertainty
from motet.core.errors import SpecError


def test_fixed_weights_by_hand() -> None:
    junction = Junction(Fixed(weights={"b": 2.5}), tasks=("a", "b"))
    total = junction.total({"a": torch.tensor(2.0), "b": torch.tensor(4.0)})
    assert total.item() == 2.0 + 2.5 * 4.0


def test_fixed_reaches_heads_and_trunk() -> None:
    junction = Junction(Fixed(weights={"a": 3.0}), tasks=("a",))
    x, head = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    junction.total({"a": (junction(x)["a"] * head).sum()}).backward()
    assert x.grad is not None
    assert head.grad is not None
    assert x.grad.tolist() == head.grad.tolist() == [3.0, 3.0]


def test_a_weight_for_no_task_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SpecError, match="did you mean 'price'"):
        Fixed(weights={"prise": 1.0}).build(["price", "sold"])


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_weights_are_positive_numbers(weight: float) -> None:
    with pytest.raises(ValidationError):
        Fixed(weights={"a": weight})


def test_uncertainty_by_hand() -> None:
    balancer = Uncertainty().build(["a", "b"])
    with torch.no_grad():
        balancer.log_variance.get_parameter("b").fill_(math.log(4.0))
    terms = balancer.weigh({"b": torch.tensor(8.0), "a": torch.tensor(3.0)})
    assert terms["a"].item() == 3.0  # s = 0: the loss itself
    assert terms["b"].item() == pytest.approx(8.0 / 4.0 + math.log(4.0) / 2)


def test_uncertainty_rests_at_half_the_inverse_loss() -> None:
    """The published property: for constant losses the weight e^-s settles at 1 / (2 L)."""
    balancer = Uncertainty().build(["a", "b"])
    optimizer = torch.optim.SGD(balancer.parameters(), lr=0.2)
    for _ in range(2000):
        optimizer.zero_grad()
        torch.stack(list(balancer.weigh({"a": torch.tensor(0.25), "b": torch.tensor(5.0)}).values())).sum().backward()
        optimizer.step()
    weights = torch.exp(-balancer.log_variance(["a", "b"]))
    torch.testing.assert_close(weights, torch.tensor([2.0, 0.1]), rtol=1e-3, atol=0.0)


def test_uncertainty_is_kept_by_name() -> None:
    first = Uncertainty().build(["b.x", "a"])
    with torch.no_grad():
        first.log_variance.get_parameter("a").fill_(7.0)
    second = Uncertainty().build(["a", "b.x"])
    second.load_state_dict(first.state_dict())
    assert second.log_variance(["b.x", "a"]).tolist() == [0.0, 7.0]


def test_an_unlabelled_task_keeps_its_variance() -> None:
    balancer = Uncertainty().build(["a", "b"])
    balancer.weigh({"a": torch.tensor(1.0)})["a"].backward()
    assert balancer.log_variance.get_parameter("b").grad is None
    assert balancer.log_variance.get_parameter("a").grad is not None
