"""Models that a network has to beat: fitted to simple features of the training rows, judged as the network is.

What they say has the form of the task's outputs, so that the same codec scores both.
"""

import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
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
CLASSES = (BinaryCodec, MulticlassCodec, MultilabelCodec, OrdinalCodec)
AMOUNTS = (CountCodec, GaussianCodec, QuantileCodec, RegressionCodec, SeveralCodec)
MOST_FEATURES = 512
"""On so many features at most trees are grown: beyond that there is no table to speak of."""
MOST_STEPS = 100
MOST_DENSE = 1000
"""Of so many counted things at most each has a column of numbers: beyond that most of them would be 0."""
LEAST = 1e-6
"""No class is held to be less likely."""


class TooWide(ValueError):
    """There are more features than such a model is fitted to."""


def has_rivals(codec: Codec) -> bool:
    """Whether there are such models for the kind of task: one that says a class, several labels, or numbers."""
    return isinstance(codec, CLASSES + AMOUNTS)


def linear_model(codec: Codec, features: Simple, target: Tensor, *, strength: float) -> Answer:
    """A logistic or a ridge regression, with a penalty of `strength` on the weights of standardised features.

    Logistic regression for classes, one for each label of several; ridge regression for numbers, Poisson regression for
    counts; counts of words and labels are weighed by TF-IDF. Needs two classes at least.
    """
    matrix = _Matrix(features)
    x, y = matrix.of(features), target.cpu().numpy()
    if isinstance(codec, AMOUNTS):
        return _of_amounts(codec, _ridge(codec, strength), matrix.of, x, y)
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    def logistic() -> Any:
        return LogisticRegression(C=1 / strength, max_iter=MOST_STEPS, tol=1e-3)

    with warnings.catch_warnings():  # that so many steps do not end it altogether is meant
        warnings.simplefilter("ignore", ConvergenceWarning)
        return _of_classes(codec, logistic, matrix.of, x, y)


def tree_model(codec: Codec, features: Simple, target: Tensor, *, seed: int) -> Answer:
    """Gradient-boosted trees over histograms, as scikit-learn has them, by its own defaults; one forest per output.

    Of what is counted they see what is there in the most rows. `TooWide` where there are more numbers than a table
    has. Needs two classes at least.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    of = _Table(features).of
    x, y = of(features), target.cpu().numpy()
    if isinstance(codec, AMOUNTS):
        loss = "poisson" if isinstance(codec, CountCodec) else "squared_error"
        return _of_amounts(codec, lambda: HistGradientBoostingRegressor(loss=loss, random_state=seed), of, x, y)
    return _of_classes(codec, lambda: HistGradientBoostingClassifier(random_state=seed), of, x, y)


class _Table:
    """Features as trees take them: one column for each number, and for what is counted in the most rows."""

    def __init__(self, features: Simple) -> None:
        room = MOST_FEATURES - features.numbers.shape[1]
        if room < 0:
            raise TooWide(f"{features.numbers.shape[1]} features, where trees are grown on {MOST_FEATURES} at most")
        self.columns = np.zeros(0, dtype=np.int64)
        if features.counts is not None:
            rows = np.asarray((features.counts > 0).sum(axis=0)).reshape(-1)
            self.columns = np.sort(np.argsort(-rows, kind="stable")[: min(room, int((rows > 0).sum()))])

    def of(self, features: Simple) -> np.ndarray:
        """`[N, F]`."""
        if features.counts is None:
            return features.numbers
        return np.concatenate([features.numbers, features.counts[:, self.columns].toarray()], axis=1)


class _Matrix:
    """Features as a linear model takes them: numbers standardised, counts that training rows have weighed by TF-IDF."""

    def __init__(self, features: Simple) -> None:
        self.mean = features.numbers.mean(axis=0)
        deviation = features.numbers.std(axis=0)
        self.scale = np.where(deviation > 1e-6, deviation, 1.0).astype(np.float32)
        if features.counts is not None:
            from sklearn.feature_extraction.text import TfidfTransformer

            self.there = np.unique(features.counts.indices)
            self.weigh = TfidfTransformer(sublinear_tf=True).fit(features.counts[:, self.there])

    def of(self, features: Simple) -> Any:
        """`[N, F]`, sparse where many things are counted."""
        numbers = (features.numbers - self.mean) / self.scale
        if features.counts is None:
            return numbers
        counts = self.weigh.transform(features.counts[:, self.there])
        if len(self.there) <= MOST_DENSE:
            return np.concatenate([numbers, counts.toarray()], axis=1)
        from scipy import sparse

        return sparse.csr_matrix(sparse.hstack([sparse.csr_matrix(numbers), counts]))


def _ridge(codec: Codec, strength: float) -> Callable[[], Any]:
    from sklearn.linear_model import PoissonRegressor, Ridge

    if isinstance(codec, CountCodec):
        return lambda: PoissonRegressor(alpha=1e-2 * strength, max_iter=MOST_STEPS)
    return lambda: Ridge(alpha=10 * strength)


def _of_amounts(codec: Codec, model: Callable[[], Any], of: Callable[[Simple], Any], x: Any, y: np.ndarray) -> Answer:
    """One model for each number; what it says is as sure as a label."""
    several = y[:, None] if y.ndim == 1 else y
    models = [model().fit(x, several[:, place]) for place in range(several.shape[1])]

    def answer(features: Simple) -> Tensor:
        said = np.stack([one.predict(of(features)) for one in models], axis=1)
        return codec.certain(torch.from_numpy(said if y.ndim > 1 else said[:, 0]).float()).float()

    return answer


def _of_classes(codec: Codec, model: Callable[[], Any], of: Callable[[Simple], Any], x: Any, y: np.ndarray) -> Answer:
    """Logits or log probabilities; a class that these rows lack is nearly impossible."""
    if isinstance(codec, MultilabelCodec):
        labels = [_binary(model, of, x, y[:, place] > 0.5) for place in range(y.shape[1])]
        return lambda features: torch.stack([one(features) for one in labels], dim=1)
    if isinstance(codec, BinaryCodec):
        return _binary(model, of, x, y > 0.5)
    known = y >= 0
    fitted, num_classes = model().fit(x[known], y[known]), len(codec.known)

    def answer(features: Simple) -> Tensor:
        found = np.full((len(features.numbers), num_classes), LEAST)
        found[:, fitted.classes_.astype(int)] = np.maximum(fitted.predict_proba(of(features)), LEAST)
        return torch.from_numpy(np.log(found)).float()

    return answer


def _binary(model: Callable[[], Any], of: Callable[[Simple], Any], x: Any, true: np.ndarray) -> Answer:
    """The log odds of yes; a constant where the rows have one of the two alone."""
    if true.all() or not true.any():
        odds = float(np.log((true.sum() + 0.5) / (len(true) - true.sum() + 0.5)))
        return lambda features: torch.full((len(features.numbers),), odds)
    fitted = model().fit(x, true)

    def answer(features: Simple) -> Tensor:
        yes = fitted.predict_proba(of(features))[:, 1].clip(LEAST, 1 - LEAST)
        return torch.from_numpy(np.log(yes / (1 - yes))).float()

    return answer
