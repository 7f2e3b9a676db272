"""Collective matrix factorisation beside numpy, row by row; what is absent drops out; what the loss can teach."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motet.core.flow import Tokens
from motet.fusion import FactorsFusion
from motet.testing.tokens import WIDTHS, example


def by_numpy(fusion: FactorsFusion, row: dict[str, np.ndarray]) -> tuple[np.ndarray, float]:
    """Factors and loss of one row by least squares: `[Y; sqrt(ridge) I]` against `[x - c; 0]`."""
    state = {name: one.numpy() for name, one in fusion.state_dict().items()}
    rank = fusion.read.in_features
    left = np.concatenate([*(state[f"back.{m}.map"].T for m in row), math.sqrt(fusion.ridge) * np.eye(rank)])
    right = np.concatenate([*(x - state[f"back.{m}.offset"] for m, x in row.items()), np.zeros(rank)])
    u = np.linalg.lstsq(left, right, rcond=None)[0]
    return u, float(((left @ u - right) ** 2).sum())


def built(rank: int, seed: int = 0) -> FactorsFusion:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fusion = FactorsFusion(WIDTHS, width=5, rank=rank, ridge=0.3, weight=0.2).double()
        for _, back in fusion.back.items():
            torch.nn.init.normal_(back.offset)
        return fusion


def rows_of(tokens: dict[str, Tokens]) -> list[dict[str, np.ndarray]]:
    return [
        {name: one.values[b][one.mask[b]].mean(dim=0).numpy() for name, one in tokens.items() if one.present[b]}
        for b in range(8)
    ]


@given(st.integers(1, 9), st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_factors_and_loss_on_every_subset_of_three_inputs(rank: int, seed: int) -> None:
    """Also with more factors than an input, or all of them, has channels."""
    fusion = built(rank, seed)
    tokens = {name: Tokens(one.values.double(), one.mask, one.present) for name, one in example(WIDTHS).items()}
    found = [by_numpy(fusion, row) for row in rows_of(tokens)]
    u = torch.from_numpy(np.stack([factors for factors, _ in found]))
    joint = fusion(tokens)["joint"]
    torch.testing.assert_close(joint.pooled, fusion.read(u))
    assert joint.present.tolist() == [False] + 7 * [True]
    term = fusion.objectives(tokens)["factors"]
    assert float(term.sum.detach()) == pytest.approx(0.2 / 13 * sum(loss for _, loss in found[1:]))
    assert int(term.count) == 7


def test_two_inputs_of_one_channel_by_hand() -> None:
    """Y = 1 and 2, ridge 1, x = 3 and 4: u = (3 + 8) / (1 + 1 + 4); of the first alone 3 / 2; of none 0."""
    fusion = FactorsFusion({"a": 1, "b": 1}, width=1, rank=1, ridge=1.0)
    torch.nn.init.ones_(fusion.read.weight)
    torch.nn.init.zeros_(fusion.read.bias)
    for name, value in (("a", 1.0), ("b", 2.0)):
        torch.nn.init.constant_(fusion.back[name].map, value)
    mask = torch.ones(3, 1, dtype=torch.bool)
    a = Tokens(torch.full((3, 1, 1), 3.0), mask, torch.tensor([True, True, False]))
    b = Tokens(torch.full((3, 1, 1), 4.0), mask, torch.tensor([True, False, False]))
    assert fusion({"a": a, "b": b})["joint"].pooled[:, 0].tolist() == pytest.approx([11 / 6, 1.5, 0.0])


def test_of_the_loss_an_input_is_only_the_data() -> None:
    fusion, tokens = built(3), example(WIDTHS)
    values = {name: one.values.double().requires_grad_() for name, one in tokens.items()}
    seen = {name: Tokens(values[name], one.mask, one.present) for name, one in tokens.items()}
    fusion.objectives(seen)["factors"].sum.backward()
    assert all(one.grad is None for one in values.values())
    fusion(seen)["joint"].pooled.square().sum().backward()
    assert all(one.grad is not None and bool(one.grad.any()) for one in values.values())


def test_what_is_absent_can_be_given_back_by_the_rest() -> None:
    """Two inputs of two common numbers: after learning, the factors of one alone give the other back."""
    generator = torch.Generator().manual_seed(0)
    common, there = torch.randn(200, 2, generator=generator), torch.ones(200, dtype=torch.bool)
    x = {name: common @ torch.randn(2, 4, generator=generator) for name in "ab"}
    tokens = {name: Tokens(one[:, None], there[:, None], there) for name, one in x.items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fusion = FactorsFusion({"a": 4, "b": 4}, rank=2, ridge=0.1)
    optimizer = torch.optim.Adam(fusion.back.parameters(), 0.05)
    for _ in range(150):
        optimizer.zero_grad()
        fusion.objectives(tokens)["factors"].sum.backward()
        optimizer.step()
    u = fusion.factors({"a": x["a"], "b": torch.zeros(200, 4)}, {"a": there, "b": ~there})
    left = (fusion.back["b"](u) - x["b"]).square().sum() / x["b"].square().sum()
    assert float(left.detach()) < 0.05


def test_factors_are_solved_in_full_precision_whatever_is_around_them() -> None:
    fusion = FactorsFusion(WIDTHS, width=5, rank=32, ridge=1e-3, weight=0.2)
    for _, back in fusion.back.items():
        back.map.data *= 10
    tokens = example(WIDTHS)
    exact = {name: Tokens(one.values.float(), one.mask, one.present) for name, one in tokens.items()}
    vectors, present = fusion._seen(exact)
    plain = fusion.factors(vectors, present)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(fusion.factors(vectors, present), plain)
        (stream,) = fusion(exact).values()
        assert bool(stream.pooled.isfinite().all())
