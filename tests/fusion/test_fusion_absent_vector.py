"""The vector-level operators that remove what is absent never read its content, not even to multiply it by 0."""

import math

import pytest
import torch
from torch import Tensor

from motet.core.flow import Tokens
from motet.fusion import DeepSet, FiLM, FusionSpec, Gated, Weighted
from motet.testing.suite import projected
from motet.testing.tokens import WIDTHS, example, of_rows

SPECS = [
    Gated(width=5),
    Gated(width=5, gates="softmax"),
    FiLM(width=5),
    FiLM(width=5, conditioned="photo"),
    DeepSet(width=5),
    DeepSet(width=5, pool="mean"),
    DeepSet(width=5, pool="max"),
    Weighted(width=5),
    Weighted(width=5, per_row=True),
]


def spoilt(tokens: dict[str, Tokens], filler: float) -> dict[str, Tokens]:
    return {
        name: Tokens(one.values.masked_fill(~one.present[:, None, None], filler), one.mask, one.present)
        for name, one in tokens.items()
    }


def outputs_and_gradients(spec: FusionSpec, tokens: dict[str, Tokens]) -> list[Tensor]:
    torch.manual_seed(0)
    fusion = spec.build(WIDTHS)
    values = {name: one.values.clone().requires_grad_() for name, one in tokens.items()}
    joint = fusion({name: Tokens(values[name], one.mask, one.present) for name, one in tokens.items()})["joint"]
    gradients = torch.autograd.grad(projected([joint.pooled]), [*values.values(), *fusion.parameters()])
    return [joint.pooled, *gradients]


@pytest.mark.parametrize("spec", SPECS, ids=repr)
@pytest.mark.parametrize("filler", [math.nan, math.inf, 1e30])
def test_the_content_of_an_absent_input_changes_no_bit(spec: FusionSpec, filler: float) -> None:
    some = of_rows(example(WIDTHS), range(1, 8))
    clean, found = (outputs_and_gradients(spec, tokens) for tokens in (some, spoilt(some, filler)))
    assert all(torch.equal(one, other) for one, other in zip(found, clean, strict=True))


@pytest.mark.parametrize("spec", [spec for spec in SPECS if spec.kind != "weighted"], ids=repr)
def test_nor_does_it_in_a_row_without_any_input(spec: FusionSpec) -> None:
    empty = of_rows(example(WIDTHS), [0])
    clean, found = (outputs_and_gradients(spec, tokens) for tokens in (empty, spoilt(empty, math.nan)))
    assert all(torch.equal(one, other) for one, other in zip(found, clean, strict=True))


@pytest.mark.parametrize("spec", SPECS, ids=repr)
def test_inputs_may_have_any_name(spec: FusionSpec) -> None:
    names = dict(zip(WIDTHS, ("train", "photo", "a.b"), strict=True))
    tokens = {names[name]: one for name, one in example(WIDTHS).items()}
    found = spec.build({names[name]: width for name, width in WIDTHS.items()})(tokens)["joint"]
    assert found.pooled.isfinite().all()
