"""Autocast beside the junction, for every method at every place: bfloat16 gradients, compared in float64."""

import pytest
import torch
from junction_world import PRIORITIES, SEED, cases, micro_batches, network, shared
from one_by_one import OneByOne
from torch import Tensor, nn

from motet.balance import MGDA, Junction
from motet.balance.base import BalancerSpec, Place
from motet.model import Network
from motet.training import train_step

CASES = cases()


class InFloat32(nn.Module):
    """A head that leaves autocast."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            found: Tensor = self.head(features.float())
        return found


def in_bfloat16(spec: BalancerSpec) -> Network:
    """Trunks whose features are bfloat16 under autocast, and heads of which one computes in float32."""
    net = network(spec)
    for _, one in net.sharing.items():
        one.layers = nn.Linear(4, 5)
    for stream, head in list(net.heads["price"].items()):
        net.heads["price"].add_module(stream, InFloat32(head))
    net.junction.shared = shared(net)
    return net


@pytest.mark.parametrize("name", CASES)
def test_the_step_is_that_of_separate_gradients_in_bfloat16(name: str) -> None:
    """And the Gram matrix that of the same bfloat16 gradients in float64: neither rounded nor added up in bfloat16."""
    net = in_bfloat16(CASES[name])
    apart = OneByOne(net, precision="bfloat16")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    batches = micro_batches(0, sizes=(40,), dtype=torch.float32)
    train_step(net, optimizer, batches, priorities=PRIORITIES, seed=SEED, step=0, precision="bfloat16")
    apart.step(batches, step=0)
    assert {one.dtype for one in apart.net.junction.z.values()} == {torch.bfloat16}
    assert torch.isfinite(torch.tensor(list(net.junction.weights.values()))).all()
    if apart.grams:
        assert net.junction.gram is not None
        difference = (net.junction.gram[1] - apart.grams[-1]).abs().max() / apart.grams[-1].trace()
        assert difference <= 1e-6
    for (where, own), theirs in zip(net.named_parameters(), apart.net.parameters(), strict=True):
        assert torch.isfinite(own).all()
        assert (own.grad is None) == (theirs.grad is None), where
    found, wanted = (
        torch.cat([p.grad.flatten() for p in one.parameters() if p.grad is not None]) for one in (net, apart.net)
    )
    assert (found - wanted).norm() <= 1e-2 * wanted.norm()


@pytest.mark.parametrize("name", CASES)
def test_training_goes_on_in_bfloat16(name: str) -> None:
    """Accumulated and clipped, over steps in which a task is absent from a batch."""
    net = network(CASES[name])
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    before = [one.detach().clone() for one in net.parameters()]
    for step in range(2):
        batches = micro_batches(step, dtype=torch.float32)
        options = {"clip": 1.0, "precision": "bfloat16"}
        assert train_step(net, optimizer, batches, priorities=PRIORITIES, seed=SEED, step=step, **options).moved
    assert all(bool(torch.isfinite(one).all()) for one in net.state_dict().values())
    assert any(not torch.equal(one, was) for one, was in zip(net.parameters(), before, strict=True))


@pytest.mark.parametrize("place", ["features", "layer", "parameters"])
def test_gradients_whose_squares_overflow_float32_are_compared(place: Place) -> None:
    torch.manual_seed(0)
    trunk, junction, x = nn.Linear(4, 6), Junction(MGDA(at=place), tasks=("a", "b")), torch.randn(9, 4)
    given = {task: torch.randn(9, 6, generator=torch.Generator().manual_seed(len(task))) for task in ("a", "bb")}
    with torch.autocast("cpu", torch.bfloat16):
        z = trunk(x)
        copies = junction(z)
        losses = {"a": (copies["a"].float() * given["a"] * 1e25).sum(), "b": (copies["b"] * given["bb"]).float().sum()}
    assert z.dtype == torch.bfloat16
    junction.total(losses).backward()
    assert junction.gram is not None
    names, gram = junction.gram
    assert names == ["a", "b"]
    assert gram.isfinite().all()
    assert gram[0, 0] > 1e48
    assert junction.weights == pytest.approx({"a": 0.0, "b": 1.0}, abs=1e-6)
    assert all(bool(one.grad.isfinite().all()) for one in trunk.parameters() if one.grad is not None)


def test_streams_of_different_precision_meet() -> None:
    """Gradients in float32 of one stream beside bfloat16 ones of another: one Gram matrix of both."""
    for place in ("features", "layer", "parameters"):
        torch.manual_seed(0)
        trunks, junction = nn.ModuleDict({s: nn.Linear(4, 6) for s in "xy"}), Junction(MGDA(at=place), tasks="ab")
        rows, given = torch.randn(9, 4), torch.randn(2, 2, 9, 6)
        with torch.autocast("cpu", torch.bfloat16):
            z = {"x": trunks["x"](rows), "y": trunks["y"](rows).float()}
            copies = junction(z)
            losses = {
                task: sum((copies[task][s].float() * given[k, i]).sum() for i, s in enumerate("xy"))
                for k, task in enumerate("ab")
            }
        junction.total(losses).backward(retain_graph=True)
        exact = given.clone()
        exact[:, 0] = exact[:, 0].bfloat16().float()
        parts = []
        for k in range(2):
            gz = [exact[k, 0].bfloat16(), exact[k, 1]]
            if place == "features":
                one = gz
            elif place == "layer":
                pairs = zip(gz, z.values(), strict=True)
                one = [p for g, s in pairs for p in ((g.double() * s.double()).sum(0), g.double().sum(0))]
            else:
                one = list(torch.autograd.grad(list(z.values()), list(trunks.parameters()), gz, retain_graph=True))
            parts.append(torch.cat([p.detach().double().flatten() for p in one]))
        expected = torch.stack(parts) @ torch.stack(parts).T
        assert junction.gram is not None
        torch.testing.assert_close(junction.gram[1], expected, rtol=1e-6, atol=1e-9)
