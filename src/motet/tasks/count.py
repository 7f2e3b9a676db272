"""A whole number from 0 on: the logarithm of its expectation, the deviance of a Poisson or negative binomial."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from motet.core.errors import CellError, DataError
from motet.core.flow import Cells
from motet.tasks import deviance
from motet.tasks.base import Codec, Metric
from motet.tasks.losses import CERTAIN, labelled_loss
from motet.tasks.metrics import Floats, mean_absolute_error, metric, r2, root_mean_squared_error, spearman
from motet.tasks.numbers import conformal_bound, number_of
from motet.tasks.row import Head, RowCodec, RowTask
from motet.tasks.rules import MeanOfRates, ProductOfLogits, Rule, StackingOfRates
from motet.tasks.rules.rates import log_rate_of, output_of, rate_of

LEAST_DISPERSION = 1e-3
LEAST_VARIANCE = 1e-12


class CountCodec(RowCodec):
    """Target `count / scale`, float32 `[B]`; output the logarithm of the expected count in units of `scale`, `[B]`.

    From 10 on the output goes on as a straight line (`rate_of`). `spread` is how much logarithms of counts vary, as the
    head has to know. `width` is None until `calibrated`: how many deviations low and high lie from the expected count
    m, of variance `m + dispersion m^2`.
    """

    scale: float = Field(gt=0)
    spread: float = Field(gt=0)
    dispersion: float = Field(ge=0)
    interval: float
    width: float | None = None

    def read(self, cell: object) -> np.ndarray:
        """The count in units of `scale`."""
        value = count_of(cell) / self.scale
        if value > float(np.finfo(np.float32).max):
            raise CellError("too far from every count of the training rows")
        return np.asarray(value, dtype=np.float32)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"target": float32 [n]}`."""
        return {"target": torch.from_numpy(np.stack(items))}

    def decode(self, output: Tensor) -> dict[str, list[Any]]:
        """The expected count, which need not be whole; "low" and "high" of its interval once `calibrated`."""
        mean = self._mean(output.detach().double().cpu())
        columns = {"": mean}
        if self.width is not None:
            apart = self.width * self._deviation(mean)
            columns |= {"low": (mean - apart).clamp(min=0), "high": mean + apart}
        return {name: values.tolist() for name, values in columns.items()}

    def calibrated(self, output: Tensor, target: Tensor) -> Self:
        """With the width of split conformal prediction, from rows that were not trained on.

        The ceil((n + 1) * interval)-th smallest of n scores |y - m| / sqrt(m + dispersion m^2): a new row drawn like
        these lies within with probability at least `interval` (Lei et al., JASA 2018, section 5.2). With fewer rows
        than that there is no such width, and no interval is given.
        """
        mean = self._mean(output.detach().double().cpu())
        scores = (self.scale * target.double().cpu() - mean).abs() / self._deviation(mean)
        return self.model_copy(update={"width": conformal_bound(scores, self.interval)})

    def certain(self, target: Tensor) -> Tensor:
        """The logarithm of the count, in float64; far down for 0."""
        wide = target.double()
        return output_of(torch.where(wide > 0, torch.where(wide > 0, wide, 1.0).log(), -CERTAIN))

    def metrics(self) -> tuple[Metric, ...]:
        """r2, mae, rmse, spearman of the expected count."""
        return (
            metric("r2", lambda z, y: r2(_rates(z), y)),
            metric("mae", lambda z, y: self.scale * mean_absolute_error(_rates(z), y), higher_is_better=False),
            metric("rmse", lambda z, y: self.scale * root_mean_squared_error(_rates(z), y), higher_is_better=False),
            metric("spearman", lambda z, y: spearman(_rates(z), y)),
        )

    def prior(self, target: Tensor) -> Tensor:
        """That of the mean, or of half a count in all rows where there is none."""
        total = target.double().sum().clamp(min=0.5 / self.scale)
        return output_of((total / len(target)).log()).float()

    def _mean(self, output: Tensor) -> Tensor:
        return self.scale * rate_of(output)

    def _deviation(self, mean: Tensor) -> Tensor:
        return (mean + self.dispersion * mean.square()).clamp(min=LEAST_VARIANCE).sqrt()


class LogLinearHead(Head):
    """Features `[B, D]` -> `b + spread * (w x)`, `[B]`: a step of the weights moves it in proportion to `spread`.

    >>> LogLinearHead(4, spread=0.5)(torch.zeros(2, 4)).shape
    torch.Size([2])
    """

    def __init__(self, input_width: int, *, spread: float) -> None:
        super().__init__()
        self.spread = spread
        self.linear = nn.Linear(input_width, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(()))
        with torch.no_grad():
            self.linear.weight.mul_(0.1)

    def forward(self, features: Float[Tensor, "B D"]) -> Float[Tensor, "B"]:
        """Features -> output, in float32 or better: under an exponential, digits are missed."""
        above = self.linear(features)[:, 0]
        output: Tensor = self.bias + self.spread * above.to(torch.promote_types(above.dtype, self.bias.dtype))
        return output

    def start_from(self, prior: Tensor) -> None:
        """Take the prior as b."""
        with torch.no_grad():
            self.bias.copy_(prior)


class Count(RowTask):
    """Predict how many there are: whole numbers from 0 on, by a log-linear model of what is to be expected.

    loss = D(y, m) / D0, with the deviance D of a Poisson distribution and D0 its mean where m is the mean of all
    labels: the same whatever their variance is, as long as it is in proportion to m (quasi-likelihood: Wedderburn,
    Biometrika 1974). With `dispersion` a it is the deviance of a negative binomial, of variance m + a m^2, as it is;
    large counts then matter by their ratio to m, not by their distance from it.

    >>> codec = Count().fit([0, 3, "1", 4.0])
    >>> [round(one, 4) for one in codec.decode(codec.certain(torch.tensor([2.0, 0.0]) / codec.scale))[""]]
    [2.0, 0.0]
    """

    paper: ClassVar[str] = "Nelder & Wedderburn, Generalized Linear Models, JRSS A 1972"
    metric_names: ClassVar[tuple[str, ...]] = ("r2", "mae", "rmse", "spearman")
    rules: ClassVar[Mapping[str, type[Rule]]] = {
        "mean": MeanOfRates,
        "product": ProductOfLogits,  # that of Poisson distributions is one whose rate is the product of theirs
        "stacking": StackingOfRates,
    }
    answers_are_labels: ClassVar[bool] = False

    kind: Literal["count"] = "count"
    dispersion: Literal["auto"] | Annotated[float, Field(ge=0)] = Field(
        default=0.0,
        description="By how much counts vary more than by chance alone: a in the variance m + a m^2 of a negative "
        "binomial; 0: Poisson; auto: as the labels do around their mean.",
    )
    interval: float = Field(default=0.9, gt=0, lt=1, description="How often the truth is to lie between low and high.")

    def fit(self, cells: Iterable[object]) -> CountCodec:
        """Mean and variance; `DataError` where there are not two different counts."""
        counts = np.array(list(_readable(cells)))
        if len(counts) == 0:
            raise DataError("no training row has a whole number from 0 on as label; try kind regression")
        if counts.min() == counts.max():
            raise DataError(
                f"every training row with a label has the same one, {counts[0]:g}: there is nothing to learn; "
                "add rows with other labels, or leave the task out"
            )
        dispersion = _dispersion(counts) if self.dispersion == "auto" else self.dispersion
        return CountCodec(
            scale=1 / dispersion if dispersion else _mean_deviance(counts),
            spread=min(1.0, float(counts.std() / counts.mean())),
            dispersion=dispersion,
            interval=self.interval,
        )

    def restore(self, state: dict[str, Any]) -> CountCodec:
        """The codec of a bundle."""
        return CountCodec.model_validate(state)

    def resolved(self, codec: Codec) -> Self:
        """With the dispersion written out."""
        assert isinstance(codec, CountCodec)
        return self.model_copy(update={"dispersion": codec.dispersion})

    def output_shape(self, codec: Codec) -> tuple[int, ...]:
        """One value."""
        return ()

    def num_classes(self, codec: Codec) -> int | None:
        """None: a number is no class."""
        return None

    def build(self, codec: Codec, input_width: int) -> LogLinearHead:
        """A linear layer to the logarithm of the expected count."""
        assert isinstance(codec, CountCodec)
        return LogLinearHead(input_width, spread=codec.spread)

    def loss(self, output: Float[Tensor, "B"], target: Cells) -> Float[Tensor, "B"]:
        """The scaled deviance of each labelled row; with a dispersion that is still "auto", but for a factor."""
        return labelled_loss(self._deviance, output, target)

    def _deviance(self, output: Tensor, label: Tensor) -> Tensor:
        if self.dispersion == 0:
            return deviance.poisson(log_rate_of(output), label)
        dispersion = 1.0 if self.dispersion == "auto" else self.dispersion
        return deviance.negative_binomial(log_rate_of(output), label) / dispersion


def count_of(cell: object) -> float:
    """A whole number from 0 on, or `CellError`.

    >>> count_of("12")
    12.0
    """
    number = number_of(cell)
    if number < 0 or not number.is_integer():
        raise CellError("not a whole number" if number >= 0 else "below 0, which no count is")
    return number


def _readable(cells: Iterable[object]) -> Iterable[float]:
    for cell in cells:
        try:
            yield count_of(cell)
        except CellError:
            continue


def _dispersion(counts: Floats) -> float:
    """The a of variance m + a m^2, by the moments: an upper bound, since m differs from row to row."""
    mean = counts.mean()
    return max(LEAST_DISPERSION, float((counts.var() - mean) / mean**2))


def _mean_deviance(counts: Floats) -> float:
    log_mean = torch.full((len(counts),), float(np.log(counts.mean())), dtype=torch.float64)
    return float(deviance.poisson(log_mean, torch.from_numpy(counts)).mean())


def _rates(output: Floats) -> Floats:
    rates: Floats = rate_of(torch.from_numpy(output)).numpy()
    return rates
