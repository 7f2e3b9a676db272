"""Numbers: honest parsing, a scale, a piecewise-linear encoding, one token."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from jaxtyping import Float64
from pydantic import Field
from torch import Tensor, nn

from motet.core.flow import Tokens
from motet.core.numerals import to_float
from motet.inputs.base import Encoder, InputSpec, Preparation, noisy, readable, single_token

LEVELS = np.linspace(0, 1, 129)  # the ranks at which quantile scaling remembers a value


class NumberPreparation(Preparation):
    """The scale and the bins of one column.

    `batch` gives `features [n, 1 + bins]`: first z, the value scaled, then its piecewise-linear encoding

        e_t(x) = clip((x - b_(t-1)) / (b_t - b_(t-1)), 0, 1)        between the quantiles b_0 < ... < b_bins

    (Gorishniy et al., NeurIPS 2022). Deviation: they let the first and the last component run on outside the edges;
    here z does that, up to one training range beyond either end. Further out nothing changes any more.
    """

    centre: float
    scale: float = Field(gt=0)
    low: float
    high: float
    quantiles: tuple[float, ...]
    edges: tuple[float, ...]
    bins: int

    @property
    def varies(self) -> bool:
        """Nothing does."""
        return False

    def read(self, cell: object) -> Float64[np.ndarray, ""]:
        """One finite number, or `CellError`."""
        return np.array(to_float(cell))

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """The item itself."""
        return item

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"features": [n, 1 + bins]}`."""
        x = np.clip(np.stack(items), self.low, self.high)[:, None]
        features = np.concatenate([self._scaled(x), self._encoded(x)], axis=1)
        return {"features": torch.from_numpy(features.astype(np.float32))}

    def distorted(
        self, item: np.ndarray, level: float, generator: np.random.Generator, *, other: np.ndarray
    ) -> np.ndarray:
        """Plus normal noise of `level` times the deviation of the training numbers."""
        return noisy(item, level * self.scale, generator)

    def _scaled(self, x: Float64[np.ndarray, "n 1"]) -> Float64[np.ndarray, "n 1"]:
        if not self.quantiles:
            return (x - self.centre) / self.scale
        # By rank, uniform on -sqrt(3)..sqrt(3), so of deviation 1. A value that fills several ranks gets their mean.
        values, place, count = np.unique(self.quantiles, return_inverse=True, return_counts=True)
        ranks = np.bincount(place, LEVELS) / count
        return np.asarray(np.interp(x, values, (2 * ranks - 1) * np.sqrt(3)))

    def _encoded(self, x: Float64[np.ndarray, "n 1"]) -> Float64[np.ndarray, "n bins"]:
        edges = np.array(self.edges)
        with np.errstate(over="ignore"):  # a bin may be as narrow as two neighbouring floats
            return np.asarray(np.clip((x - edges[:-1]) / np.diff(edges), 0, 1))


class NumberEncoder(Encoder):
    """`W [z; e(x)] + b`: one token, a piecewise-linear function of the number.

    >>> NumberEncoder(features=5, width=8)({"features": torch.zeros(2, 5)}).values.shape
    torch.Size([2, 1, 8])
    """

    def __init__(self, *, features: int, width: int) -> None:
        super().__init__()
        self.output_width = width
        self.embedding = nn.Linear(features, width)

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        """`features [N, F]` -> one token per row."""
        return single_token(self.embedding(values["features"]))


class Number(InputSpec):
    """A number: scaled, encoded piecewise-linearly, one token."""

    kind: Literal["number"] = "number"
    several: ClassVar[bool] = False
    paper: ClassVar[str] = "Gorishniy et al., On Embeddings for Numerical Features, NeurIPS 2022"
    scaling: Literal["standard", "quantile"] = Field(
        default="standard", description="Mean 0 and deviation 1, or by rank among the training values (for long tails)."
    )
    encoding: Literal["linear", "piecewise"] = Field(
        default="piecewise",
        description="The token is a linear function of the number, or one with a bend at each quantile.",
    )
    bins: Annotated[int, Field(ge=2, le=256)] | Literal["auto"] = Field(
        default="auto",
        description="How many quantile bins the piecewise encoding has; auto: one for 32 training rows, 8 to 64.",
    )
    width: int = Field(default=32, ge=1, description="Width of the token.")

    def fit(self, cells: Iterable[object]) -> NumberPreparation:
        """Mean, deviation, range and quantiles of the training numbers.

        >>> Number(bins=2).fit(["1", "2", "3"]).edges
        (1.0, 2.0, 3.0)
        """
        x = np.array(readable(cells, to_float))
        low, high = float(x.min()), float(x.max())
        bins = max(8, min(64, len(x) // 32)) if self.bins == "auto" else self.bins
        return NumberPreparation(
            centre=float(x.mean()),
            scale=float(x.std()) if high > low and x.std() > 0 else 1.0,
            low=low - (high - low),
            high=high + (high - low),
            quantiles=tuple(np.quantile(x, LEVELS).tolist()) if self.scaling == "quantile" else (),
            edges=tuple(_edges(x, bins).tolist()) if self.encoding == "piecewise" else (low,),
            bins=bins,
        )

    def restore(self, state: dict[str, Any]) -> NumberPreparation:
        """The preparation a bundle holds."""
        return NumberPreparation.model_validate(state)

    def resolved(self, preparation: Preparation) -> Self:
        """With the number of bins that was asked for; equal quantiles may have left fewer."""
        assert isinstance(preparation, NumberPreparation)
        return self.model_copy(update={"bins": preparation.bins})

    def build(self, preparation: Preparation) -> NumberEncoder:
        """A fresh encoder for numbers prepared so."""
        assert isinstance(preparation, NumberPreparation)
        return NumberEncoder(features=len(preparation.edges), width=self.width)


def _edges(x: Float64[np.ndarray, "rows"], bins: int) -> Float64[np.ndarray, "edges"]:
    """At most bins + 1 rising edges: quantiles, and where one value fills several of them, as the zeros of a column
    that is mostly zero do, quantiles of the distinct values in place of the repeated ones.
    """
    edges = np.unique(np.quantile(x, np.linspace(0, 1, bins + 1)))
    spare = bins + 1 - len(edges)
    return np.union1d(edges, np.quantile(np.unique(x), np.linspace(0, 1, spare + 2)[1:-1])) if spare else edges
