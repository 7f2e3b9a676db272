"""GradVac: by hand, against explicit gradients over ten steps with state, by its properties, and against TorchJD."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stepped import (
    Step,
    assert_an_absent_task_keeps_its_state,
    assert_order_of_tasks_is_nothing,
    assert_resumes,
    build,
    steps,
    update,
)
from torchjd.aggregation import GradVacWeighting

from motet.balance import GradVac, GradVacBalancer
from motet.balance.orders import random_orders


def rows_of(seed: int, num_tasks: int, width: int = 30) -> torch.Tensor:
    return torch.randn(num_tasks, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def names(count: int) -> list[str]:
    return [f"t{index:02}" for index in range(count)]


def known(balancer: GradVacBalancer, i: str, j: str) -> float:
    return balancer.usual.of(i, j)


def learn(balancer: GradVacBalancer, usual: dict[tuple[str, str], float]) -> None:
    """As if the two tasks had met before."""
    balancer.usual.write(["a", "b"], np.array([[0.0, usual["a", "b"]], [usual["b", "a"], 0.0]]))


class ByHand:
    """Algorithm 1 of the paper on the gradients themselves, pair by pair."""

    def __init__(self, beta: float, seed: int) -> None:
        self.beta, self.seed, self.number = beta, seed, 0
        self.usual: dict[tuple[str, str], float] = {}

    def __call__(self, gradients: dict[str, torch.Tensor]) -> torch.Tensor:
        tasks = list(gradients)
        orders = random_orders(tasks, self.seed, "gradvac", self.number)
        self.number += 1
        total = torch.zeros_like(gradients[tasks[0]])
        for i, order in zip(tasks, orders, strict=True):
            turned = gradients[i].clone()
            for j in (tasks[place] for place in order):
                other = gradients[j]
                cosine = min(float((turned * other).sum() / (turned.norm() * other.norm())), 1.0)
                target = self.usual.get((i, j), 0.0)
                if cosine < target:
                    up = float(turned.norm()) * (target * math.sqrt(1 - cosine**2) - cosine * math.sqrt(1 - target**2))
                    turned = turned + up / (float(other.norm()) * math.sqrt(1 - target**2)) * other
                self.usual[i, j] = (1 - self.beta) * target + self.beta * cosine
            total += turned
        return total


def test_two_tasks_by_hand() -> None:
    """Orthogonal unit gradients whose usual cosine is 0.6: g_a' = g_a + 0.75 g_b, (1, .75) / 1.25 = (.8, .6)."""
    balancer = GradVacBalancer(["a", "b"], beta=0.5)
    learn(balancer, {("a", "b"): 0.6, ("b", "a"): 0.6})
    weights = balancer.combine(torch.eye(2, dtype=torch.float64), ["a", "b"])
    torch.testing.assert_close(weights, torch.tensor([1.75, 1.75], dtype=torch.float64))
    assert known(balancer, "a", "b") == pytest.approx(0.3)  # (1 - .5) * .6 + .5 * 0


@pytest.mark.parametrize("beta", [0.01, 0.5])
@pytest.mark.parametrize("at", ["features", "parameters"])
def test_ten_steps_equal_the_turns_written_out(at: str, beta: float) -> None:
    junction, by_hand = build(GradVac(at=at, beta=beta), seed=2), ByHand(beta, seed=2)
    for step in steps():
        found = update(junction, step)
        if at == "features":
            expected = step.x.T @ by_hand(dict(step.at_features))
        else:
            expected = by_hand({task: step.at_parameters(task) for task in step.losses})
        torch.testing.assert_close(found, expected)
    assert len(by_hand.usual) == 12
    for (i, j), cosine in by_hand.usual.items():
        assert known(junction.balancer, i, j) == pytest.approx(cosine)


@pytest.mark.parametrize("sizes", [0, 8])
def test_many_tasks_some_missing_equal_the_turns_written_out(sizes: int) -> None:
    """Gradients of lengths 1 to `10^sizes`, two of them in the same direction."""
    balancer, by_hand = GradVacBalancer(names(24), beta=0.3, seed=1), ByHand(0.3, seed=1)
    for number in range(4):
        rows = rows_of(number, 24) * torch.logspace(0, sizes, 24, dtype=torch.float64)[:, None]
        rows[3] = 2 * rows[2]
        there = [name for index, name in enumerate(names(24)) if (index * index + number) % 5]
        rows = rows[[names(24).index(name) for name in there]]
        weights = balancer.combine(rows @ rows.T, there)
        torch.testing.assert_close(
            weights @ rows, by_hand(dict(zip(there, rows, strict=True))), rtol=1e-9, atol=1e-9 * float(rows.norm())
        )
    for (i, j), cosine in by_hand.usual.items():
        assert known(balancer, i, j) == pytest.approx(cosine, abs=1e-9)
    assert len(by_hand.usual) > 23 * 22


@given(st.integers(0, 10**6), st.floats(-0.9, 0.9))
@settings(max_examples=50)
def test_a_turned_gradient_has_the_usual_cosine(seed: int, usual: float) -> None:
    rows = rows_of(seed, 2, width=3)
    balancer = GradVacBalancer(["a", "b"])
    learn(balancer, {("a", "b"): usual, ("b", "a"): -1.0})  # g_b stays as it is
    weights = balancer.combine(rows @ rows.T, ["a", "b"])
    turned = rows[0] + (weights[1] - 1) * rows[1]
    before, after = (float(torch.cosine_similarity(g, rows[1], dim=0)) for g in (rows[0], turned))
    assert weights[0] == pytest.approx(1.0)
    assert after == pytest.approx(max(before, usual), abs=1e-6)


def test_with_targets_of_zero_it_is_pcgrad_of_two() -> None:
    for seed in range(10):
        rows = rows_of(seed, 2, width=3)
        gram = rows @ rows.T
        conflict = min(0.0, float(gram[0, 1]))
        expected = [1 - conflict / float(gram[0, 0]), 1 - conflict / float(gram[1, 1])]
        assert GradVacBalancer(["a", "b"]).combine(gram, ["a", "b"]).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("num_tasks", [2, 3, 6])
@pytest.mark.parametrize("beta", [0.01, 0.5])
def test_agrees_with_torchjd_given_the_same_orders(
    num_tasks: int, beta: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = GradVacBalancer(names(num_tasks), beta=beta, seed=4), GradVacWeighting(beta=beta)
    for number in range(8):
        rows = rows_of(number, num_tasks)
        orders = random_orders(names(num_tasks), 4, "gradvac", number).tolist()
        others = [[j for j in range(num_tasks) if j != i] for i in range(num_tasks)]
        drawn = iter([[others[i].index(j) for j in order] for i, order in enumerate(orders)])
        found = ours.combine(rows @ rows.T, names(num_tasks))
        with monkeypatch.context() as patch:
            patch.setattr(torch, "randperm", lambda count, drawn=drawn: torch.tensor(next(drawn)))
            expected = theirs(rows @ rows.T)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)  # they add 1e-8 to denominators


def test_a_pair_is_learned_by_the_names_of_both() -> None:
    balancer = GradVacBalancer(["a", "b", "c.d"], beta=1.0)
    gram = torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    balancer.combine(gram, ["c.d", "a"])
    assert known(balancer, "a", "c.d") == known(balancer, "c.d", "a") == 0.5
    assert known(balancer, "a", "b") == 0.0


def test_zero_equal_and_opposed_rows_are_finite_however_long() -> None:
    rows = torch.tensor([[1.0, 2.0], [1.0, 2.0], [-1.0, -2.0], [0.0, 0.0], [1e-9, 1e9]], dtype=torch.float64)
    balancer = GradVacBalancer(names(5), beta=0.5)
    for _ in range(100):
        assert balancer.combine(rows @ rows.T, names(5)).isfinite().all()


@given(st.lists(st.floats(0.1, 9.0), min_size=2, max_size=6), st.integers(0, 63), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_on_one_line_what_always_agreed_goes_to_nothing_where_it_disagrees(
    sizes: list[float], signs: int, seed: int
) -> None:
    """Numbers times one direction: what meets its opposite is zero from there on, and agrees with nobody."""
    tasks = names(len(sizes))
    values = [-size if signs >> place & 1 else size for place, size in enumerate(sizes)]
    rows = torch.tensor(values, dtype=torch.float64)[:, None] * torch.tensor([[0.1, 0.7, -1.3]], dtype=torch.float64)
    balancer = GradVacBalancer(tasks, beta=1.0, seed=seed)
    balancer.usual.write(tasks, np.ones((len(tasks), len(tasks))))
    found = balancer.combine(rows @ rows.T, tasks)
    expected = torch.zeros(3, dtype=torch.float64)
    for i, order in enumerate(random_orders(tasks, seed, "gradvac", 0).tolist()):
        met = [math.copysign(1.0, values[i] * values[j]) for j in order]
        before = met.index(-1.0) + 1 if -1.0 in met else len(met)
        for place, j in enumerate(order):
            assert known(balancer, tasks[i], tasks[j]) == pytest.approx(met[place] if place < before else 0.0)
        if -1.0 not in met:
            expected += rows[i]
    torch.testing.assert_close(found @ rows, expected, rtol=1e-9, atol=1e-9)


def test_a_pair_that_always_agreed_is_not_turned_without_bound() -> None:
    """After long agreement the target is 1 but for rounding; a bit of disagreement must not let the update explode."""
    balancer = GradVacBalancer(["a", "b"], beta=1.0)
    balancer.combine(torch.ones(2, 2, dtype=torch.float64), ["a", "b"])
    almost = torch.tensor([[1.0, 1 - 1e-8], [1 - 1e-8, 1.0]], dtype=torch.float64)
    assert balancer.combine(almost, ["a", "b"]).tolist() == [1.0, 1.0]
    balancer.combine(torch.ones(2, 2, dtype=torch.float64), ["a", "b"])
    assert balancer.combine(torch.eye(2, dtype=torch.float64), ["a", "b"]).max() < 1000


@pytest.mark.parametrize("num_tasks", [1, 2, 16, 64])
def test_any_number_of_tasks(num_tasks: int) -> None:
    balancer, rows = GradVacBalancer(names(num_tasks), beta=0.5), rows_of(0, num_tasks)
    for _ in range(2):
        weights = balancer.combine(rows @ rows.T, names(num_tasks))
        assert weights.isfinite().all()
    assert weights.shape == (num_tasks,)


def test_a_task_alone_keeps_its_gradient() -> None:
    step = next(steps(1))
    lone = Step(step.x, {"alpha": step.at_features["alpha"]}, {"alpha": 1.0})
    torch.testing.assert_close(update(build(GradVac(at="features")), lone), step.at_parameters("alpha"))


def test_a_resumed_run_goes_on_bit_for_bit() -> None:
    assert_resumes(GradVac(beta=0.5))


def test_the_order_of_tasks_changes_nothing() -> None:
    assert_order_of_tasks_is_nothing(GradVac(beta=0.5))


def test_an_absent_task_keeps_what_it_had() -> None:
    assert_an_absent_task_keeps_its_state(GradVac(beta=0.5))
