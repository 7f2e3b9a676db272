"""Inner products of long gradients, against float64."""

import pytest
import torch

from motet.balance.gram import gram_matrix, weighted_sum


def exact(rows: torch.Tensor) -> torch.Tensor:
    return rows.double() @ rows.double().T


@pytest.mark.parametrize("width", [1, 7, 1024, 1025, 5000])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_equals_float64(width: int, dtype: torch.dtype) -> None:
    rows = torch.randn(5, width, generator=torch.Generator().manual_seed(width)).to(dtype)
    gram = gram_matrix(list(rows))
    assert gram.dtype == torch.float64
    allowed = (1e-12 if dtype == torch.float64 else 1e-6) * exact(rows).diagonal().max()
    assert (gram - exact(rows)).abs().max() <= allowed


def test_long_sums_keep_their_digits() -> None:
    rows = 1.0 + 0.001 * torch.randn(2, 2_000_000, generator=torch.Generator().manual_seed(0))
    error = (gram_matrix(list(rows)) - exact(rows)).abs().max() / exact(rows).max()
    assert error < 1e-7


def test_what_overflows_float32_is_done_in_float64() -> None:
    rows = torch.tensor([[1e25, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(gram_matrix(list(rows)), exact(rows), rtol=1e-6, atol=0.0)


def test_infinity_stays_infinite() -> None:
    assert not gram_matrix([torch.tensor([float("inf"), 1.0]), torch.tensor([0.0, 1.0])]).isfinite().all()


def test_autocast_does_not_apply() -> None:
    rows = torch.randn(4, 3000, generator=torch.Generator().manual_seed(1))
    weights = [0.1, 0.2, 0.3, 0.4]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        gram, summed = gram_matrix(list(rows)), weighted_sum(list(rows), weights)
    assert torch.equal(gram, gram_matrix(list(rows)))
    assert torch.equal(summed, weighted_sum(list(rows), weights))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_weighted_sum_keeps_the_precision_of_the_rows(dtype: torch.dtype) -> None:
    rows = torch.randn(3, 50, generator=torch.Generator().manual_seed(2)).to(dtype)
    weights = [0.5, 2.0, 0.0]
    expected = (0.5 * rows[0].double() + 2 * rows[1].double()).to(dtype)
    found = weighted_sum(list(rows), weights)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected)
