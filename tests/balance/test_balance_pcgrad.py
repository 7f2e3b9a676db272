"""PCGrad: by hand, against explicit projections over ten steps, by its properties, and against TorchJD."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stepped import TASKS, assert_order_of_tasks_is_nothing, assert_resumes, build, steps, update
from torchjd.aggregation import PCGradWeighting

from motet.balance import PCGrad, PCGradBalancer
from motet.balance.orders import random_orders


def gram_of(seed: int, num_tasks: int, width: int = 30, shift: float = -0.1) -> torch.Tensor:
    rows = torch.randn(num_tasks, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + shift
    return rows @ rows.T


def names(count: int) -> list[str]:
    return [f"t{index:02}" for index in range(count)]


def by_hand(gradients: list[torch.Tensor], orders: list[list[int]]) -> torch.Tensor:
    """Algorithm 1 of the paper on the gradients themselves."""
    total = torch.zeros_like(gradients[0])
    for i, own in enumerate(gradients):
        projected = own.clone()
        for j in orders[i]:
            slope = (projected * gradients[j]).sum()
            if slope < 0:
                projected = projected - slope / (gradients[j] ** 2).sum() * gradients[j]
        total += projected
    return total


def test_two_tasks_by_hand() -> None:
    # g_a = (1, 0), g_b = (-1, 1): g_a' = (1, 0) + 1/2 (-1, 1), g_b' = (-1, 1) + (1, 0)
    gram = torch.tensor([[1.0, -1.0], [-1.0, 2.0]], dtype=torch.float64)
    assert PCGradBalancer().combine(gram, ["a", "b"]).tolist() == [2.0, 1.5]


@given(st.integers(0, 10**6))
def test_two_tasks_in_closed_form(seed: int) -> None:
    gram = gram_of(seed, 2, width=3)
    conflict = min(0.0, float(gram[0, 1]))
    expected = [1 - conflict / float(gram[0, 0]), 1 - conflict / float(gram[1, 1])]
    assert PCGradBalancer(seed=seed).combine(gram, ["a", "b"]).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("at", ["features", "parameters"])
def test_ten_steps_equal_the_projections_written_out(at: str) -> None:
    junction = build(PCGrad(at=at), seed=3)
    conflicts = 0
    for number, step in enumerate(steps()):
        found = update(junction, step)
        tasks = list(step.losses)
        orders = random_orders(tasks, 3, "pcgrad", number).tolist()
        if at == "features":
            expected = step.x.T @ by_hand([step.at_features[task] for task in tasks], orders)
        else:
            expected = by_hand([step.at_parameters(task) for task in tasks], orders)
        torch.testing.assert_close(found, expected)
        conflicts += not torch.allclose(expected, sum(step.at_parameters(task) for task in tasks))
    assert conflicts > 5


@pytest.mark.parametrize("sizes", [0, 8])
def test_many_tasks_equal_the_projections_written_out(sizes: int) -> None:
    """Gradients of lengths 1 to `10^sizes`, with a twin and an opposite among them."""
    rows = torch.randn(24, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    rows *= torch.logspace(0, sizes, 24, dtype=torch.float64)[:, None]
    rows[3], rows[5] = rows[2], -rows[4]
    weights = PCGradBalancer(seed=2).combine(rows @ rows.T, names(24))
    expected = by_hand(list(rows), random_orders(names(24), 2, "pcgrad", 0).tolist())
    torch.testing.assert_close(weights @ rows, expected, rtol=1e-9, atol=1e-9 * float(rows.norm()))
    assert (weights > 1).sum() > 20


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("num_tasks", [2, 3, 6])
def test_agrees_with_torchjd_given_the_same_orders(seed: int, num_tasks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    gram = gram_of(seed, num_tasks)
    orders = iter(random_orders(names(num_tasks), seed, "pcgrad", 0).tolist())
    ours = PCGradBalancer(seed=seed).combine(gram, names(num_tasks))
    monkeypatch.setattr(torch, "randperm", lambda count: torch.tensor(next(orders)))
    torch.testing.assert_close(ours, PCGradWeighting()(gram))


@given(st.integers(0, 10**6), st.integers(2, 6))
@settings(max_examples=30)
def test_gradients_that_do_not_conflict_are_summed_untouched(seed: int, num_tasks: int) -> None:
    gram = gram_of(seed, num_tasks).abs()
    assert PCGradBalancer().combine(gram, names(num_tasks)).tolist() == [1.0] * num_tasks


@given(st.integers(0, 10**6))
@settings(max_examples=30)
def test_two_projected_gradients_no_longer_conflict(seed: int) -> None:
    """With two tasks a step along the update lowers both losses, to first order."""
    gram = gram_of(seed, 2, width=4)
    assert (gram @ PCGradBalancer().combine(gram, ["a", "b"]) >= -1e-9).all()


def test_the_order_is_drawn_anew_for_each_task_and_step() -> None:
    drawn = {tuple(random_orders(TASKS, 0, "pcgrad", step)[i].tolist()) for step in range(30) for i in range(4)}
    assert len(drawn) == 4 * 6  # every order of the three others occurs
    orders = [np.argsort(np.argsort(random_orders(TASKS, 0, "pcgrad", step), axis=1), axis=1) for step in range(5)]
    assert any((order != order[0]).any() for order in orders)  # not one draw for all tasks
    assert any(
        not np.array_equal(*(random_orders(TASKS, seed, "pcgrad", step) for seed in (0, 1))) for step in range(5)
    )


def test_each_order_is_of_the_others_and_goes_by_name() -> None:
    straight, turned = (random_orders(tasks, 5) for tasks in (TASKS, TASKS[::-1]))
    for place, task in enumerate(TASKS):
        met = [TASKS[other] for other in straight[place]]
        assert sorted([*met, task]) == sorted(TASKS)
        assert met == [TASKS[::-1][other] for other in turned[TASKS[::-1].index(task)]]


def test_zero_equal_and_opposed_rows_are_finite() -> None:
    rows = torch.tensor([[1.0, 2.0], [1.0, 2.0], [-1.0, -2.0], [0.0, 0.0], [1e-9, 1e9]], dtype=torch.float64)
    assert PCGradBalancer().combine(rows @ rows.T, names(5)).isfinite().all()
    opposed = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    assert (opposed @ PCGradBalancer().combine(opposed, names(2)) == 0).all()  # nothing is left of either


@pytest.mark.parametrize("num_tasks", [1, 2, 16, 64])
def test_any_number_of_tasks_quickly(num_tasks: int) -> None:
    balancer, gram = PCGradBalancer(), gram_of(0, num_tasks)
    weights = balancer.combine(gram, names(num_tasks))
    assert weights.shape == (num_tasks,)
    assert (weights >= 1).all()
    begun = time.perf_counter()
    balancer.combine(gram, names(num_tasks))
    assert time.perf_counter() - begun < 0.5


def test_a_resumed_run_draws_the_same() -> None:
    assert_resumes(PCGrad())


def test_the_order_of_tasks_changes_nothing() -> None:
    assert_order_of_tasks_is_nothing(PCGrad())
