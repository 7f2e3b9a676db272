"""OGM-GE: equation 10 of Peng et al. by hand, on made-up scores and on the gradients of a network."""

import math

import pytest
import torch
from throttled import batch, gradients, network, seen, step, told
from torch import nn

from motet.balance import OGM, NoThrottle, OGMThrottle
from motet.balance.noise import add_noise
from motet.core.errors import SpecError
from motet.core.flow import Batch
from motet.model import Network
from motet.spec import load

ALPHA = 0.8


def by_hand(scores: dict[str, float], alpha: float) -> dict[str, float]:
    """As in the paper's code, whose two cases are the first with one other input."""
    factors = {}
    for name, score in scores.items():
        total = 0.0
        for other, its in scores.items():
            if other != name:
                total += its
        ratio = score / (total / (len(scores) - 1))
        factors[name] = 1 - math.tanh(alpha * ratio) if ratio > 1 else 1.0
    return factors


@pytest.mark.parametrize("scores", [{"a": 0.6, "b": 0.3}, {"a": 0.3, "b": 0.6}, {"a": 0.2, "b": 0.5, "c": 0.4}])
def test_the_factor_is_equation_ten(scores: dict[str, float]) -> None:
    assert OGMThrottle(alpha=ALPHA).damping(scores) == pytest.approx(by_hand(scores, ALPHA))
    assert min(by_hand(scores, ALPHA).values()) < 0.4


def test_with_alpha_zero_or_equal_scores_or_one_input_nothing_is_damped() -> None:
    assert OGMThrottle(alpha=0.0).damping({"a": 0.9, "b": 0.1}) == {"a": 1.0, "b": 1.0}
    assert OGMThrottle().damping({"a": 0.5, "b": 0.5}) == {"a": 1.0, "b": 1.0}
    assert OGMThrottle().damping({"a": 0.5}) == {"a": 1.0}
    assert OGMThrottle().damping({}) == {}


def test_a_score_of_zero_leaves_a_factor_one_can_divide_by() -> None:
    factors = OGMThrottle().damping({"a": 0.5, "b": 0.0})
    assert 0 < factors["a"] < 1e-12
    assert factors["b"] == 1.0


@torch.no_grad()
def scores_of(net: Network, one: Batch, names: tuple[str, ...]) -> dict[str, float]:
    """The mean over tasks of the mean over counted rows of the likelihood the single head gives, row by row."""
    decisions = net(one.inputs)
    found = {}
    for name in names:
        by_task = []
        for task, decision in decisions.items():
            output, target = decision.singles[name], one.targets[task].values["target"]
            likelihoods = []
            for row in range(len(target)):
                if one.inputs[name].present[row] and one.targets[task].present[row]:
                    if task == "kind":
                        likelihoods.append(float(output[row].softmax(0)[target[row]]))
                    elif task == "sold":
                        yes = float(output[row].sigmoid())
                        likelihoods.append(yes if target[row] == 1 else 1 - yes)
                    else:
                        likelihoods.append(math.exp(-float((output[row] - target[row]) ** 2)))
            by_task.append(sum(likelihoods) / len(likelihoods))
        found[name] = sum(by_task) / len(by_task)
    return found


@pytest.mark.parametrize("names", [("age", "size"), ("age", "rank", "size")], ids=len)
def test_the_encoders_gradient_is_that_factor_times_the_plain_one(names: tuple[str, ...]) -> None:
    net, plain = network(OGM(alpha=ALPHA, noise=False), names=names), network(NoThrottle(), names=names)
    one = batch(seed=4)
    expected = by_hand(scores_of(net, one, names), ALPHA)
    assert min(expected.values()) < 0.9
    result = step(net, [one])
    step(plain, [one])
    assert result.factors == pytest.approx(expected, rel=1e-5)
    for name in names:
        for found, other in zip(gradients(net, name), gradients(plain, name), strict=True):
            torch.testing.assert_close(found, expected[name] * other, rtol=1e-4, atol=1e-7)


def test_the_learned_absent_token_is_not_the_encoders_and_keeps_its_gradient() -> None:
    net, plain, one = network(OGM(alpha=ALPHA, noise=False)), network(NoThrottle()), batch(seed=4)
    step(net, [one])
    step(plain, [one])
    for name, encoder in net.encoders.items():
        torch.testing.assert_close(encoder.absent.grad, plain.encoders[name].absent.grad)


@pytest.mark.parametrize(
    ("spec", "active"), [((2, None), [0, 1, 1, 1]), ((1, 2), [1, 1, 0, 0]), ((2, 3), [0, 1, 1, 0])]
)
def test_it_works_within_its_epochs(spec: tuple[int, int | None], active: list[int]) -> None:
    throttle = OGMThrottle(alpha=ALPHA, from_epoch=spec[0], to_epoch=spec[1])
    found = []
    for _ in active:
        throttle.terms(told({"a": {"x": [0.1]}, "b": {"x": [2.0]}}))
        weight = nn.Parameter(torch.zeros(3))
        weight.grad = torch.tensor([1.0, 2.0, 3.0])
        throttle.after_backward({"a": [weight], "b": []}, key=0)
        noisy = weight.grad.tolist() != [1.0, 2.0, 3.0]
        assert noisy == (throttle.factors["a"] < 1)
        found.append(int(noisy))
        throttle.epoch_end(None)
    assert found == active


# --- the noise


def test_noise_has_the_deviation_of_the_gradient_before_it_was_damped() -> None:
    """Over many numbers; scaled by 0.2, the gradient's own deviation is five times what is left of it."""
    weight = nn.Parameter(torch.zeros(200, 100))
    raw = 3.0 + 0.5 * torch.randn(200, 100, generator=torch.Generator().manual_seed(0))
    weight.grad = 0.2 * raw
    add_noise({"a": [weight]}, {"a": 0.2}, key=3)
    noise = weight.grad - 0.2 * raw
    assert float(noise.std()) == pytest.approx(0.5, rel=0.03)
    assert float(noise.mean()) == pytest.approx(0.0, abs=0.02)


def test_noise_is_drawn_by_key_and_input() -> None:
    def drawn(key: int, name: str) -> torch.Tensor:
        weight = nn.Parameter(torch.zeros(4))
        weight.grad = torch.arange(4.0)
        add_noise({name: [weight]}, {}, key=key)
        assert weight.grad is not None
        return weight.grad

    assert torch.equal(drawn(1, "a"), drawn(1, "a"))
    assert not torch.equal(drawn(1, "a"), drawn(2, "a"))
    assert not torch.equal(drawn(1, "a"), drawn(1, "b"))


def test_a_shared_encoder_gets_noise_once_and_a_lone_number_none() -> None:
    shared, lone = nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(1))
    shared.grad, lone.grad, idle = torch.arange(4.0), torch.ones(1), nn.Parameter(torch.zeros(2))
    once = nn.Parameter(torch.zeros(4))
    once.grad = torch.arange(4.0)
    add_noise({"a": [once]}, {}, key=0)
    add_noise({"a": [shared, lone, idle], "b": [shared]}, {}, key=0)
    assert once.grad is not None
    assert torch.equal(shared.grad, once.grad)
    assert lone.grad.tolist() == [1.0]
    assert idle.grad is None


def test_noise_is_added_to_every_encoder_and_to_nothing_else() -> None:
    net, quiet, one = network(OGM(alpha=ALPHA)), network(OGM(alpha=ALPHA, noise=False)), batch(seed=4)
    step(net, [one])
    step(quiet, [one])
    encoders = {id(parameter) for own in net.encoder_parameters().values() for parameter in own}
    others = dict(quiet.named_parameters())
    for name, parameter in net.named_parameters():
        if parameter.grad is not None and parameter.numel() > 1:
            same = torch.equal(parameter.grad, others[name].grad)
            assert same == (id(parameter) not in encoders), name


def test_epochs_out_of_order_are_refused() -> None:
    spec = {"kind": "ogm", "from_epoch": 3, "to_epoch": 2}
    document = {"data": "a.csv", "inputs": {"a": "number"}, "tasks": {"y": "binary"}, "balance": {"modalities": spec}}
    with pytest.raises(SpecError, match=r"to_epoch \(2\) comes before from_epoch \(3\)"):
        load(document)


def test_the_witness_of_a_step_gives_the_scores() -> None:
    """The same, from the witness itself: what terms() sees is what was compared above."""
    net, one = network(OGM()), batch(seed=4)
    from motet.balance.singles import scores

    assert scores(seen(net, one)) == pytest.approx(scores_of(net, one, ("age", "rank", "size")), rel=1e-5)


def test_noise_is_never_larger_than_the_undamped_gradient_where_inputs_share_an_encoder() -> None:
    weight = nn.Parameter(torch.zeros(200, 100))
    raw = torch.randn(200, 100, generator=torch.Generator().manual_seed(0))
    weight.grad = raw.clone()
    add_noise({"a": [weight], "b": [weight]}, {"a": 1e-3, "b": 1.0}, key=3)
    assert float((weight.grad - raw).std()) == pytest.approx(1.0, rel=0.03)


def test_noise_of_an_accumulated_step_heeds_all_its_batches() -> None:
    """In the first batch the encoder was not damped, so what is left of the gradient is as large as it was."""
    throttle = OGMThrottle(alpha=ALPHA)
    throttle.terms(told({"a": {"x": [1.0]}, "b": {"x": [1.0]}}))
    throttle.terms(told({"a": {"x": [0.0]}, "b": {"x": [9.0]}}))
    assert throttle.factors["a"] < 1e-3
    weight = nn.Parameter(torch.zeros(200, 100))
    raw = torch.randn(200, 100, generator=torch.Generator().manual_seed(0))
    weight.grad = raw.clone()
    throttle.after_backward({"a": [weight], "b": []}, key=0)
    assert float((weight.grad - raw).std()) == pytest.approx(1.0, rel=0.03)
    throttle.terms(told({"a": {"x": [0.0]}, "b": {"x": [9.0]}}))
    assert throttle._largest["a"] < 1e-3, "the next step begins anew"
