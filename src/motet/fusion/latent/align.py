"""What draws the points of one row together. Each takes two inputs' points of the n rows that have both, `[n, W]`.

It gives the sum over rows; one that is a property of the batch counts n times, so that its mean is that property. With
no row it is 0, with one finite.
"""

from collections.abc import Callable
from types import MappingProxyType

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from motet.fusion.latent.correlation import total_correlation
from motet.fusion.latent.redundancy import barlow, vicreg
from motet.nn.contrast import LARGEST, STARTS, infonce, sigmoid


class Contrast(nn.Module):
    """CLIP's loss (Radford et al., ICML 2021) or SigLIP's (Zhai et al., ICCV 2023): the rows that have both inputs tell
    each other apart, so one that lacks either is neither a positive nor a negative.

    The logit of rows i and j is `e^s cos(a_i, b_j) + c`: s is learned, clipped at log 100 before each use; c is learned
    in SigLIP's, and not there in CLIP's. Rows whose cells are equal are not known to be, and repel each other.

    >>> Contrast("infonce")(torch.eye(2), torch.eye(2)).item() < 1e-5
    True
    """

    def __init__(self, objective: str) -> None:
        super().__init__()
        scale, bias = STARTS[objective]
        self.objective = objective
        self.scale = nn.Parameter(torch.tensor(float(scale)))
        self.bias = None if bias is None else nn.Parameter(torch.tensor(float(bias)))

    def forward(self, a: Float[Tensor, "n W"], b: Float[Tensor, "n W"]) -> Float[Tensor, ""]:
        """The sum over rows."""
        with torch.no_grad():
            self.scale.clamp_(max=LARGEST)
        logits = self.scale.exp() * F.normalize(a, dim=1) @ F.normalize(b, dim=1).T
        logits = logits if self.bias is None else logits + self.bias
        same = torch.eye(len(a), dtype=torch.bool, device=a.device)
        return (infonce if self.objective == "infonce" else sigmoid)(logits, same).sum()


class OfBatch(nn.Module):
    """A property of the batch, without parameters, as a sum over its n rows.

    >>> OfBatch(vicreg)(torch.zeros(0, 4), torch.zeros(0, 4)).item()
    0.0
    """

    def __init__(self, objective: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.objective = objective

    def forward(self, a: Float[Tensor, "n W"], b: Float[Tensor, "n W"]) -> Float[Tensor, ""]:
        """N times what it is."""
        return len(a) * self.objective(a, b) if len(a) else (a + b).sum()


def _cca() -> OfBatch:
    return OfBatch(lambda a, b: -total_correlation(a, b))


ALIGN: MappingProxyType[str, Callable[[], nn.Module]] = MappingProxyType(
    {
        "contrastive": lambda: Contrast("infonce"),
        "sigmoid": lambda: Contrast("sigmoid"),
        "cca": _cca,
        "vicreg": lambda: OfBatch(vicreg),
        "barlow": lambda: OfBatch(barlow),
    }
)
