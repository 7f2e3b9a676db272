"""Bilinear fusion by hand; every form by its paper's equation, in loops; what an absent input leaves."""

import math
from collections.abc import Mapping

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from motet.core.errors import SpecError
from motet.core.flow import Tokens
from motet.fusion import Bilinear, BilinearFusion, Fusion, Late
from motet.fusion.bilinear_forms import FORMS, Form
from motet.fusion.bilinear_forms.power import EPSILON, power_normalized

WIDTHS = {"age": 3, "photo": 5}
State = Mapping[str, Tensor]


def rows(present: Tensor | None = None, *, num_rows: int = 4) -> dict[str, Tokens]:
    """One token for each input; `present [B, 2]`."""
    generator = torch.Generator().manual_seed(0)
    there = torch.ones(num_rows, 2, dtype=torch.bool) if present is None else present
    return {
        name: Tokens(torch.randn(num_rows, 1, width, generator=generator), there.new_ones(num_rows, 1), column)
        for (name, width), column in zip(WIDTHS.items(), there.unbind(dim=1), strict=True)
    }


def built(form: str, *, width: int = 6, rank: int | None = None) -> BilinearFusion:
    torch.manual_seed(0)
    fusion = BilinearFusion(WIDTHS, width=width, form=form, rank=rank)
    nn.init.normal_(fusion.bias)
    return fusion


def test_two_numbers_by_hand() -> None:
    fusion = BilinearFusion({"a": 1, "b": 1}, width=1)
    named = {"linear.a.weight": 3.0, "linear.b.weight": 5.0, "product.a.b.read.weight": 7.0, "bias": 0.5}
    for name, parameter in fusion.named_parameters():
        nn.init.constant_(parameter, named.pop(name))
    assert not named
    a, b = torch.tensor([2.0, 2.0, math.nan, math.nan]), torch.tensor([-1.0, math.nan, -1.0, math.nan])
    one = torch.ones(4, 1, dtype=torch.bool)
    tokens = {name: Tokens(x[:, None, None], one, ~x.isnan()) for name, x in (("a", a), ("b", b))}
    joint = fusion(tokens)["joint"]
    assert joint.pooled[:, 0].tolist() == [7 * -2 + 3 * 2 - 5 + 0.5, 3 * 2 + 0.5, -5 + 0.5, 0.5]
    assert joint.present.tolist() == [True, True, True, False]


# --- the forms, each channel on its own


def full(q: State, x: Tensor, y: Tensor, *, width: int, rank: int) -> list[Tensor]:
    return [x @ q["read.weight"][k].reshape(len(x), len(y)) @ y for k in range(width)]


def mlb(q: State, x: Tensor, y: Tensor, *, width: int, rank: int) -> list[Tensor]:
    products = [
        math.tanh(q["left.weight"][d] @ x) * math.tanh(q["right.weight"][d] @ y)  # of one of the common channels
        for d in range(rank)
    ]
    return [q["read.weight"][k] @ torch.tensor(products) for k in range(width)]


def mfb(q: State, x: Tensor, y: Tensor, *, width: int, rank: int) -> list[Tensor]:
    z = []
    for k in range(width):
        u, v = q["left.weight"][k * rank : (k + 1) * rank], q["right.weight"][k * rank : (k + 1) * rank]
        z.append(x @ u.T @ v @ y)  # a weight matrix of rank `rank`
    return [math.sqrt(width) * one for one in normalized(z)]


def mfh(q: State, x: Tensor, y: Tensor, *, width: int, rank: int) -> list[Tensor]:
    first, second = [], []
    for k in range(width):
        factors = range(k * rank, (k + 1) * rank)
        e1 = {r: (q["left.0.weight"][r] @ x) * (q["right.0.weight"][r] @ y) for r in factors}
        e2 = {r: e1[r] * (q["left.1.weight"][r] @ x) * (q["right.1.weight"][r] @ y) for r in factors}
        first.append(torch.stack(list(e1.values())).sum())
        second.append(torch.stack(list(e2.values())).sum())
    both = torch.stack(normalized(first) + normalized(second))
    return [q["read.weight"][k] @ both for k in range(width)]


def mutan(q: State, x: Tensor, y: Tensor, *, width: int, rank: int) -> list[Tensor]:
    narrow_x, narrow_y = torch.tanh(q["left.weight"] @ x), torch.tanh(q["right.weight"] @ y)
    z = []
    for k in range(width):  # the core's slice of this channel, then what it makes of the two
        m, n = q["left_core.weight"][k::width], q["right_core.weight"][k::width]
        assert len(m) == rank
        slice_k = torch.stack([torch.outer(m[r], n[r]) for r in range(rank)]).sum(dim=0)
        z.append(narrow_x @ slice_k @ narrow_y)
    return [q["read.weight"][k] @ torch.stack(z) for k in range(width)]


def block(q: State, x: Tensor, y: Tensor, *, width: int, rank: int) -> list[Tensor]:
    all_x, all_y = (q["left.weight"] @ x).chunk(20), (q["right.weight"] @ y).chunk(20)
    joined = []
    for c in range(20):
        m, n = q["left_core"][c], q["right_core"][c]
        z = []
        for s in range(16):
            terms = [(all_x[c] @ m[:, r * 16 + s]) * (all_y[c] @ n[:, r * 16 + s]) for r in range(rank)]
            z.append(torch.stack(terms).sum())
        joined += normalized(z)
    return [q["read.weight"][k] @ torch.stack(joined) for k in range(width)]


def normalized(z: list[Tensor]) -> list[Tensor]:
    roots = [one / math.sqrt(abs(one) + EPSILON) for one in z]
    norm = math.sqrt(sum(float(root) ** 2 for root in roots) + EPSILON)
    return [root / norm for root in roots]


BY_HAND = {"full": full, "mlb": mlb, "mfb": mfb, "mfh": mfh, "mutan": mutan, "block": block}


@pytest.mark.parametrize("form", FORMS)
def test_the_equation_of_every_form(form: str) -> None:
    present = torch.tensor([[True, True], [True, False], [False, True], [False, False], [True, True]])
    fusion, tokens = built(form, rank=None if form == "full" else 3), rows(present, num_rows=5)
    state = {name: value.detach() for name, value in fusion.state_dict().items()}
    form_state = {name.removeprefix("product.age.photo."): value for name, value in state.items() if "product" in name}
    found = fusion(tokens)["joint"].pooled
    for b, (has_age, has_photo) in enumerate(present.tolist()):
        x, y = tokens["age"].values[b, 0], tokens["photo"].values[b, 0]
        expected = state["bias"].clone()
        expected += state["linear.age.weight"] @ x if has_age else 0
        expected += state["linear.photo.weight"] @ y if has_photo else 0
        if has_age and has_photo:
            expected += torch.stack(BY_HAND[form](form_state, x, y, width=6, rank=3))
        torch.testing.assert_close(found[b], expected)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_a_product_and_not_a_sum(form: str) -> None:
    """0 where either is, and `q(x, y) + q(x', y') - q(x, y') - q(x', y)` is not, as it is for any sum."""
    torch.manual_seed(0)
    chosen: type[Form] = FORMS[form]
    product = chosen(3, 5, width=6, rank=chosen.RANK)
    (x, x2), (y, y2) = torch.randn(2, 7, 3), torch.randn(2, 7, 5)
    assert not product(torch.zeros(7, 3), y).any()
    assert not product(x, torch.zeros(7, 5)).any()
    mixed = product(x, y) + product(x2, y2) - product(x, y2) - product(x2, y)
    assert mixed.abs().mean() > 0.05


@pytest.mark.parametrize("form", ["full", "mlb", "mfb", "mutan", "block"])
def test_published_forms_turn_with_the_sign_of_either_input(form: str) -> None:
    torch.manual_seed(0)
    product = FORMS[form](3, 5, width=6, rank=2)
    x, y = torch.randn(7, 3), torch.randn(7, 5)
    torch.testing.assert_close(product(-x, y), -product(x, y))
    torch.testing.assert_close(product(x, -y), -product(x, y))


def test_ranks_are_the_published_ones_unless_given() -> None:
    assert {form: chosen.RANK for form, chosen in FORMS.items() if form != "full"} == {
        "mlb": 1200,
        "mfb": 5,
        "mfh": 5,
        "mutan": 5,
        "block": 15,
    }
    (one,) = built("mlb").product["age"].items()
    assert one[1].left.weight.shape == (1200, 3)
    assert built("mfb", rank=2).product["age"]["photo"].left.weight.shape == (12, 3)


def test_factorised_forms_have_fewer_weights() -> None:
    full_one = num_weights("full")
    assert full_one == 128 * 512 * 300
    for form in ("mlb", "mfb", "mfh", "mutan", "block"):
        assert num_weights(form) < full_one / 5, form


def num_weights(form: str) -> int:
    chosen = FORMS[form]
    with torch.device("meta"):
        product = chosen(512, 300, width=128, rank=chosen.RANK)
    return sum(parameter.numel() for parameter in product.parameters())


# --- the normalisation


def test_power_normalisation_by_hand() -> None:
    found = power_normalized(torch.tensor([[9.0, -16.0], [0.0, 0.0], [-1e6, 0.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.6, -0.8], [0.0, 0.0], [-1.0, 0.0]]), atol=1e-4, rtol=0)


def test_at_zero_the_normalisation_has_a_slope_that_is_finite() -> None:
    z = torch.zeros(1, 4, requires_grad=True)
    power_normalized(z).sum().backward()
    assert z.grad is not None
    torch.testing.assert_close(z.grad, torch.full((1, 4), 1 / EPSILON))


# --- what an input that is absent leaves, and how many there may be


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("filler", [math.nan, 1e30])
def test_the_content_of_an_absent_input_changes_no_bit(form: str, filler: float) -> None:
    present = torch.tensor([[True, True], [True, False], [False, True], [False, False]])
    fusion, tokens = built(form), rows(present)
    spoilt = {
        name: Tokens(torch.where(one.present[:, None, None], one.values, filler), one.mask, one.present)
        for name, one in tokens.items()
    }
    assert all(torch.equal(*pair) for pair in zip(learned(fusion, tokens), learned(fusion, spoilt), strict=True))


@pytest.mark.parametrize("form", FORMS)
def test_rows_without_a_pair_leave_the_product_alone_in_half_precision_too(form: str) -> None:
    """At 0 the slope of the normalisation is more than float16 holds, and times 0 it would be NaN."""
    fusion = built(form, width=128).half()
    tokens = {
        name: Tokens(one.values.half(), one.mask, one.present)
        for name, one in rows(torch.tensor([[True, False], [False, True], [False, False]]), num_rows=3).items()
    }
    gradients = learned(fusion, tokens)[1:]
    for (name, _), gradient in zip(fusion.named_parameters(), gradients, strict=True):
        assert gradient.isfinite().all(), name
        assert bool(gradient.any()) != name.startswith("product."), name


def learned(fusion: Fusion, tokens: Mapping[str, Tokens]) -> list[Tensor]:
    fused = fusion(tokens)["joint"].pooled
    return [fused, *torch.autograd.grad(fused.square().sum(), list(fusion.parameters()))]


def test_one_input_is_a_linear_map() -> None:
    torch.manual_seed(0)
    fusion = BilinearFusion({"photo": 5}, width=4)
    photo = rows()["photo"]
    expected = photo.values[:, 0] @ fusion.linear["photo"].weight.T + fusion.bias
    torch.testing.assert_close(fusion({"photo": photo})["joint"].pooled, expected)
    assert sorted(fusion.state_dict()) == ["bias", "linear.photo.weight"]


def test_three_inputs_are_refused_with_what_to_try() -> None:
    message = r"bilinear takes at most two inputs, found 3 \(age, photo, word\); try lowrank or tensor"
    with pytest.raises(SpecError, match=message):
        Bilinear().build({"photo": 5, "word": 2, "age": 3})
    Late().build({"photo": 5, "word": 2, "age": 3})


def test_the_full_form_has_no_rank() -> None:
    with pytest.raises(ValidationError, match="`rank` says nothing of the form full"):
        Bilinear(rank=4)
