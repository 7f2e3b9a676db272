"""Models that a network has to beat: fitted to simple features of the training rows, judged as the network is.

What they say has the form of the task's outputs, so that the same codec scores both.
"""

import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from motet.evaluation.simple import Simple
from motet.tasks import (
    BinaryCodec,
    Codec,
    CountCodec,
    GaussianCodec,
    MulticlassCodec,
    MultilabelCodec,
    OrdinalCodec,
    QuantileCodec,
    RegressionCodec,
    SeveralCodec,
)

Rival = Literal["linear", "trees"]
Answer = Callable[[Simple], Tensor]
Weights = NDArray[np.float32] | None
CLASSES = (BinaryCodec, MulticlassCodec, MultilabelCodec, OrdinalCodec)
AMOUNTS = (CountCodec, GaussianCodec, QuantileCodec, RegressionCodec, SeveralCodec)
MOST_FEATURES = 512
"""On so many features at most trees are grown: beyond that there is no table to speak of."""
MOST_STEPS = 100
MOST_COEFFICIENTS = 1_000_000
"""So many a linear model has at most; of what is counted the rarest things are left out."""
MOST_DENSE = 1000
"""Of so many counted things at most each has a column of numbers: beyond that most of them would be 0."""
LEAST = 1e-6
"""No class is held to be less likely."""


class NoRival(ValueError):
    """Such a model can not be fitted to these rows."""


def has_rivals(codec: Codec) -> bool:
    """Whether there are such models for the kind of task: one that says a class, several labels, or numbers."""
    return isinstance(codec, CLASSES + AMOUNTS)


def linear_model(codec: Codec, features: Simple, target: Tensor, weights: Weights = None, *, strength: float) -> Answer:
    """A logistic or a ridge regression, with a penalty of `strength` on the weights of standardised features.

    Logistic regression for classes, one for each label of several; ridge regression for numbers, Poisson regression for
    counts; counts of words and labels are weighed by TF-IDF. `weights` say how much each row counts. Raises `NoRival`.
    """
    matrix = _Matrix(features, most=MOST_COEFFICIENTS // max(1, len(codec.known)))
    fit = _Fit(matrix.of, matrix.of(features), target.cpu().numpy(), weights)
    if isinstance(codec, AMOUNTS):
        return fit.amounts(codec, _ridge(codec, strength))
    from sklearn.linear_model import LogisticRegression

    return fit.classes(codec, lambda: LogisticRegression(C=1 / strength, max_iter=MOST_STEPS, tol=1e-3))


def tree_model(codec: Codec, features: Simple, target: Tensor, weights: Weights = None, *, seed: int) -> Answer:
    """Gradient-boosted trees over histograms, as scikit-learn has them, by its own defaults; one forest per output.

    Of what is counted they see what is there in the most rows. All 100 rounds are gone through. Raises `NoRival`, also
    where there are more numbers than a table has.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    of = _Table(features).of
    fit = _Fit(of, of(features), target.cpu().numpy(), weights)
    settings: dict[str, Any] = {"random_state": seed, "early_stopping": False}
    if isinstance(codec, AMOUNTS):
        loss = "poisson" if isinstance(codec, CountCodec) else "squared_error"
        return fit.amounts(codec, lambda: HistGradientBoostingRegressor(loss=loss, **settings))
    return fit.classes(codec, lambda: HistGradientBoostingClassifier(**settings))


class _Fit:
    """Models fitted to the rows `x` with labels `y`; `of` makes of features what `x` is."""

    def __init__(self, of: Callable[[Simple], Any], x: Any, y: np.ndarray, weights: Weights) -> None:
        self.of, self.x, self.y, self.weights = of, x, y, weights

    def amounts(self, codec: Codec, model: Callable[[], Any]) -> Answer:
        """One model for each number; what it says is as sure as a label."""
        several = self.y[:, None] if self.y.ndim == 1 else self.y
        models = [self._amount(model, several[:, place]) for place in range(several.shape[1])]

        def answer(features: Simple) -> Tensor:
            x = self.of(features)
            said = np.stack([one(x) for one in models], axis=1)
            return codec.certain(torch.from_numpy(said if self.y.ndim > 1 else said[:, 0]).float()).float()

        return answer

    def classes(self, codec: Codec, model: Callable[[], Any]) -> Answer:
        """Logits or log probabilities; a class that these rows lack is nearly impossible."""
        if isinstance(codec, MultilabelCodec):
            labels = [self._odds(model, self.y[:, place] > 0.5) for place in range(self.y.shape[1])]
            return lambda features: torch.stack([one(features) for one in labels], dim=1)
        if isinstance(codec, BinaryCodec):
            return self._odds(model, self.y > 0.5)
        known, num_classes = self.y >= 0, len(codec.known)
        there = np.unique(self.y[known])
        if len(there) < 2:
            raise NoRival("the rows it is fitted to have one class alone")
        fitted = self._fitted(model(), self.y, known)

        def answer(features: Simple) -> Tensor:
            found = np.full((len(features.numbers), num_classes), LEAST)
            found[:, fitted.classes_.astype(int)] = np.maximum(fitted.predict_proba(self.of(features)), LEAST)
            return torch.from_numpy(np.log(found)).float()

        return answer

    def _odds(self, model: Callable[[], Any], true: np.ndarray) -> Answer:
        """The log odds of yes; a constant where the rows have one of the two alone."""
        if true.all() or not true.any():
            odds = float(np.log((true.sum() + 0.5) / (len(true) - true.sum() + 0.5)))
            return lambda features: torch.full((len(features.numbers),), odds)
        fitted = self._fitted(model(), true, np.ones(len(true), dtype=bool))

        def answer(features: Simple) -> Tensor:
            yes = fitted.predict_proba(self.of(features))[:, 1].clip(LEAST, 1 - LEAST)
            return torch.from_numpy(np.log(yes / (1 - yes))).float()

        return answer

    def _amount(self, model: Callable[[], Any], y: np.ndarray) -> Callable[[Any], np.ndarray]:
        if (y == y[0]).all():
            return lambda x: np.full(x.shape[0], y[0])
        fitted = self._fitted(model(), y, np.ones(len(y), dtype=bool))
        return lambda x: np.asarray(fitted.predict(x), dtype=np.float64)

    def _fitted(self, model: Any, y: np.ndarray, rows: np.ndarray) -> Any:
        """The model; `NoRival` where the library refuses the rows, as it does for sums that overflow."""
        weights = None if self.weights is None else self.weights[rows]
        try:
            with warnings.catch_warnings():  # that so many steps are all there are is meant, and so are many classes
                warnings.simplefilter("ignore", UserWarning)
                return model.fit(self.x[rows], y[rows], sample_weight=weights)
        except (ArithmeticError, MemoryError, ValueError) as error:
            raise NoRival(str(error).splitlines()[0] if str(error) else type(error).__name__) from None


class _Matrix:
    """Features as a linear model takes them: numbers standardised, counts weighed by TF-IDF, of the `most` columns in
    all those that the most training rows have.
    """

    def __init__(self, features: Simple, *, most: int) -> None:
        self.mean = features.numbers.mean(axis=0)
        deviation = features.numbers.std(axis=0)
        self.scale = np.where(deviation > 1e-6, deviation, 1.0).astype(np.float32)
        self.there = np.zeros(0, dtype=np.int64)
        if features.counts is None:
            return
        self.there = _commonest(features, max(1, most - len(self.mean)))
        if len(self.there):
            from sklearn.feature_extraction.text import TfidfTransformer

            self.weigh = TfidfTransformer(sublinear_tf=True).fit(features.counts[:, self.there])

    def of(self, features: Simple) -> Any:
        """`[N, F]`, sparse where many things are counted."""
        numbers = (features.numbers - self.mean) / self.scale
        if features.counts is None or not len(self.there):
            return numbers
        counts = self.weigh.transform(features.counts[:, self.there])
        if len(self.there) <= MOST_DENSE:
            return np.concatenate([numbers, counts.toarray()], axis=1)
        from scipy import sparse

        return sparse.csr_matrix(sparse.hstack([sparse.csr_matrix(numbers), counts]))


class _Table:
    """Features as trees take them: one column for each number, and for what is counted in the most rows."""

    def __init__(self, features: Simple) -> None:
        room = MOST_FEATURES - features.numbers.shape[1]
        if room < 0:
            raise NoRival(f"{features.numbers.shape[1]} features, where trees are grown on {MOST_FEATURES} at most")
        self.columns = np.zeros(0, dtype=np.int64) if features.counts is None else _commonest(features, room)

    def of(self, features: Simple) -> np.ndarray:
        """`[N, F]`."""
        if features.counts is None:
            return features.numbers
        return np.concatenate([features.numbers, features.counts[:, self.columns].toarray()], axis=1)


def _commonest(features: Simple, most: int) -> NDArray[np.int64]:
    """The columns of what is counted in the most rows, in order."""
    assert features.counts is not None
    rows = np.asarray((features.counts > 0).sum(axis=0)).reshape(-1)
    chosen: NDArray[np.int64] = np.sort(np.argsort(-rows, kind="stable")[: min(most, int((rows > 0).sum()))])
    return chosen


def _ridge(codec: Codec, strength: float) -> Callable[[], Any]:
    from sklearn.linear_model import PoissonRegressor, Ridge

    if isinstance(codec, CountCodec):
        return lambda: PoissonRegressor(alpha=1e-2 * strength, max_iter=MOST_STEPS)
    return lambda: Ridge(alpha=10 * strength)
