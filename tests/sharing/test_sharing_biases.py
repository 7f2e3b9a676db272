"""Biases that are drawn together: the sum by hand, and the offsets a random intercept would give."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from motet.sharing import Clustered, Factorised, FactorisedSharing, Relation
from motet.sharing.base import Sharing, SharingSpec
from motet.sharing.biases import bias_penalty

TASKS = ("c", "a", "b")
SPECS = (Relation, Clustered, Factorised)


def built(spec: SharingSpec, biases: list[float]) -> Sharing:
    """Layers of width 1 with these biases, tasks sorted by name."""
    sharing = spec.build(4, tasks=TASKS).double()
    with torch.no_grad():
        for bias, value in zip(own_biases(sharing), biases, strict=True):
            bias.fill_(value)
    return sharing


def own_biases(sharing: Sharing) -> list[nn.Parameter]:
    """Sorted by the names of the tasks."""
    place = "bias." if isinstance(sharing, FactorisedSharing) else "layers.bias."
    found = dict(sharing.named_parameters())
    return [found[place + task] for task in sorted(TASKS)]


def test_by_hand() -> None:
    """Their mean is (2, 5): at distances of 1, 1 and 2, 2."""
    biases = torch.tensor([[1.0, 3.0], [3.0, 7.0]])
    assert bias_penalty(biases, 0.5)["bias"].item() == pytest.approx(0.5 * (1 + 1 + 4 + 4))


@pytest.mark.parametrize("spec", SPECS)
def test_free_biases_have_no_penalty(spec: type[Relation | Clustered | Factorised]) -> None:
    sharing = built(spec(layers=0, branch=1), [1.0, 2.0, 6.0])
    drawn = built(spec(layers=0, branch=1, bias=2.0), [1.0, 2.0, 6.0])
    assert "bias" not in sharing.penalties()
    assert drawn.penalties()["bias"].item() == pytest.approx(2.0 * (4 + 1 + 9))


@settings(deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=6), st.floats(-9, 9))
def test_only_differences_count(values: list[float], shift: float) -> None:
    biases = torch.tensor(values, dtype=torch.float64)[:, None]
    found, moved = (bias_penalty(one, 3.0)["bias"] for one in (biases, biases + shift))
    torch.testing.assert_close(found, moved, atol=1e-9, rtol=1e-9)
    mean = sum(values) / len(values)
    assert found.item() == pytest.approx(3 * sum((value - mean) ** 2 for value in values), abs=1e-9)


@pytest.mark.parametrize("spec", SPECS)
def test_small_tasks_keep_less_of_their_offset(spec: type[Relation | Clustered | Factorised]) -> None:
    """Where all features are 0 the offsets solve a linear system, and there the gradient vanishes."""
    counts, means, weight = np.array([100.0, 10.0, 1.0]), np.array([1.0, -1.0, 1.0]), 20.0
    system = np.diag(counts) + weight * (np.eye(3) - 1 / 3)
    offsets = np.linalg.solve(system, counts * means)
    assert abs(offsets[2] - offsets.mean()) < abs(offsets[0] - offsets.mean())
    sharing = built(spec(layers=0, branch=1, bias=weight), offsets.tolist())
    shared = sharing.trunk(torch.zeros(1, 4, dtype=torch.float64))
    answers = sharing.branch(dict.fromkeys(TASKS, shared))
    losses = [n * (answers[task] - m).square().sum() for task, n, m in zip(sorted(TASKS), counts, means, strict=True)]
    total = torch.stack([*losses, sharing.penalties()["bias"]]).sum()
    for gradient in torch.autograd.grad(total, own_biases(sharing)):
        assert gradient.item() == pytest.approx(0, abs=1e-9)
