"""Weights from relations: by hand, measured over steps with tasks missing, and what a matrix may say."""

import math
from itertools import combinations, permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from motet.balance import Junction, Relation
from motet.core.errors import SpecError

NAMES = ("a", "b", "c.d", 'e"f')


def gram_of(seed: int, num_tasks: int) -> Tensor:
    rows = torch.randn(num_tasks, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return rows @ rows.T


def mapped(means: dict[str, float], temperature: float) -> dict[str, float]:
    powers = {task: math.exp(mean / temperature) for task, mean in means.items()}
    return {task: len(powers) * power / sum(powers.values()) for task, power in powers.items()}


def test_a_matrix_by_hand() -> None:
    balancer = Relation(matrix={"a": {"b": 0.8}, "c": {"a": -0.2}}, temperature=0.5).build(["a", "b", "c"])
    expected = mapped({"a": 0.3, "b": 0.4, "c": -0.1}, 0.5)
    assert balancer.weights() == pytest.approx(expected)
    found = balancer.combine(gram_of(0, 2), ["a", "c"])  # whoever is there, and whatever the gradients
    assert found.tolist() == pytest.approx([expected["a"], expected["c"]])
    assert not balancer.state_dict()  # what the user wrote is no state


def test_one_measured_step_by_hand() -> None:
    """Gradients (1, 0), (1, 1) and (0, 3): cosines 1/sqrt 2, 0 and 1/sqrt 2."""
    rows = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 3.0]], dtype=torch.float64)
    found = Relation().build(["a", "b", "c"]).combine(rows @ rows.T, ["a", "b", "c"])
    half = 0.5 / math.sqrt(2)
    assert found.tolist() == pytest.approx(list(mapped({"a": half, "b": 2 * half, "c": half}, 1.0).values()))


def test_twenty_steps_with_tasks_missing_unevenly() -> None:
    momentum = 0.8
    balancer = Relation(momentum=momentum, temperature=0.3).build(NAMES)
    seen: dict[tuple[str, str], list[float]] = {pair: [] for pair in combinations(NAMES, 2)}
    for step in range(20):
        there = [name for index, name in enumerate(NAMES) if (index * index + step) % 3]
        gram = gram_of(step, len(there))
        for (i, one), (j, other) in combinations(enumerate(there), 2):
            seen[one, other].append(float(gram[i, j] / (gram[i, i] * gram[j, j]).sqrt()))
        relation = {}
        for pair, cosines in seen.items():
            mean = 0.0
            for count, cosine in enumerate(cosines, start=1):
                mean += (cosine - mean) / count if 1 / count > 1 - momentum else (1 - momentum) * (cosine - mean)
            relation[pair] = mean
        means = {name: sum(r for pair, r in relation.items() if name in pair) / 3 for name in NAMES}
        expected = mapped(means, 0.3)
        found = balancer.combine(gram, there).tolist()
        assert found == pytest.approx([expected[name] for name in there], rel=1e-12)
    assert any(len(cosines) < 20 for cosines in seen.values())


def test_a_resumed_run_is_the_same_run_whatever_the_order_of_tasks() -> None:
    whole, stopped = Relation().build(NAMES), Relation().build(NAMES)
    for step in range(5):
        for balancer in (whole, stopped):
            balancer.combine(gram_of(step, 4), NAMES)
    resumed = Relation().build(NAMES[::-1])
    resumed.load_state_dict(stopped.state_dict())
    for step in range(5, 9):
        expected = whole.combine(gram_of(step, 4), NAMES)
        assert torch.equal(resumed.combine(gram_of(step, 4), NAMES), expected)


def test_a_pair_first_met_has_its_cosine_to_the_last_digit() -> None:
    gram = torch.tensor([[1.0, 0.1], [0.1, 1.0]], dtype=torch.float64)
    balancer = Relation().build(["a", "b", "c"])
    balancer.combine(gram, ["c", "b"])
    assert balancer.cosines.of("b", "c") == balancer.cosines.of("c", "b") == 0.1  # no float32 on the way
    assert (balancer.counts.of("b", "c"), balancer.counts.of("a", "b"), balancer.counts.of("b", "b")) == (1, 0, 0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 5), st.sampled_from(list(permutations(range(3)))))
def test_weights_add_up_to_the_number_of_tasks_and_ignore_sizes_and_order(
    seed: int, num_tasks: int, order: tuple[int, ...]
) -> None:
    names = [f"t{index}" for index in range(num_tasks)]
    gram = gram_of(seed, num_tasks)
    found = Relation().build(names).combine(gram, names)
    assert found.sum().item() == pytest.approx(num_tasks)
    sizes = torch.logspace(-6, 6, num_tasks, dtype=torch.float64)
    torch.testing.assert_close(Relation().build(names).combine(gram * torch.outer(sizes, sizes), names), found)
    turn = [index for index in order if index < num_tasks]
    if len(turn) == num_tasks:
        turned = Relation().build(names).combine(gram[turn][:, turn], [names[index] for index in turn])
        torch.testing.assert_close(turned, found[turn])


def test_two_tasks_have_one_relation() -> None:
    assert Relation().build(["a", "b"]).combine(gram_of(0, 2), ["a", "b"]).tolist() == [1.0, 1.0]
    assert Relation().build(["a"]).combine(gram_of(0, 1), ["a"]).tolist() == [1.0]


def test_the_one_that_goes_against_the_others_is_heard_less() -> None:
    """At a junction: a and b pull one way, c the other."""
    junction = Junction(Relation(temperature=0.5), tasks=("a", "b", "c"))
    x = torch.tensor([1.0, 1.0], requires_grad=True)
    z = junction(x)
    slopes = {"a": torch.tensor([1.0, 0.2]), "b": torch.tensor([1.0, -0.1]), "c": torch.tensor([-1.0, 0.5])}
    junction.total({task: (z[task] * slope).sum() for task, slope in slopes.items()}).backward()
    weights = junction.weights
    assert weights["c"] < 1 < min(weights["a"], weights["b"])
    expected = sum(weights[task] * slope for task, slope in slopes.items())
    torch.testing.assert_close(x.grad, expected)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ({"prise": {"sold": 0.5}}, "no task 'prise'; did you mean 'price'"),
        ({"price": {"solt": 0.5}}, "no task 'solt'; did you mean 'sold'"),
        ({"price": {"price": 1.0}}, "named with itself"),
        ({"price": {"sold": 0.5}, "sold": {"price": 0.4}}, "a relation is symmetric"),
    ],
)
def test_a_matrix_that_can_not_be(matrix: dict[str, dict[str, float]], message: str) -> None:
    with pytest.raises(SpecError, match=rf"balance\.tasks\.matrix: .*{message}"):
        Relation(matrix=matrix).build(["price", "sold"])


def test_a_pair_named_twice_alike() -> None:
    once, twice = ({"a": {"b": 0.5}}, {"a": {"b": 0.5}, "b": {"a": 0.5}})
    assert Relation(matrix=once).build(NAMES).weights() == Relation(matrix=twice).build(NAMES).weights()
