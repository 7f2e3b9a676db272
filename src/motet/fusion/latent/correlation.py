"""How much two views of the same rows have in common, by linear maps. n rows, P and Q channels, K directions."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

RIDGE = 1e-3
LEAST = 1e-9
"""Correlations below are taken for 0; rounding alone is above in float32, so all is done in float64."""


def total_correlation(x: Float[Tensor, "n P"], y: Float[Tensor, "n Q"], *, ridge: float = RIDGE) -> Float[Tensor, ""]:
    """The sum of the canonical correlations, `|S11^{-1/2} S12 S22^{-1/2}|_*`: DCCA's objective, which it maximises.

    S11 and S22 are the covariances, with `ridge` on the diagonal, S12 that of x with y; |.|_* adds up the singular
    values. It is computed as |L1^{-1} S12 L2^{-T}|_* with the Cholesky factors, which is the same number, and whose
    gradient stays finite where eigenvalues are equal. Correlations of 0 are not pulled on. With n <= P + 1 rows nearly
    anything correlates: batches have to be larger than the space is wide.

    Andrew et al., Deep Canonical Correlation Analysis, ICML 2013.

    >>> x = torch.tensor([[1.0], [2.0], [4.0]])
    >>> round(total_correlation(x, 5 - 3 * x).item(), 2)
    1.0
    """
    first, second = _centred(x), _centred(y)
    whitened = _whitened(_covariance(first, second), _factor(first, ridge), _factor(second, ridge))
    found = torch.linalg.svdvals(whitened)
    return torch.where(found > LEAST, found, 0.0).sum().to(x.dtype)


@dataclass(frozen=True, slots=True)
class LinearCCA:
    """Two linear maps whose outputs are correlated channel by channel, in falling order, and in no other way."""

    means: tuple[Float[Tensor, "P"], Float[Tensor, "Q"]]
    maps: tuple[Float[Tensor, "P K"], Float[Tensor, "Q K"]]
    correlations: Float[Tensor, "K"]

    def project(self, x: Float[Tensor, "n P"], *, side: int) -> Float[Tensor, "n K"]:
        """Rows of the first (`side` 0) or the second view (1) in the common space; there variances are 1."""
        return (x.double() - self.means[side]) @ self.maps[side]


def linear_cca(
    x: Float[Tensor, "n P"], y: Float[Tensor, "n Q"], *, width: int | None = None, ridge: float = 0.0
) -> LinearCCA:
    """Canonical correlation analysis (Hotelling, Biometrika 1936) in closed form, `width` directions of min(P, Q).

    The maps are `A = L1^{-T} U`, `B = L2^{-T} V`, with `U diag(r) V^T` the singular value decomposition of
    `L1^{-1} S12 L2^{-T}` and L the Cholesky factors of the covariances; `ridge` is added to their diagonal, and is
    needed where channels depend on each other.

    >>> x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    >>> found = linear_cca(x, x[:, :2] * 5, width=2)
    >>> found.correlations.round(decimals=4).tolist(), found.project(x, side=0).shape
    ([1.0, 1.0], torch.Size([50, 2]))
    """
    first, second = _centred(x), _centred(y)
    left, right = _factor(first, ridge), _factor(second, ridge)
    u, r, vt = torch.linalg.svd(_whitened(_covariance(first, second), left, right), full_matrices=False)
    kept = slice(0, width)
    maps = [
        torch.linalg.solve_triangular(factor.mT, directions[:, kept], upper=True)
        for factor, directions in ((left, u), (right, vt.mT))
    ]
    return LinearCCA((x.double().mean(dim=0), y.double().mean(dim=0)), (maps[0], maps[1]), r[kept])


def _centred(x: Tensor) -> Tensor:
    return x.double() - x.double().mean(dim=0)


def _covariance(x: Tensor, y: Tensor) -> Tensor:
    return x.mT @ y / max(1, len(x) - 1)


def _factor(x: Tensor, ridge: float) -> Tensor:
    """The lower Cholesky factor of the covariance."""
    eye = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    factor: Tensor = torch.linalg.cholesky(_covariance(x, x) + ridge * eye)
    return factor


def _whitened(between: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """`L1^{-1} S12 L2^{-T}`."""
    half = torch.linalg.solve_triangular(left, between, upper=False)
    found: Tensor = torch.linalg.solve_triangular(right, half.mT, upper=False).mT
    return found
