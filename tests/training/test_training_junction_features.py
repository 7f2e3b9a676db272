"""Accumulation and clipping beside the junction, for every method at every place: against gradients one by one.

In float64: what float32 rounds away a solver may enlarge by orders of magnitude. Losses are float32 all the same.
"""

import pytest
import torch
from junction_world import PRIORITIES, SEED, cases, micro_batches, network
from one_by_one import OneByOne

from motet.balance.base import BalancerSpec
from motet.model import Network
from motet.training import train_step

CASES = cases()
CLIP = 1e-2


def pair(spec: BalancerSpec) -> tuple[Network, OneByOne, torch.optim.Optimizer]:
    net = network(spec).double()
    return net, OneByOne(net), torch.optim.SGD(net.parameters(), lr=0.05)


def assert_same(net: Network, apart: OneByOne, *, bound: float = 1e-6) -> None:
    theirs = dict(apart.net.named_parameters())
    for name, own in net.named_parameters():
        assert (own.grad is None) == (theirs[name].grad is None), name
        for found, wanted in ((own.detach(), theirs[name].detach()), (own.grad, theirs[name].grad)):
            if found is not None and wanted is not None:
                size = max(1.0, float(wanted.abs().max()))
                assert float((found - wanted).abs().max()) / size <= bound, name


@pytest.mark.parametrize("name", CASES)
def test_accumulated_micro_batches_are_combined_one_by_one(name: str) -> None:
    """Over steps, so that what a method remembers of one batch is there in the next."""
    net, apart, optimizer = pair(CASES[name])
    for step in range(3):
        batches = micro_batches(step)
        result = train_step(net, optimizer, batches, priorities=PRIORITIES, seed=SEED, step=step)
        told = apart.step(batches, step=step)
        assert result.losses == pytest.approx(told, rel=1e-6)
        assert_same(net, apart)
        if step == 1:
            for one in (net.junction, apart.balancer):
                one.epoch_end({"kind": 0.5, "price": 2.0, "sold": 0.9}, {"kind": 0.3, "price": 0.1, "sold": 0.6})


@pytest.mark.parametrize("name", CASES)
def test_what_is_clipped_is_the_combined_gradient_of_all_parameters(name: str) -> None:
    net, apart, optimizer = pair(CASES[name])
    batches = micro_batches(0, sizes=(6,))
    train_step(net, optimizer, batches, priorities=PRIORITIES, seed=SEED, step=0, clip=CLIP)
    apart.step(batches, step=0, clip=CLIP)
    assert length(net) == pytest.approx(CLIP, rel=1e-4)
    assert_same(net, apart, bound=1e-6 * CLIP)


@pytest.mark.parametrize("name", CASES)
def test_a_bound_that_no_gradient_reaches_changes_no_bit(name: str) -> None:
    nets = [pair(CASES[name])[::2] for _ in range(2)]
    for (net, optimizer), clip in zip(nets, (None, 1e6), strict=True):
        train_step(net, optimizer, micro_batches(0, sizes=(6,)), priorities=PRIORITIES, seed=SEED, step=0, clip=clip)
    assert length(nets[0][0]) > CLIP
    for one, other in zip(nets[0][0].parameters(), nets[1][0].parameters(), strict=True):
        assert torch.equal(one, other)
        assert (one.grad is None) == (other.grad is None)
        assert one.grad is None or torch.equal(one.grad, other.grad)


def length(net: Network) -> float:
    return float(torch.cat([one.grad.flatten() for one in net.parameters() if one.grad is not None]).norm())
