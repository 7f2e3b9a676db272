"""The product of Gaussian experts: numbers weighted by how precise each stream is in each row.

S streams, B rows.
"""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn

from motet.core.flow import Cells, LossTerm
from motet.nn.named import Named
from motet.nn.pooling import hide
from motet.tasks.losses import labelled_loss
from motet.tasks.rules.base import Joining, Opinion, PlainRule
from motet.tasks.rules.heard import beside, each, features, safe_log, shares, simplex, statements


class ProductOfNumbers(PlainRule):
    """`mu = sum_m w_m T_m mu_m / sum_m w_m T_m` over the streams present, w_m their shares, T_m their precision.

    The mean of the product of Gaussians `N(mu_m, 1 / T_m)^w_m` (Hinton, Neural Computation 2002): inverse-variance
    weighting. `log T_m = s_m(features of m)` is a linear layer for each stream, 0 at first. The joint loss trains it,
    and so does a term: the Gaussian negative log-likelihood `1/2 (T_m (y - mu_m)^2 - log T_m)` of each stream where it
    is present and the row labelled. In the term mu_m and the features are held fixed, so that what a stream says is
    fitted by the loss the user chose, and only its precision by the likelihood, whose gradient is huge where a stream
    is wrongly taken for precise. Unlike that of classes, the density of the labels is not divided out. In a row
    without any stream the answer is 0, the mean of the labels.

    >>> import torch
    >>> joining = Joining(streams=("a", "b"), width=1, shape=(), loss=lambda output, target: output)
    >>> there, half = torch.ones(1, dtype=torch.bool), torch.tensor([0.5])
    >>> one, four = (Opinion(torch.tensor([value]), torch.zeros(1, 1), there, half) for value in (1.0, 4.0))
    >>> ProductOfNumbers(joining)({"a": one, "b": four}).tolist()
    [2.5]
    """

    rows_alike = True

    def __init__(self, joining: Joining) -> None:
        super().__init__(joining)
        self.log_precision = Named({stream: nn.Linear(joining.width, 1) for stream in joining.streams})
        for _, layer in self.log_precision.items():
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, opinions: Mapping[str, Opinion]) -> Float[Tensor, "B ..."]:
        """The mean of the product."""
        said, present = statements(opinions)
        log_weights = safe_log(shares(opinions)) + each(
            opinions, lambda stream: self._read(stream, features(opinions[stream]))
        )
        return (simplex(beside(log_weights, said), present) * said).sum(dim=0)

    def terms(self, opinions: Mapping[str, Opinion], target: Cells) -> dict[str, LossTerm]:
        """The likelihood of each stream's errors; the count is that of all labelled rows."""
        count = target.present.sum().clamp(min=1)
        terms = {}
        for stream in sorted(opinions):
            own = Cells(target.values, target.present & opinions[stream].present)
            error = labelled_loss(_squared_error, opinions[stream].output.detach(), own)
            log_precision = hide(self._read(stream, features(opinions[stream]).detach()), own.present)
            terms[f"precision__{stream}"] = LossTerm((error * log_precision.exp() - log_precision).sum() / 2, count)
        return terms

    def _read(self, stream: str, made_from: Float[Tensor, "B D"]) -> Float[Tensor, "B"]:
        log_precision: Tensor = self.log_precision[stream](made_from)
        return log_precision.float().squeeze(dim=-1)


def _squared_error(output: Tensor, label: Tensor) -> Tensor:
    return (output - label).square()
