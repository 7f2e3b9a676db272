"""Tasks that answer with one of several labels: how sure they are, and which labels besides may be right.

N rows, C labels in the order of `known`.
"""

from abc import ABC, abstractmethod
from typing import Annotated, Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor

from motet.tasks.base import Codec
from motet.tasks.labels import Label
from motet.tasks.numbers import conformal_bound
from motet.tasks.row import RowCodec
from motet.tasks.temperature import fit_temperature

Coverage = Annotated[
    float, Field(gt=0, lt=1, description="How often the truth is to be among the labels of the set that is answered.")
]
COVERAGE = 0.9


class ClassCodec(RowCodec, ABC):
    """One of the labels of `known`; a target is the number of one, and below 0 where no answer can be right.

    Until `calibrated` the `temperature` is 1, and `bound`, up to which labels are in the set of a row, is None.
    """

    temperature: float = Field(default=1.0, gt=0)
    coverage: float = Field(default=COVERAGE, gt=0, lt=1)
    bound: float | None = None

    @abstractmethod
    def answered(self, output: Tensor) -> Int64[Tensor, "N"]:
        """The number of each row's answer, which no temperature changes."""

    @abstractmethod
    def log_probabilities(self, output: Tensor, *, temperature: float) -> Float[Tensor, "N C"]:
        """Those of the labels at a temperature, float64; a function of the output that has gradients."""

    @abstractmethod
    def strangeness(self, output: Tensor) -> Float[Tensor, "N C"]:
        """How little each label fits the output, before any temperature: 0 for the answer, and more for the others."""

    def probabilities(self, output: Tensor) -> Float[Tensor, "N C"]:
        """Those of the labels, at the fitted temperature."""
        return self.log_probabilities(output.detach().cpu(), temperature=self.temperature).exp()

    def sets(self, output: Tensor) -> Bool[Tensor, "N C"] | None:
        """Which labels are in the set of each row, its answer always; None without a bound."""
        return None if self.bound is None else self.strangeness(output.detach().cpu()) <= self.bound

    def listed(self, output: Tensor) -> dict[str, list[list[Label]]]:
        """The sets as the column "set" of lists of labels, in the order of `known`; no column without a bound."""
        sets = self.sets(output)
        if sets is None:
            return {}
        known = self.known
        return {"set": [[known[number] for number in np.flatnonzero(row)] for row in sets.numpy()]}

    def calibrated(self, output: Tensor, target: Tensor) -> Self:
        """With the temperature, and the bound of the sets, of n rows that were not trained on.

        The bound is the ceil((n + 1) * coverage)-th smallest strangeness of the truth (split conformal prediction): the
        set of a new row drawn like these holds its truth with probability at least `coverage`, and hardly more, unless
        the answers alone are right more often. It is a bit less where these rows chose the epoch too. With fewer rows
        than that there is no set. The temperature stays 1 where one label is the truth of all rows.

        The strangeness of a label is its -log probability, which puts labels in the same order as the 1 - probability
        of Sadinle, Lei & Wasserman (Least Ambiguous Set-Valued Classifiers, JASA 2019); unlike theirs that of the
        answer is 0, so that no set is empty.
        """
        numbers, output = target.detach().cpu().long(), output.detach().double().cpu()
        known = numbers >= 0
        scores = torch.full((len(numbers),), torch.inf, dtype=torch.float64)
        scores[known] = self.strangeness(output[known]).gather(1, numbers[known, None])[:, 0]
        fitted = {"temperature": self._temperature(output[known], numbers[known])}
        return self.model_copy(update=fitted | {"bound": conformal_bound(scores, self.coverage)})

    def _temperature(self, output: Tensor, numbers: Tensor) -> float:
        if len(np.unique(numbers)) < 2:
            return 1.0
        place = numbers[:, None]

        def loss(temperature: float) -> float:
            return -float(self.log_probabilities(output, temperature=temperature).gather(1, place).sum())

        return fit_temperature(loss)


def uncalibrated(codec: Codec) -> Codec:
    """The same with its probabilities as they are given: for outputs that are not those the temperature was fitted to.

    >>> from motet.tasks import Binary
    >>> uncalibrated(Binary().fit(["no", "yes"]).model_copy(update={"temperature": 2.0})).temperature
    1.0
    """
    return codec.model_copy(update={"temperature": 1.0}) if "temperature" in type(codec).model_fields else codec
