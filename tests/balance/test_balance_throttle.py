"""What throttles are made of: scores, terms, means, Shapley values, and the nodes on the way back."""

import math
from typing import Any

import pytest
import torch
from throttled import told
from torch import Tensor

from motet import balance
from motet.balance.gradients import met, scaled
from motet.balance.numbers import Means
from motet.balance.shapley import shapley
from motet.balance.singles import mean_by_input, scores, single_terms
from motet.core.flow import Tokens

NONE = balance.NoThrottle()


def tokens_of(values: Tensor, present: list[bool] | None = None) -> Tokens:
    there = torch.tensor(present or [True] * len(values))
    return Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool), there)


# --- the one that does nothing


def test_none_is_the_identity_forward_and_back() -> None:
    tokens = {"photo": tokens_of(torch.randn(2, 1, 3, requires_grad=True))}
    throttle = NONE.build({"photo": 3}, tasks={"price": None}).train()
    throttled, alone = throttle(tokens)
    assert throttled["photo"] is tokens["photo"]
    assert alone == {}
    assert not throttle.uses_singles
    assert not list(throttle.parameters())


# --- scores


def test_the_score_is_the_probability_of_the_true_label_averaged_over_counted_rows_then_tasks() -> None:
    probabilities = {"a": {"x": [0.5, 0.25], "y": [0.1, 0.9]}, "b": {"x": [0.8, 0.3], "y": [1.0, 0.5]}}
    losses = {
        name: {task: [-math.log(p) for p in row] for task, row in own.items()} for name, own in probabilities.items()
    }
    found = scores(told(losses, absent={"b": [1]}))
    assert found == pytest.approx({"a": ((0.5 + 0.25) / 2 + (0.1 + 0.9) / 2) / 2, "b": (0.8 + 1.0) / 2})


def test_the_score_of_a_number_is_its_gaussian_likelihood() -> None:
    assert scores(told({"a": {"x": [0.0, 4.0]}})) == pytest.approx({"a": (1 + math.exp(-4.0)) / 2})


def test_an_input_without_rows_or_without_a_finite_loss_has_no_score() -> None:
    losses = {"a": {"x": [1.0, 1.0]}, "b": {"x": [1.0, 1.0]}, "c": {"x": [1.0, math.nan], "y": [0.0, 0.0]}}
    losses |= {"d": {"x": [math.nan, 0.0]}}
    found = scores(told(losses, absent={"b": [0, 1]}))
    assert found == pytest.approx({"a": math.exp(-1), "c": 1.0})


def test_nothing_to_average_is_nothing() -> None:
    assert mean_by_input({}, {}) == {}
    assert mean_by_input({"a": {}}, {"a": {}}) == {}


def test_terms_stand_on_the_footing_of_the_tasks_own_loss() -> None:
    """Rows without the input count as 0, so the sum over inputs is a mean over labelled rows of each."""
    terms = single_terms(told({"a": {"x": [1.0, 3.0]}, "b": {"x": [5.0, 7.0]}}, absent={"b": [0]}))
    assert {name: float(term) for name, term in terms.items()} == {"x/a alone": 2.0, "x/b alone": 3.5}


def test_means_leave_out_what_does_not_count_and_begin_anew() -> None:
    means = Means(["a", "b.c"])
    means.add("b.c", torch.tensor([1.0, 2.0, 4.0, math.inf]), torch.tensor([True, False, True, True]))
    means.add("b.c", torch.tensor([7.0]), torch.tensor([True]))
    assert means.found() == {"b.c": 4.0}
    means.clear()
    assert means.found() == {}


# --- Shapley values


@pytest.mark.parametrize("names", [["a"], ["a", "b"], ["a", "b", "c"], ["d", "c", "b", "a"]], ids=len)
def test_shapley_is_the_mean_over_all_orders_of_coming_in(names: list[str]) -> None:
    """The definition, by hand: each input's addition when the inputs come one after another, in every order."""
    from itertools import permutations

    chance = torch.Generator().manual_seed(len(names))
    worth: dict[frozenset[str], Tensor] = {}

    def value(inside: frozenset[str]) -> dict[str, Tensor]:
        return {"x": worth.setdefault(inside, torch.randn(3, generator=chance))}

    expected = dict.fromkeys(names, torch.zeros(3))
    orders = list(permutations(names))
    for order in orders:
        for place, name in enumerate(order):
            added = value(frozenset(order[: place + 1]))["x"] - value(frozenset(order[:place]))["x"]
            expected[name] = expected[name] + added / len(orders)
    found = shapley(names, value)
    for name in names:
        torch.testing.assert_close(found[name]["x"], expected[name])
    whole = value(frozenset(names))["x"] - value(frozenset())["x"]
    torch.testing.assert_close(torch.stack([found[name]["x"] for name in names]).sum(dim=0), whole)


def test_from_five_inputs_on_shapley_is_the_mean_of_alone_and_left_out() -> None:
    asked: list[frozenset[str]] = []

    def value(inside: frozenset[str]) -> dict[str, Tensor]:
        asked.append(inside)
        return {"x": torch.tensor([float(sum(map(ord, inside)) ** 2)])}

    found = shapley(list("abcde"), value)
    assert len(asked) == 2 * 5 + 2
    whole, rest = sum(map(ord, "abcde")) ** 2, sum(map(ord, "bcde")) ** 2
    assert found["a"]["x"].item() == pytest.approx((ord("a") ** 2 + whole - rest) / 2)


# --- the nodes


def test_a_scaled_gradient_is_scaled_in_the_rows_that_have_the_input_and_nowhere_else() -> None:
    values = torch.randn(3, 2, 4, requires_grad=True)
    throttle = NONE.build({"a": 4}, tasks={})
    out = scaled({"a": tokens_of(values, [True, False, True])}, throttle)["a"]
    assert torch.equal(out.values, values)
    throttle.factors = {"a": 0.25}  # found after the forward pass
    weights = torch.randn(3, 2, 4)
    (out.values * weights).sum().backward()
    assert values.grad is not None
    torch.testing.assert_close(values.grad, weights * torch.tensor([0.25, 1.0, 0.25])[:, None, None])


def test_the_meeting_hands_over_both_gradients_at_once_hidden_rows_taken_out() -> None:
    values = torch.randn(2, 1, 2, requires_grad=True)
    handed: list[Any] = []

    def combine(name: str, joint: Tensor | None, single: Tensor | None) -> Tensor:
        handed.append((name, joint, single))
        return torch.full((2, 1, 2), 7.0)

    joint, single = met({"a": tokens_of(values, [True, False])}, combine)
    (2 * joint["a"].values).sum().backward(retain_graph=True)
    (2 * joint["a"].values + 3 * single["a"].values).sum().backward()
    assert handed[0][2] is None
    name, first, second = handed[1]
    assert (name, first.flatten().tolist(), second.flatten().tolist()) == ("a", [2, 2, 0, 0], [3, 3, 0, 0])
    assert values.grad is not None
    assert values.grad.flatten().tolist() == [14.0, 14.0, 7.0, 7.0]  # twice the 7; the plain 2, then 2 + 3


def test_without_gradients_there_are_no_nodes() -> None:
    tokens = {"a": tokens_of(torch.randn(2, 1, 2))}
    assert scaled(tokens, NONE.build({"a": 2}, tasks={}))["a"] is tokens["a"]
    joint, single = met(tokens, lambda name, one, other: torch.zeros(()))
    assert joint["a"].values is single["a"].values is tokens["a"].values
