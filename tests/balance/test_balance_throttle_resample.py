"""Resampling: contributions and rates of Wei et al. by hand, who is shown, and which rows are drawn."""

import math

import pytest
import torch
from throttled import batch, network, seen, step, told

from motet.balance import Resample, ResampleThrottle
from motet.balance.modality_resample import shown_alone
from motet.nn.keyed import keys_of

NUM_ROWS = 20_000


def throttle(inputs: str = "ab", **changes: float) -> ResampleThrottle:
    return ResampleThrottle(list(inputs), tasks=["x"], **{"warmup": 1, **changes}).train()  # type: ignore[arg-type]


def losses_of(probability: list[float]) -> list[float]:
    return [-math.log(p) for p in probability]


# --- contributions


def test_contributions_of_two_inputs_are_those_of_the_code_with_probabilities_for_hits() -> None:
    """contrib_a = (value_a + value_all - value_v) / 2, value_all counting twice."""
    right = {"a": [0.9, 0.8], "v": [0.2, 0.4], "av": [0.7, 0.6]}
    made = throttle("av")
    rows = {name: losses_of(own) for name, own in right.items()}
    made.terms(told({"a": {"x": [0.0, 0.0]}, "v": {"x": [0.0, 0.0]}}, alone=rows))
    contrib_a = sum((right["a"][i] + 2 * right["av"][i] - right["v"][i]) / 2 for i in range(2)) / 2
    contrib_v = sum((right["v"][i] + 2 * right["av"][i] - right["a"][i]) / 2 for i in range(2)) / 2
    assert made.contributed["a"].found()["x"] == pytest.approx(contrib_a)
    assert made.contributed["v"].found()["x"] == pytest.approx(contrib_v)
    made.epoch_end(None)
    difference = abs((1 - contrib_a) - (1 - contrib_v)) / 3 * 2
    assert made.alone["a"].item() == 0.0
    assert made.alone["v"].item() == pytest.approx(difference / (1 + difference))


def test_rows_that_show_one_input_do_not_tell_who_is_better() -> None:
    right = {"a": [0.9, 0.9], "v": [0.2, 0.2], "av": [0.7, 0.9]}
    made = throttle("av")
    rows = {name: losses_of(own) for name, own in right.items()}
    made.terms(told({"a": {"x": [0.0] * 2}, "v": {"x": [0.0] * 2}}, absent={"v": [1]}, alone=rows))
    assert made.contributed["a"].found()["x"] == pytest.approx((0.9 + 2 * 0.7 - 0.2) / 2)


def test_more_than_two_inputs_are_compared_with_the_mean_of_the_others() -> None:
    found = shown_alone({"a": 0.9, "b": 0.3, "c": 0.6}, alpha=1.5)
    more = {"a": 0.0, "b": 1.0 * (0.75 - 0.3), "c": 0.0}
    assert found == pytest.approx({name: one / 1.45 for name, one in more.items()})
    assert shown_alone({"a": 0.1}, alpha=1.0) == {"a": 0.0}
    assert shown_alone({}, alpha=1.0) == {}


def test_only_every_fifth_batch_is_asked_and_nothing_before_the_warm_up_ends() -> None:
    asked = []
    rows = {"a": [0.1], "v": [3.0], "av": [0.1]}
    made = throttle("av", warmup=3)
    for _ in range(3):
        for _ in range(7):
            witness = told({"a": {"x": [0.0]}, "v": {"x": [0.0]}}, alone=rows)
            before = made.contributed["a"].sums["x"][1].item()
            made.terms(witness)
            asked.append(made.contributed["a"].sums["x"][1].item() - before)
        assert made.alone["v"].item() == 0.0
        made.epoch_end(None)
    assert asked == [1, 0, 0, 0, 0, 1, 0] * 3
    assert made.alone["v"].item() > 0.2
    assert made.contributed["a"].found() == {}


# --- who is shown


def test_rows_are_shown_alone_as_often_as_they_should_and_never_empty() -> None:
    made = throttle("abc")
    for name, share in (("a", 0.3), ("b", 0.1)):
        made.alone[name].fill_(share)
    generator = torch.Generator().manual_seed(0)
    present = {name: torch.rand(NUM_ROWS, generator=generator) < 0.7 for name in "abc"}
    shown = made.keep(present, keys_of(torch.arange(NUM_ROWS), 0))
    counts = sum(one.long() for one in shown.values())
    had = sum(one.long() for one in present.values())
    assert torch.equal(counts > 0, had > 0)
    full = present["a"] & present["b"] & present["c"]
    for name, share in (("a", 0.3), ("b", 0.1), ("c", 0.0)):
        alone = (shown[name] & (counts == 1))[full].double().mean().item()
        assert alone == pytest.approx(share, abs=0.015)
    without_a = ~present["a"] & present["b"] & present["c"]
    untouched = (counts == had)[without_a].double().mean().item()
    assert untouched == pytest.approx(0.9, abs=0.015)  # rows drawn for a, which they lack, stay as they are
    assert ((counts == had) | (counts == 1)).all()


def test_who_is_shown_depends_on_the_rows_key_alone() -> None:
    made = throttle("ab")
    made.alone["b"].fill_(0.5)
    keys = keys_of(torch.arange(64), 3)
    present = {name: torch.ones(64, dtype=torch.bool) for name in "ab"}
    whole = made.keep(present, keys)
    part = made.keep({name: one[10:20] for name, one in present.items()}, keys[10:20])
    other = made.keep(present, keys_of(torch.arange(64), 4))
    assert torch.equal(whole["a"][10:20], part["a"])
    assert not torch.equal(whole["a"], other["a"])


def test_in_a_network_the_weak_input_is_shown_alone_and_the_others_are_hidden_in_training_only() -> None:
    net = network(Resample(warmup=1))
    net.throttle.alone["size"].fill_(1.0)
    one = batch(num_rows=20)
    tokens = seen(net, one).tokens
    has = one.inputs["size"].present
    assert torch.equal(tokens["size"].present, has)
    assert not tokens["age"].present[has].any()
    assert torch.equal(tokens["age"].present[~has], one.inputs["age"].present[~has])
    assert step(net, [one]).factors == {"age": 0.0, "rank": 0.0, "size": 1.0}
    net.eval()
    assert torch.equal(net.encode(one.inputs)["age"].present, one.inputs["age"].present)


def test_the_weaker_input_of_a_trained_network_is_found() -> None:
    """Labels follow `age`; `size` and `rank` are noise."""
    net = network(Resample(warmup=1, alpha=1.0), asked=["price"])
    for number in range(60):
        one = batch(num_rows=40, seed=number, labelled=1.0)
        former = one.targets["price"]
        target = {"target": one.inputs["age"].values["features"][:, 0]}
        step(
            net,
            [type(one)(one.inputs, {"price": type(former)(target, former.present)}, one.rows)],
            number=number,
            lr=0.1,
        )
    net.epoch_end(None)
    shares = {name: share for name, (share,) in net.throttle.alone.lists().items()}
    assert shares["age"] == 0.0
    assert shares["size"] > 0.05
    assert shares["rank"] > 0.05


# --- which rows are drawn


def test_rows_weigh_as_their_scarcest_input() -> None:
    present = {"a": torch.tensor([1, 1, 1, 0]) > 0, "b": torch.tensor([1, 0, 0, 0]) > 0}
    for power in (0.5, 1.0):
        found = throttle("ab", scarce=power).row_weights(present)
        raw = [4.0**power, (4 / 3) ** power, (4 / 3) ** power, 1.0]
        assert found is not None
        assert found.tolist() == pytest.approx([one * 4 / sum(raw) for one in raw])


def test_without_scarce_or_with_one_input_every_row_comes_once() -> None:
    present = {"a": torch.tensor([True, False]), "b": torch.tensor([True, True])}
    assert throttle("ab").row_weights(present) is None
    assert throttle("a", scarce=1.0).row_weights({"a": present["a"]}) is None
