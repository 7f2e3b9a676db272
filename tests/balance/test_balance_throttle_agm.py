"""AGM: the running ratios of Li et al. by hand, for two and three inputs, and on the gradients of a network."""

import math
from itertools import permutations

import pytest
import torch
from throttled import batch, gradients, network, seen, step, told

from motet.balance import AGM, AGMThrottle, NoThrottle

ALPHA = 0.7
STRONG = 40.0
"""Before training the network hardly looks at its inputs: what they add differs by hundredths."""


def test_two_inputs_as_in_the_code() -> None:
    """ratio_a = exp(score_v - score_a), the optimum from the means of all batches before, 0 at first."""
    throttle, chance = AGMThrottle(["a", "v"], alpha=ALPHA), torch.Generator().manual_seed(0)
    train_a = train_v = 0.0
    seen_far = False
    for iteration in range(1, 6):
        rows = {name: (3 * torch.rand(4, generator=chance)).tolist() for name in ("a", "v", "av", "")}
        score = {name: sum(own) / 4 for name, own in rows.items()}
        # For two inputs the difference of Shapley values is that of the two alone.
        shap_a = ((score["a"] - score[""]) + (score["av"] - score["v"])) / 2
        shap_v = ((score["v"] - score[""]) + (score["av"] - score["a"])) / 2
        ratio_a, ratio_v = math.exp(shap_v - shap_a), math.exp(shap_a - shap_v)
        optimal_a, optimal_v = math.exp(train_v - train_a), math.exp(train_a - train_v)
        coeff_a = math.exp(ALPHA * min(optimal_a - ratio_a, 7))
        coeff_v = math.exp(ALPHA * min(optimal_v - ratio_v, 7))
        train_a = train_a * (iteration - 1) / iteration + shap_a / iteration
        train_v = train_v * (iteration - 1) / iteration + shap_v / iteration
        throttle.terms(told({"a": {"x": [0.0] * 4}, "v": {"x": [0.0] * 4}}, alone={**rows}))
        assert throttle.factors == pytest.approx({"a": coeff_a, "v": coeff_v}, rel=1e-5)
        seen_far |= abs(coeff_a - 1) > 0.2
    assert seen_far


def test_three_inputs_as_in_the_code() -> None:
    """ratio = exp((mean - score) * 3 / 2)."""
    throttle = AGMThrottle(["a", "t", "v"], alpha=ALPHA)
    steps = [{"a": 0.5, "t": -0.2, "v": 0.1}, {"a": -0.4, "t": 0.3, "v": 0.2}, {"a": 0.0, "t": 0.0, "v": -0.9}]
    means = dict.fromkeys("atv", 0.0)
    for iteration, scores in enumerate(steps, start=1):
        mean_score, optimal_mean = sum(scores.values()) / 3, sum(means.values()) / 3
        expected = {}
        for name, score in scores.items():
            ratio = math.exp((mean_score - score) * 3 / 2)
            optimal = math.exp((optimal_mean - means[name]) * 3 / 2)
            expected[name] = math.exp(ALPHA * min(optimal - ratio, 7))
        assert throttle.modulate(scores) == pytest.approx(expected)
        means = {name: (means[name] * (iteration - 1) + scores[name]) / iteration for name in scores}


def test_an_exponent_ends_at_seven_and_nothing_overflows() -> None:
    throttle = AGMThrottle(["a", "b"], alpha=1.0)
    throttle.modulate({"a": -9.0, "b": 9.0})
    assert throttle.modulate({"a": 9.0, "b": -9.0})["a"] == pytest.approx(math.exp(7))
    assert throttle.modulate({"a": -1e6, "b": 1e6})["a"] == 0.0


def test_a_loss_beyond_what_is_believed_counts_as_that() -> None:
    throttle, worst = AGMThrottle(["a", "b"], alpha=1e-9), -math.log(1e-8)
    rows = {"a": [1e9, 0.0], "b": [0.0, 0.0], "ab": [0.0, 0.0], "": [0.0, 0.0]}
    throttle.terms(told({"a": {"x": [0.0, 0.0]}, "b": {"x": [0.0, 0.0]}}, alone=rows))
    assert throttle.history.lists()["a"][0] == pytest.approx(worst / 2 / 2)


def test_an_input_that_comes_late_starts_from_one_and_the_absent_are_not_remembered() -> None:
    throttle = AGMThrottle(["a", "b", "c"], alpha=ALPHA)
    throttle.modulate({"a": 0.1, "b": 0.3})
    assert throttle.history.lists()["c"] == [0.0, 0.0]
    late = throttle.modulate({"a": 0.2, "b": 0.2, "c": 0.2})
    assert late["c"] == pytest.approx(1.0)
    assert throttle.history.lists()["a"] == pytest.approx([0.15, 2.0])
    assert throttle.modulate({"b": 5.0}) == {}
    assert throttle.history.lists()["b"] == pytest.approx([0.25, 2.0])


def test_rows_that_lack_an_input_say_nothing_of_it() -> None:
    rows = {"a": [1.0, 7.0], "b": [2.0, 2.0], "ab": [0.5, 2.0], "": [3.0, 7.0]}
    throttle = AGMThrottle(["a", "b"])
    throttle.terms(told({"a": {"x": [0.0, 0.0]}, "b": {"x": [0.0, 0.0]}}, absent={"a": [1]}, alone=rows))
    added_a = ((1.0 - 3.0) + (0.5 - 2.0)) / 2
    added_b = [((2.0 - 3.0) + (0.5 - 1.0)) / 2, ((2.0 - 7.0) + (2.0 - 7.0)) / 2]
    found = {name: mean for name, (mean, _) in throttle.history.lists().items()}
    assert found == pytest.approx({"a": added_a, "b": sum(added_b) / 2})


@pytest.mark.parametrize("names", [("age", "size"), ("age", "rank", "size")], ids=len)
def test_the_encoders_gradient_is_that_factor_times_the_plain_one(names: tuple[str, ...]) -> None:
    """Scores by hand from the network's own decisions, inputs coming in one after another in every order."""
    net, plain = network(AGM(alpha=STRONG), names=names), network(NoThrottle(), names=names)
    for number in range(3):
        one = batch(seed=10 + number)
        told_of = seen(net, one, number=number)
        score = {}
        for name in names:
            by_task = []
            for task, cells in one.targets.items():
                added, rows = torch.zeros(len(one.rows)), cells.present & one.inputs[name].present
                orders = list(permutations(names))
                for order in orders:
                    before = frozenset(order[: order.index(name)])
                    added += (told_of.alone(before | {name})[task] - told_of.alone(before)[task]) / len(orders)
                by_task.append(float(added[rows].mean()))
            score[name] = sum(by_task) / len(by_task)
        mean = sum(score.values()) / len(score)
        former = {name: own[0] for name, own in net.throttle.history.lists().items()}
        middle, power = sum(former.values()) / len(former), len(names) / (len(names) - 1)
        expected = {
            name: math.exp(
                STRONG * min(math.exp(power * (middle - former[name])) - math.exp(power * (mean - score[name])), 7)
            )
            for name in names
        }
        assert step(net, [one], number=number).factors == pytest.approx(expected, rel=1e-3)
        step(plain, [one], number=number)
        for name in names:
            for found, other in zip(gradients(net, name), gradients(plain, name), strict=True):
                torch.testing.assert_close(found, expected[name] * other, rtol=1e-3, atol=1e-7)
    assert max(abs(factor - 1) for factor in expected.values()) > 0.3
