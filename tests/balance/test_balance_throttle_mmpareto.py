"""MMPareto: the combination of Wei & Hu, against a search over all weights, and on the gradients of a network."""

import math

import pytest
import torch
from throttled import batch, gradients, network, step
from torch import Tensor

from motet.balance import Blend, MMPareto, MMParetoThrottle, NoThrottle

GAMMA = 1.5


def by_hand(joint: Tensor, single: Tensor, gamma: float) -> Tensor:
    """As in the paper's code, its solver replaced by a fine search."""
    both = joint + single
    if torch.cosine_similarity(joint.flatten(), single.flatten(), dim=0) > 0:
        return gamma * both
    shares = torch.linspace(0, 1, 100001, dtype=torch.float64)
    lengths = (shares[:, None] * joint.flatten() + (1 - shares[:, None]) * single.flatten()).norm(dim=1)
    share = shares[lengths.argmin()]
    new = 2 * share * joint + 2 * (1 - share) * single
    ratio = both.norm() / new.norm()
    return gamma * (ratio * new if ratio > 1 else new)


@pytest.mark.parametrize("seed", range(8))
def test_the_combination_is_that_of_the_code(seed: int) -> None:
    chance = torch.Generator().manual_seed(seed)
    joint = torch.randn(3, 2, 2, generator=chance, dtype=torch.float64)
    single = torch.randn(3, 2, 2, generator=chance, dtype=torch.float64) - (0.8 * joint if seed % 2 else 0)
    found = MMParetoThrottle(gamma=GAMMA).combined("a", joint, single)
    torch.testing.assert_close(found, by_hand(joint, single, GAMMA), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("seed", range(8))
def test_the_combination_descends_for_both_and_is_as_long_as_the_sum(seed: int) -> None:
    chance = torch.Generator().manual_seed(seed)
    joint = torch.randn(4, 1, 3, generator=chance, dtype=torch.float64)
    single = torch.randn(4, 1, 3, generator=chance, dtype=torch.float64) * 10 ** (seed - 4) - joint
    found = MMParetoThrottle(gamma=GAMMA).combined("a", joint, single)
    assert (found * joint).sum() > 0
    assert (found * single).sum() > 0
    assert float(found.norm()) == pytest.approx(GAMMA * float((joint + single).norm()), rel=1e-6)


def test_exactly_opposed_gradients_give_none() -> None:
    joint = torch.randn(2, 1, 3)
    for times in (1.0, 3.0):
        found = MMParetoThrottle().combined("a", joint, -times * joint)
        assert found.isfinite().all()
        assert found.abs().max() < 1e-3


def test_what_is_not_finite_is_passed_on() -> None:
    joint, single = torch.tensor([[[math.inf]]]), torch.tensor([[[-1.0]]])
    assert MMParetoThrottle(gamma=1.0).combined("a", joint, single).item() == math.inf
    assert MMParetoThrottle(gamma=1.0).combined("a", single, joint * math.nan).isnan().all()


def test_one_gradient_alone_is_multiplied_by_gamma() -> None:
    joint = torch.randn(2, 1, 3)
    throttle = MMParetoThrottle(gamma=GAMMA)
    for found in (throttle.combined("a", joint, None), throttle.combined("a", None, joint)):
        torch.testing.assert_close(found, GAMMA * joint)


@pytest.mark.parametrize("names", [("age", "size"), ("age", "rank", "size")], ids=len)
def test_an_encoder_gets_the_combination_of_its_two_gradients(names: tuple[str, ...]) -> None:
    """Joint gradients are those without a throttle, a head's own is what equal blending adds; both at the tokens."""
    nets = {
        kind: network(spec, names=names)
        for kind, spec in (("pareto", MMPareto()), ("plain", NoThrottle()), ("sum", Blend(weights="equal")))
    }
    conflicts = 0
    for seed in range(6):
        factors = {kind: step(net, [batch(seed=seed)]).factors for kind, net in nets.items()}["pareto"]
        for name in names:
            # The tokens are an affine map of one number per row: the last bias's gradient is the sum over rows, and the
            # weight's that times the number. Both are linear in the tokens' gradient, so its parts combine as it does.
            joint = gradients(nets["plain"], name)
            single = [both - one for both, one in zip(gradients(nets["sum"], name), joint, strict=True)]
            share = factors[name] / 2
            found = gradients(nets["pareto"], name)
            size = torch.cat([one.flatten() for one in found]).norm()
            guess = [(1 - share) * one + share * other for one, other in zip(joint, single, strict=True)]
            times = size / torch.cat([one.flatten() for one in guess]).norm()
            for one, expected in zip(found, guess, strict=True):
                torch.testing.assert_close(one, times * expected, rtol=2e-3, atol=1e-6)
            conflicts += factors[name] != 1
            if factors[name] == 1:
                assert float(times) == pytest.approx(2 * GAMMA, rel=1e-4)
            else:
                assert float(times) > 2 * GAMMA
    assert conflicts, "no gradients were opposed: the test says nothing"
