import math
from collections.abc import Callable, Mapping
from itertools import combinations, permutations

import pytest
import torch
from torch import Tensor

from motet.evaluation import Contributions, TaskRows, contributions, plan_of
from motet.tasks import Multiclass, Regression

N = 60
TRUTH = torch.randn(N, generator=torch.Generator().manual_seed(0))
NUMBER = Regression().fit([-1.0, 1.0])  # already standardised
PULL = {"a": 0.5, "b": 0.3, "c": 0.2, "d": 0.1, "e": 0.05, "f": 0.02, "idle": 0.0}
Answer = Callable[[tuple[str, ...]], Mapping[str, Tensor]]


def answer(subset: tuple[str, ...]) -> dict[str, Tensor]:
    pull = 1.0
    for name in subset:
        pull *= 1 - PULL[name]
    return {"y": (1 - pull) * TRUTH}


def rows(metric: str = "mae", *, labelled: Tensor | None = None, target: Tensor = TRUTH) -> TaskRows:
    return TaskRows(NUMBER, metric, target, torch.ones(N, dtype=torch.bool) if labelled is None else labelled)


def run(
    inputs: tuple[str, ...], given: Answer = answer, *, task: TaskRows | None = None, seed: int = 0
) -> Contributions:
    return contributions(given, inputs=inputs, tasks={"y": task or rows()}, seed=seed, resamples=50)


def mae(subset: tuple[str, ...]) -> float:
    return float((answer(subset)["y"] - TRUTH).abs().mean())


@pytest.mark.parametrize("inputs", [("a",), ("a", "b"), ("a", "b", "c"), ("a", "b", "c", "idle")])
def test_shapley_values_equal_the_mean_over_all_orders_of_joining(inputs: tuple[str, ...]) -> None:
    result = run(inputs)
    assert result.method == "shapley"
    for name in inputs:
        gains = []
        for order in permutations(inputs):
            before = order[: order.index(name)]
            gains.append(mae(before) - mae((*before, name)))  # lower is better, so a fall is a gain
        assert result.by_input[name]["y"].value == pytest.approx(sum(gains) / len(gains), abs=1e-6)
    total = sum(result.by_input[name]["y"].value for name in inputs)
    assert total == pytest.approx(mae(()) - mae(inputs), abs=1e-6)


def test_an_idle_input_contributes_nothing_and_is_certain_of_it() -> None:
    one = run(("a", "idle", "b")).by_input["idle"]["y"]
    assert (one.value, one.low, one.high) == pytest.approx((0, 0, 0), abs=1e-12)


def test_the_order_of_the_inputs_changes_nothing() -> None:
    one, other = run(("a", "b", "c")), run(("c", "a", "b"))
    for name in "abc":
        left, right = one.by_input[name]["y"], other.by_input[name]["y"]
        assert (left.value, left.low, left.high) == pytest.approx((right.value, right.low, right.high))


def test_every_subset_of_six_inputs_is_asked_and_of_seven_those_of_some_orders() -> None:
    six = ("a", "b", "c", "d", "e", "idle")
    assert len(plan_of(six, seed=0).subsets) == 64
    assert run(six).method == "shapley"
    asked: list[tuple[str, ...]] = []

    def listening(subset: tuple[str, ...]) -> dict[str, Tensor]:
        asked.append(subset)
        return answer(subset)

    seven = (*six, "f")
    result = run(seven, listening)
    assert result.method == "sampled"
    assert len(asked) == len(set(asked)) < 100
    total = sum(result.by_input[name]["y"].value for name in seven)
    assert total == pytest.approx(mae(()) - mae(seven), abs=1e-6)
    for name in seven:
        assert result.alone[name]["y"].value == pytest.approx(mae((name,)), abs=1e-6)


def test_sampled_values_are_near_the_exact_ones_and_their_intervals_hold_these() -> None:
    names = tuple("abcdefgh")
    pull = torch.tensor([0.5, 0.3, 0.2, 0.1, 0.05, 0.4, 0.15, 0.0])

    def score(subset: tuple[str, ...]) -> float:
        return float(1 - torch.prod(1 - pull[[names.index(name) for name in subset]]))

    def given(subset: tuple[str, ...]) -> dict[str, Tensor]:
        return {"y": (score(subset) - 1) + torch.zeros(N)}  # each row is wrong by as much: draws of rows change nothing

    exact = dict.fromkeys(names, 0.0)
    for name in names:
        rest = [one for one in names if one != name]
        for size in range(8):
            weight = math.factorial(size) * math.factorial(7 - size) / math.factorial(8)
            for before in combinations(rest, size):
                exact[name] += weight * (score((*before, name)) - score(before))
    held, error = 0, 0.0
    for seed in range(8):
        result = run(names, given, task=rows(target=torch.zeros(N)), seed=seed)
        for name in names:
            one = result.by_input[name]["y"]
            held += one.low - 1e-6 <= exact[name] <= one.high + 1e-6
            error = max(error, abs(one.value - exact[name]))
    assert error < 0.05
    assert held / 64 >= 0.85  # four pairs of orders tell no more of their own spread


def test_subsets_carry_the_metric_as_it_is() -> None:
    result = run(("a", "b"))
    assert (
        [subset for subset, _ in result.subsets]
        == list(plan_of(["a", "b"], seed=0).subsets)
        == [(), ("a",), ("b",), ("a", "b")]
    )
    for subset, metrics in result.subsets:
        assert metrics["y"] == pytest.approx(mae(subset), abs=1e-6)


def test_the_interval_is_paired() -> None:
    # Each answer alone varies much over the rows; what b adds to a is the same in every row.
    target = TRUTH * 10

    def given(subset: tuple[str, ...]) -> dict[str, Tensor]:
        return {"y": target - 100.0 - 1.0 * ("a" not in subset) - 2.0 * ("b" not in subset)}

    result = run(("a", "b"), given, task=rows(target=target))
    for name, gain in (("a", 1.0), ("b", 2.0)):
        one = result.by_input[name]["y"]
        assert (one.value, one.high) == pytest.approx((gain, gain), abs=1e-4)
        assert 0.75 * gain < one.low <= one.value  # a row of another kind may still be there


def test_unlabelled_rows_do_not_count() -> None:
    labelled = torch.arange(N) % 2 == 0
    poisoned = torch.where(labelled, TRUTH, torch.nan)

    def given(subset: tuple[str, ...]) -> dict[str, Tensor]:
        return {"y": torch.where(labelled, answer(subset)["y"], torch.nan)}

    result = run(("a", "b"), given, task=rows(labelled=labelled, target=poisoned))
    assert result.by_input["a"]["y"].value > 0
    assert result.by_input["a"]["y"].low > 0


def test_a_higher_score_is_a_gain_too() -> None:
    codec = Multiclass().fit("abc")
    truth = torch.arange(N) % 3

    def given(subset: tuple[str, ...]) -> dict[str, Tensor]:
        known = torch.nn.functional.one_hot(truth, 3).float()
        return {"t": known if "good" in subset else -known * ("bad" in subset)}

    task = TaskRows(codec, "accuracy", truth, torch.ones(N, dtype=torch.bool))
    result = contributions(given, inputs=("good", "bad"), tasks={"t": task}, seed=0, resamples=20)
    assert result.by_input["good"]["t"].value == pytest.approx((1 - 1 / 3 + 1) / 2)
    assert result.by_input["bad"]["t"].value == pytest.approx((0 - 1 / 3) / 2)
