"""The single-input losses stand beside the task's own as the balancer of tasks weighs it."""

import pytest
from throttled import batch, gradients, network, step
from torch import Tensor

from motet import balance
from motet.balance.base import BalancerSpec
from motet.model import Network


def heads(net: Network) -> dict[str, dict[str, Tensor]]:
    found: dict[str, dict[str, Tensor]] = {}
    for task in net.heads:
        joint = next(iter(net.heads[task].items()))[1].linear.weight.grad
        single = net.singles[task]["age"].linear.weight.grad
        assert joint is not None
        assert single is not None
        found[task] = {"joint": joint, "single": single}
    return found


def trained(balancer: BalancerSpec, *, batches: int = 1) -> Network:
    net = network(balance.Blend(weights="equal"), balancer=balancer)
    step(net, [batch(seed=index) for index in range(batches)])
    return net


@pytest.mark.parametrize("batches", [1, 2])
def test_a_task_that_weighs_ten_times_as_much_does_so_for_its_single_input_heads_too(batches: int) -> None:
    plain, weighed = (
        heads(trained(balance.Fixed(), batches=batches)),
        heads(trained(balance.Fixed(weights={"price": 10.0}), batches=batches)),
    )
    for task, factor in (("price", 10.0), ("sold", 1.0)):
        for who in ("joint", "single"):
            assert weighed[task][who] == pytest.approx(factor * plain[task][who].numpy(), rel=1e-4), (task, who)


def test_learned_loss_weights_count_as_well() -> None:
    plain, learned = trained(balance.Fixed()), network(balance.Blend(weights="equal"), balancer=balance.Uncertainty())
    for parameter in learned.junction.balancer.parameters():
        parameter.data.fill_(1.0)  # e^-1 of every loss
    step(learned, [batch()])
    ratio = 0.36787944
    for task, own in heads(learned).items():
        for who, gradient in own.items():
            assert gradient == pytest.approx(ratio * heads(plain)[task][who].numpy(), rel=1e-4), (task, who)


def test_a_task_whose_loss_is_not_finite_has_no_single_input_losses_either() -> None:
    net, one = network(balance.Blend(weights="equal")), batch()
    one.targets["price"].values["target"].fill_(float("inf"))
    result = step(net, [one])
    assert not any(name.startswith("price/") for name in result.terms)
    assert any(name.startswith("sold/") for name in result.terms)
    assert all(bool(gradient.isfinite().all()) for gradient in gradients(net, "age"))
