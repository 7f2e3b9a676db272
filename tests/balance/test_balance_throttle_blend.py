"""Gradient blending: the weights of Wang, Tran & Feiszli by hand over epochs, and what reaches an encoder."""

import pytest
import torch
from throttled import batch, gradients, network, step, told

from motet.balance import Blend, BlendThrottle, NoThrottle
from motet.core.errors import SpecError

TRAIN = {"a": [1.0, 0.6, 0.5, 0.4], "b": [1.0, 0.9, 0.4, 0.3], "": [1.0, 0.5, 0.3, 0.1]}
VALID = {"a": [1.0, 0.8, 0.7, 0.6], "b": [1.0, 1.0, 0.8, 0.9], "": [1.0, 0.7, 0.6, 0.55]}


def epoch(throttle: BlendThrottle, number: int, *, valid: bool = True) -> None:
    """Two batches of two rows whose losses are on the mean those of TRAIN, then the epoch's end."""
    for shift in (-0.05, 0.05):
        losses = {
            name: {"x": [TRAIN[name][number] + shift - 0.01, TRAIN[name][number] + shift + 0.01]} for name in "ab"
        }
        throttle.terms(told(losses, alone={"ab": [TRAIN[""][number] + shift] * 2}))
    throttle.epoch_end({name: {"x": own[number]} for name, own in VALID.items()} if valid else None)


def by_hand(first: int, last: int) -> dict[str, float]:
    """`w = G / O^2 / Z`, Z such that the three add up to 3."""
    merits = {}
    for name in TRAIN:
        gained = VALID[name][first] - VALID[name][last]
        overfitting = (VALID[name][last] - TRAIN[name][last]) - (VALID[name][first] - TRAIN[name][first])
        merits[name] = gained / overfitting**2
    return {name: 3 * merit / sum(merits.values()) for name, merit in merits.items()}


def throttle(every: int = 3, **changes: object) -> BlendThrottle:
    return BlendThrottle(["a", "b"], tasks=["x"], every=every, **changes).train()  # type: ignore[arg-type]


def test_weights_are_the_slopes_of_the_papers_formula() -> None:
    made = throttle(every=3)
    for number in range(2):
        epoch(made, number)
        assert made.weighed() == {"": 1.0, "a": 1.0, "b": 1.0}
    epoch(made, 2)
    expected = by_hand(0, 2)
    assert max(expected.values()) > 1.5
    assert made.weighed() == pytest.approx(expected, rel=1e-5)
    epoch(made, 3)  # no third epoch again: they stay
    assert made.weighed() == pytest.approx(expected, rel=1e-5)
    assert made.factors == pytest.approx(expected, rel=1e-5)


def test_slopes_are_measured_from_the_last_estimate() -> None:
    made = throttle(every=1)
    for number in range(3):
        epoch(made, number)
    before, merits = by_hand(0, 1), {}
    assert before["b"] == 0.0  # its validation loss did not fall
    for name in TRAIN:
        gained = VALID[name][1] - VALID[name][2]
        overfitting = (VALID[name][2] - TRAIN[name][2]) - (VALID[name][1] - TRAIN[name][1])
        merits[name] = gained / max(overfitting**2, 1e-4)
    total = sum(merits.values())
    assert made.weighed() == pytest.approx({name: 3 * merit / total for name, merit in merits.items()}, rel=1e-4)


def test_a_loss_that_rises_has_no_weight_and_if_none_falls_all_stay() -> None:
    made = throttle(every=1)
    epoch(made, 2)
    epoch(made, 3)
    assert made.weighed()["b"] == 0.0
    kept = made.weighed()
    made.epoch_end({name: {"x": 9.0} for name in VALID})
    epoch(made, 0)
    assert made.weighed() == kept


def test_without_validation_rows_weights_stay_equal() -> None:
    made = throttle(every=1)
    for number in range(4):
        epoch(made, number, valid=False)
    assert made.weighed() == {"": 1.0, "a": 1.0, "b": 1.0}


def test_a_loss_that_can_not_be_measured_keeps_its_weight() -> None:
    made = throttle(every=2)
    for number in range(2):
        losses = {name: {"x": [TRAIN[name][number]] * 2} for name in "ab"}
        made.terms(told(losses, alone={"ab": [TRAIN[""][number]] * 2}))
        valid = {name: {"x": own[number]} for name, own in VALID.items()}
        made.epoch_end(valid | {"b": {"x": float("nan")}})
    found = made.weighed()
    assert found["b"] == 1.0
    assert found["a"] + found[""] == pytest.approx(2.0)
    assert found["a"] != 1.0


def test_losses_are_averaged_over_the_tasks_that_have_both() -> None:
    made = BlendThrottle(["a", "b"], tasks=["x", "y"], every=2)
    made.terms(told({"a": {"x": [1.0], "y": [3.0]}, "b": {"x": [1.0], "y": [1.0]}}, alone={"ab": [1.0]}))
    made.epoch_end({"a": {"x": 2.0, "y": 4.0}, "b": {"y": 5.0}, "": {}})
    assert made.mark.lists() == {"": [0, 0, 0], "a": [1, 3, 2], "b": [1, 5, 1]}


@pytest.mark.parametrize(
    ("weights", "expected"),
    [("equal", {"": 1.0, "a": 1.0, "b": 1.0}), ({"b": 0.25}, {"": 1.0, "a": 1.0, "b": 0.25})],
)
def test_given_weights_never_change(weights: object, expected: dict[str, float]) -> None:
    made = throttle(every=1, weights=weights)
    for number in range(4):
        epoch(made, number)
    assert made.weighed() == expected


def test_a_weight_of_an_input_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SpecError, match=r"weights: there is no input 'foto'; did you mean 'photo'"):
        Blend(weights={"foto": 1.0}).build({"photo": 2}, tasks={"x": None})


@pytest.mark.parametrize("names", [("age", "size"), ("age", "rank", "size")], ids=len)
def test_an_encoder_gets_both_gradients_weighed(names: tuple[str, ...]) -> None:
    """What equal blending adds to the plain gradient is that of the head; heads keep theirs whatever the weights."""
    nets = {
        "plain": network(NoThrottle(), names=names),
        "equal": network(Blend(weights="equal"), names=names),
        "blend": network(Blend(), names=names),
    }
    weights = {"": 0.5, "age": 2.0, "size": 0.1, "rank": 0.0}
    for name in ("", *names):
        nets["blend"].throttle.weights[name].fill_(weights[name])
    found = {kind: step(net, [batch(seed=3)]).factors for kind, net in nets.items()}["blend"]
    assert found == {name: weights[name] for name in sorted(["", *names])}
    for name in names:
        parts = zip(*(gradients(nets[kind], name) for kind in ("plain", "equal", "blend")), strict=True)
        for joint, both, blended in parts:
            expected = weights[""] * joint + weights[name] * (both - joint)
            torch.testing.assert_close(blended, expected, rtol=1e-4, atol=1e-6)
        for task in nets["equal"].singles:
            one, other = (nets[kind].singles[task][name].linear.weight.grad for kind in ("equal", "blend"))
            torch.testing.assert_close(one, other)


def test_equal_weights_are_joint_plus_single_losses() -> None:
    """The baseline: one ordinary backward of the sum of all losses, written out."""
    net, one = network(Blend(weights="equal")), batch(seed=3)
    step(net, [one])
    found = {name: gradients(net, name) for name in net.encoders}
    net.zero_grad()
    net.eval()
    decisions, total = net(one.inputs), torch.zeros(())
    for task, decision in decisions.items():
        target = one.targets[task]
        outputs = [(decision.output, target.present)]
        outputs += [(output, target.present & one.inputs[name].present) for name, output in decision.singles.items()]
        for output, rows in outputs:
            losses = net.tasks[task].loss(output, type(target)(target.values, rows))
            total = total + losses.sum() / target.present.sum()
    total.backward()
    for name, expected in found.items():
        for gradient, other in zip(gradients(net, name), expected, strict=True):
            torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-6)
