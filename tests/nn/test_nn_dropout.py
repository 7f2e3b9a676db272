"""Keyed dropout: batch mates, batch size and padding change nothing."""

import pytest
import torch
from torch import nn

from motet.nn import MLP, Dropout, keys_of, row_keys, salt_dropouts

KEYS = keys_of(torch.arange(16), 0)


def salted(p: float) -> Dropout:
    dropout = Dropout(p)
    salt_dropouts(dropout, 0)
    return dropout


def test_kept_elements_are_scaled_and_the_mean_stays() -> None:
    with row_keys(KEYS):
        y = salted(0.25)(torch.ones(16, 100, 32))
    assert y.unique().tolist() == pytest.approx([0, 4 / 3])
    assert y.mean() == pytest.approx(1, abs=0.02)


def test_a_row_is_dropped_the_same_alone_and_in_another_order() -> None:
    dropout, x = salted(0.5), torch.randn(16, 5, 8)
    with row_keys(KEYS):
        whole = dropout(x)
    order = torch.tensor([3, 1, 15])
    with row_keys(KEYS[order]):
        assert torch.equal(dropout(x[order]), whole[order])


def test_padding_behind_does_not_move_the_mask() -> None:
    dropout, x = salted(0.5), torch.randn(16, 5, 8)
    with row_keys(KEYS):
        assert torch.equal(dropout(nn.functional.pad(x, (0, 0, 0, 3)))[:, :5], dropout(x))


def test_the_gradient_passes_where_the_value_does() -> None:
    x = torch.randn(16, 8, dtype=torch.float64, requires_grad=True)
    with row_keys(KEYS):
        y = salted(0.5)(x)
    torch.autograd.backward(y.sum())
    assert x.grad is not None
    assert torch.equal(x.grad, torch.where(y == 0, 0.0, 2.0).double())


def test_each_layer_and_each_seed_has_its_own_mask() -> None:
    model = nn.Sequential(Dropout(0.5), MLP(8, hidden=[4, 4], output_width=2, dropout=0.5))
    salts = []
    for seed in (0, 1):
        salt_dropouts(model, seed)
        salts += [module.salt for module in model.modules() if isinstance(module, Dropout)]
    assert len(set(salts)) == 6


def test_evaluation_and_zero_are_the_identity() -> None:
    x = torch.randn(2, 3)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_without_keys_it_is_torch_dropout() -> None:
    x = torch.randn(50, 50)
    torch.manual_seed(0)
    expected = nn.functional.dropout(x, 0.3)
    torch.manual_seed(0)
    assert torch.equal(Dropout(0.3)(x), expected)


def test_keys_of_other_rows_are_refused() -> None:
    with row_keys(KEYS), pytest.raises(AssertionError, match="16 row keys for 3 rows"):
        Dropout(0.5)(torch.zeros(3, 2))


@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_a_probability_out_of_range_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="from 0 to below 1"):
        Dropout(p)
