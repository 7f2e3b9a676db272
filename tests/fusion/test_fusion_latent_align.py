"""What aligns two inputs: correlations beside numpy and scikit-learn, VICReg and Barlow twins in loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cross_decomposition import CCA

from motet.fusion import linear_cca
from motet.fusion.latent.align import ALIGN
from motet.fusion.latent.correlation import total_correlation
from motet.fusion.latent.redundancy import barlow, vicreg


def views(seed: int, *, rows: int = 40, widths: tuple[int, int] = (4, 3)) -> tuple[torch.Tensor, torch.Tensor]:
    """Two views with two directions in common, in double."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.randn(rows, 2, generator=generator).double()
    return tuple(  # type: ignore[return-value]
        common @ torch.randn(2, width, generator=generator).double()
        + 0.5 * torch.randn(rows, width, generator=generator).double()
        for width in widths
    )


def root(matrix: np.ndarray) -> np.ndarray:
    """`S^{-1/2}` by eigenvalues, as the paper has it."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray(vectors @ np.diag(values**-0.5) @ vectors.T)


def by_the_paper(x: torch.Tensor, y: torch.Tensor, ridge: float) -> float:
    a, b = (one.numpy() - one.numpy().mean(axis=0) for one in (x, y))
    s11, s22 = (one.T @ one / (len(one) - 1) + ridge * np.eye(one.shape[1]) for one in (a, b))
    t = root(s11) @ (a.T @ b / (len(a) - 1)) @ root(s22)
    return float(np.linalg.norm(t, "nuc"))


@pytest.mark.parametrize("ridge", [1e-3, 0.5])
@pytest.mark.parametrize("widths", [(4, 3), (2, 5), (3, 3)])
def test_total_correlation_is_the_trace_norm_of_the_paper(ridge: float, widths: tuple[int, int]) -> None:
    x, y = views(0, widths=widths)
    assert float(total_correlation(x, y, ridge=ridge)) == pytest.approx(by_the_paper(x, y, ridge), rel=1e-9)


def test_total_correlation_of_one_channel_by_hand() -> None:
    """x = (-1, 0, 1), y = (-1, 2, -1): covariance 0. y = (0, 0, 3): cov 1.5, variances 1 and 3, so 1.5 / sqrt 3."""
    x = torch.tensor([[-1.0], [0.0], [1.0]])
    assert float(total_correlation(x, torch.tensor([[-1.0], [2.0], [-1.0]]), ridge=0.0)) == 0.0
    found = total_correlation(x, torch.tensor([[0.0], [0.0], [3.0]]), ridge=0.0)
    assert float(found) == pytest.approx(1.5 / math.sqrt(3))


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_without_ridge_no_linear_map_of_a_view_changes_the_correlation(seed: int) -> None:
    x, y = views(seed)
    mix = torch.randn(4, 4, generator=torch.Generator().manual_seed(seed + 1)).double() + 3 * torch.eye(4)
    found, expected = total_correlation(x @ mix + 2, y, ridge=0.0), total_correlation(x, y, ridge=0.0)
    assert float(found) == pytest.approx(float(expected), rel=1e-6)
    assert 0 <= float(found) <= 3 + 1e-9


def test_the_gradient_of_the_correlation() -> None:
    """By finite differences; and it is finite where eigenvalues are equal, and with fewer rows than channels."""
    x, y = (one[:9].requires_grad_() for one in views(1))
    assert torch.autograd.gradcheck(lambda a, b: total_correlation(a, b), (x, y))
    for rows in (0, 1, 2, 3):
        a, b = torch.eye(rows, 4).requires_grad_(), torch.eye(rows, 4).requires_grad_()
        ALIGN["cca"]()(a, b).backward()
        assert bool(a.grad.isfinite().all())  # type: ignore[union-attr]


def test_linear_cca_beside_scikit_learn() -> None:
    """The correlations of its components, and the components but for their sign and scale."""
    x, y = views(3, rows=200)
    found = linear_cca(x, y, width=2)
    reference = CCA(n_components=2, max_iter=5000, tol=1e-12).fit(x.numpy(), y.numpy())
    for side, theirs in enumerate(reference.transform(x.numpy(), y.numpy())):
        ours = found.project((x, y)[side], side=side).numpy()
        for channel in range(2):
            assert abs(np.corrcoef(ours[:, channel], theirs[:, channel])[0, 1]) == pytest.approx(1, abs=1e-6)
    theirs = reference.transform(x.numpy(), y.numpy())
    expected = [np.corrcoef(theirs[0][:, k], theirs[1][:, k])[0, 1] for k in range(2)]
    assert found.correlations.tolist() == pytest.approx(expected, abs=1e-8)


def test_linear_cca_has_what_defines_it() -> None:
    """Both sides white, and correlated channel by channel in falling order and in no other way."""
    x, y = views(4)
    found = linear_cca(x, y)
    a, b = found.project(x, side=0), found.project(y, side=1)
    torch.testing.assert_close(a.T @ a / 39, torch.eye(3).double())
    torch.testing.assert_close(b.T @ b / 39, torch.eye(3).double())
    torch.testing.assert_close(a.T @ b / 39, torch.diag(found.correlations))
    assert found.correlations.tolist() == sorted(found.correlations.tolist(), reverse=True)
    assert float(found.correlations.sum()) == pytest.approx(float(total_correlation(x, y, ridge=0.0)))


def test_dcca_finds_what_linear_cca_finds() -> None:
    """Linear maps trained on the objective reach the sum of the canonical correlations."""
    x, y = views(5, rows=100)
    maps = [torch.nn.Parameter(torch.eye(width, 2).double()) for width in (4, 3)]
    optimizer = torch.optim.Adam(maps, 0.05)
    for _ in range(150):
        loss = ALIGN["cca"]()(x @ maps[0], y @ maps[1]) / len(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    expected = float(linear_cca(x, y, width=2, ridge=1e-3).correlations.sum())
    assert -float(loss.detach()) == pytest.approx(expected, rel=0.01)


def variance(x: list[float]) -> float:
    mean = sum(x) / len(x)
    return sum((one - mean) ** 2 for one in x) / (len(x) - 1)


def test_vicreg_in_loops() -> None:
    a, b = views(6, rows=7, widths=(3, 3))
    similar = sum(float((a[i, c] - b[i, c]) ** 2) for i in range(7) for c in range(3)) / 21
    spread = together = 0.0
    for z in (a.tolist(), b.tolist()):
        columns = list(zip(*z, strict=True))
        spread += sum(max(0, 1 - math.sqrt(variance(list(one)) + 1e-4)) for one in columns) / 3 / 2
        for i in range(3):
            for j in range(3):
                mi, mj = sum(columns[i]) / 7, sum(columns[j]) / 7
                cov = sum((p - mi) * (q - mj) for p, q in zip(columns[i], columns[j], strict=True)) / 6
                together += cov**2 / 3 if i != j else 0.0
    assert float(vicreg(a, b)) == pytest.approx((25 * similar + 25 * spread + together) / 25, rel=1e-9)


def test_vicreg_does_not_let_points_collapse() -> None:
    same = torch.ones(6, 4)
    assert float(vicreg(same, same)) == pytest.approx(0.99)  # all that is left is the variance


def test_barlow_in_loops() -> None:
    a, b = views(7, rows=9, widths=(3, 3))
    c = np.array([[np.corrcoef(a[:, i].numpy(), b[:, j].numpy())[0, 1] for j in range(3)] for i in range(3)])
    expected = sum((1 - c[i, i]) ** 2 for i in range(3))
    expected += 5e-3 * sum(c[i, j] ** 2 for i in range(3) for j in range(3) if i != j)
    assert float(barlow(a, b)) == pytest.approx(expected / 3, rel=1e-3)


@pytest.mark.parametrize("kind", ALIGN)
def test_drawn_together_what_belongs_together_is_nearest(kind: str) -> None:
    """Linear maps of two views of the same two numbers, trained to be aligned: a row finds its partner among 24."""
    x, y = (one.float() for one in views(8, rows=24, widths=(6, 5)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        maps = [torch.nn.Linear(6, 2), torch.nn.Linear(5, 2)]
    align = ALIGN[kind]()
    optimizer = torch.optim.Adam([p for one in (*maps, align) for p in one.parameters()], 0.05)
    for _ in range(150):
        a, b = maps[0](x), maps[1](y)
        optimizer.zero_grad()
        (align(a, b) / len(x)).backward()
        optimizer.step()
    a, b = a.detach() - a.detach().mean(dim=0), b.detach() - b.detach().mean(dim=0)
    if kind == "cca":  # it correlates, and knows no distance
        found = linear_cca(a, b)
        a, b = found.project(a, side=0), found.project(b, side=1)
    assert float((torch.cdist(a, b).argsort(dim=1)[:, :5] == torch.arange(24)[:, None]).any(dim=1).float().mean()) > 0.5


@pytest.mark.parametrize("kind", ALIGN)
def test_no_row_costs_nothing(kind: str) -> None:
    assert float(ALIGN[kind]()(torch.zeros(0, 3), torch.zeros(0, 3)).detach()) == 0.0
