"""Boltzmann machines beside scikit-learn's; the loss has the gradient of CD-1; what is learned is likely."""

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.neural_network import BernoulliRBM
from torch import Tensor

from motet.core.flow import Tokens
from motet.fusion import RBMFusion
from motet.fusion.rbm import Machine
from motet.testing.tokens import WIDTHS, example


def machine(seed: int = 0, **widths: int) -> Machine:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found = Machine(widths, hidden=3).double()
        for parameter in found.parameters():
            torch.nn.init.normal_(parameter)
        return found


def everywhere(visible: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.ones(len(one), dtype=torch.bool) for name, one in visible.items()}


def test_hidden_units_and_free_energy_beside_scikit_learn() -> None:
    ours, v = machine(a=4), (torch.rand(6, 4, generator=torch.Generator().manual_seed(1)) > 0.5).double()
    theirs = BernoulliRBM(n_components=3)
    part = ours.parts["a"]
    theirs.components_ = part.weight.detach().numpy().T
    theirs.intercept_hidden_ = ours.bias.detach().numpy()
    theirs.intercept_visible_ = part.bias.detach().numpy()
    visible = {"a": v}
    likely = ours.fields(visible, everywhere(visible)).sigmoid().detach().numpy()
    np.testing.assert_allclose(likely, theirs._mean_hiddens(v.numpy()))
    energy = ours.energy(visible, everywhere(visible), gaussian=False).detach().numpy()
    np.testing.assert_allclose(energy, theirs._free_energy(v.numpy()))


@pytest.mark.parametrize("gaussian", [False, True])
def test_the_free_energy_is_the_sum_over_all_hidden_states(gaussian: bool) -> None:
    """`F(v) = -log sum_h e^(-E(v, h))` with E of the definition, over the 8 states of 3 hidden units."""
    ours, v = machine(a=2, b=3), torch.randn(5, generator=torch.Generator().manual_seed(2)).double()
    w = torch.cat([ours.parts["a"].weight, ours.parts["b"].weight]).detach()
    a = torch.cat([ours.parts["a"].bias, ours.parts["b"].bias]).detach()
    total = 0.0
    for state in itertools.product((0.0, 1.0), repeat=3):
        h = torch.tensor(state).double()
        alone = (v - a).square().sum() / 2 if gaussian else -(a * v).sum()
        total += math.exp(-float(alone - (ours.bias.detach() * h).sum() - v @ w @ h))
    visible = {"a": v[None, :2], "b": v[None, 2:]}
    found = ours.energy(visible, everywhere(visible), gaussian=gaussian)
    assert float(found.detach()) == pytest.approx(-math.log(total))


@pytest.mark.parametrize("gaussian", [False, True])
def test_the_gradient_of_the_loss_is_minus_the_update_of_contrastive_divergence(gaussian: bool) -> None:
    """`v p(h|v) - v' p(h|v')` for the weights, `v - v'` and `p(h|v) - p(h|v')` for the biases, summed over rows."""
    ours, keys = machine(a=4), torch.arange(9)
    v = torch.rand(9, 4, generator=torch.Generator().manual_seed(3)).double()
    there = {"a": torch.ones(9, dtype=torch.bool)}
    again = ours.reconstructed({"a": v}, there, keys, gaussian=gaussian, salt="")["a"]
    ours.divergence({"a": v}, there, keys, gaussian=gaussian, salt="").sum().backward()
    part = ours.parts["a"]
    p, q = (1 / (1 + torch.exp(-(ours.bias + one @ part.weight).detach())) for one in (v, again))
    assert part.weight.grad is not None
    assert part.bias.grad is not None
    assert ours.bias.grad is not None
    torch.testing.assert_close(-part.weight.grad, v.T @ p - again.T @ q)
    torch.testing.assert_close(-part.bias.grad, (v - again).sum(dim=0))
    torch.testing.assert_close(-ours.bias.grad, (p - q).sum(dim=0))


def test_hidden_units_are_drawn_as_likely_as_they_are_by_the_key_of_the_row() -> None:
    ours = machine(a=1)
    torch.nn.init.eye_(ours.parts["a"].weight)
    torch.nn.init.zeros_(ours.parts["a"].bias)
    visible, keys = {"a": torch.full((4000, 1), 0.7).double()}, torch.arange(4000)
    expected = 1 / (1 + math.exp(-(0.7 + float(ours.bias[0].detach()))))
    drawn = ours.reconstructed(visible, everywhere(visible), keys, gaussian=True, salt="")["a"]
    assert set(drawn.flatten().tolist()) == {0.0, 1.0}  # the first hidden unit itself
    assert float(drawn.mean()) == pytest.approx(expected, abs=4 * 0.5 / math.sqrt(4000))
    some = {"a": visible["a"][:5]}
    again = ours.reconstructed(some, everywhere(some), keys[7:12], gaussian=True, salt="")["a"]
    assert torch.equal(again, drawn[7:12])
    other = ours.reconstructed(some, everywhere(some), keys[7:12] + 10_000, gaussian=True, salt="x")["a"]
    assert other.shape == again.shape


def test_the_joint_units_on_every_subset_of_three_inputs() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fusion = RBMFusion(WIDTHS, width=5, hidden=4, joint=3).eval()
    tokens, state = example(WIDTHS), fusion.state_dict()
    joint = fusion(tokens)["joint"]
    for row in range(8):
        field = state["joint.bias"].clone()
        for name, one in tokens.items():
            if one.present[row]:
                x = one.values[row][one.mask[row]].mean(dim=0)
                escaped = next(key for key in state if key.startswith(f"own.{name}.parts") and key.endswith("weight"))
                p = torch.sigmoid(state[f"own.{name}.bias"] + x @ state[escaped])
                field += p @ state[f"joint.parts.{name}.weight"]
        expected = state["read.weight"] @ torch.sigmoid(field) + state["read.bias"]
        torch.testing.assert_close(joint.pooled[row], expected)


def test_each_machine_takes_what_is_below_as_data() -> None:
    """The loss of the joint one moves the joint one alone, and no loss moves the encoders."""
    fusion, tokens = RBMFusion(WIDTHS, hidden=4, joint=3), example(WIDTHS)
    values = {name: one.values.clone().requires_grad_() for name, one in tokens.items()}
    seen = {name: Tokens(values[name], one.mask, one.present) for name, one in tokens.items()}
    terms = fusion.objectives(seen, torch.arange(8))
    terms["rbm joint"].sum.backward()
    assert {name.split(".")[0] for name, one in fusion.named_parameters() if one.grad is not None} == {"joint"}
    terms["rbm of age"].sum.backward()
    assert all(one.grad is None for one in values.values())


def test_what_was_learned_is_likelier_than_anything_else() -> None:
    """Two patterns over two inputs; after learning they have the lowest free energy of all 16."""
    patterns = torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 1]]).repeat(16, 1)
    visible = {"a": patterns[:, :2], "b": patterns[:, 2:]}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ours = Machine({"a": 2, "b": 2}, hidden=3)
    optimizer = torch.optim.SGD(ours.parameters(), 0.2)
    for step in range(300):
        loss = ours.divergence(visible, everywhere(visible), torch.arange(32) + 32 * step, gaussian=False, salt="")
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
    states = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)))
    every = {"a": states[:, :2], "b": states[:, 2:]}
    energy = ours.energy(every, everywhere(every), gaussian=False).detach()
    likely = {tuple(states[index].tolist()) for index in energy.argsort()[:2].tolist()}
    assert likely == {(1.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 1.0)}


def test_without_keys_chance_is_drawn_in_turn() -> None:
    fusion, tokens = RBMFusion(WIDTHS, hidden=4, joint=3), example(WIDTHS)
    first, second = (fusion.objectives(tokens)["rbm joint"].sum.detach() for _ in range(2))
    assert float(first) != float(second)
