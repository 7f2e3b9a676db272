"""A scikit-learn estimator over `motet.fit`: X and y as arrays or tables, answers as arrays."""

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from sklearn.base import BaseEstimator
from sklearn.utils import ClassifierTags, RegressorTags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from motet import api
from motet.core.checks import text_of
from motet.core.errors import DataError, SpecError
from motet.data import Table, determines, read_table
from motet.model.columns import named_columns
from motet.spec.choose import Choice, choose

CLASSES = ("binary", "multiclass", "ordinal")


def _answers_one_class(estimator: "MotetEstimator") -> bool:
    kinds = estimator._kinds()
    return kinds is None or (len(kinds) == 1 and kinds[0] in CLASSES)


class MotetEstimator(BaseEstimator):  # type: ignore[misc]
    """Train one model on a table and answer rows, in the manner of scikit-learn.

    Parameters are kept as given, so that `clone`, `Pipeline` and `GridSearchCV` work. Each is the paragraph of an
    experiment with its name, in any form an experiment takes; what is left out is inferred or the experiment's default.

    inputs: {name: kind, dict or Spec}, or a list of columns of X whose kinds are inferred; None: every column of X that
        says something (no ids, none that is empty or never changes).
    tasks: {name: kind, dict or Spec}, or the kind of the only task ("regression"), or a list of columns of X, and then
        there is no y; None: every column of y, its kind inferred: whole numbers of at most 20 values are classes, or
        ordinal if called a rating. Before `fit` scikit-learn knows a classifier from a regressor only if `tasks` says.
    data: further fields of the experiment's `data`, such as {"valid": 0.2, "root": "photos"}. Rows for validation are
        taken from X.
    out: a folder to keep the run in; None: a temporary one that is gone after `fit`.

    After `fit`: `model_` (what `motet.load` gives), `report_`, `tasks_`, `feature_names_in_`, and `classes_` for one
    task of classes. Missing values are absent cells; columns of a 2-d array are called x0, x1, ...

    >>> rows = [{"age": 20 + i, "city": "Rome" if i % 3 else None} for i in range(40)]
    >>> model = MotetEstimator(training={"epochs": 2}).fit(rows, ["no"] * 20 + ["yes"] * 20)
    >>> model.classes_.tolist(), model.predict(rows).shape, model.predict_proba(rows).shape
    (['no', 'yes'], (40,), (40, 2))
    """

    def __init__(
        self,
        *,
        inputs: Any = None,
        tasks: Any = None,
        fusion: Any = None,
        sharing: Any = None,
        balance: Any = None,
        training: Any = None,
        data: Mapping[str, Any] | None = None,
        out: str | Path | None = None,
    ) -> None:
        self.inputs, self.tasks, self.fusion, self.sharing = inputs, tasks, fusion, sharing
        self.balance, self.training, self.data, self.out = balance, training, data, out

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803
        """Train on the rows of X; cells and labels may be missing.

        X: DataFrame, Arrow table, Dataset, list of dicts, {column: values} or 2-d array. y: one value per row, or
        several tasks as a table, {column: values} or 2-d array (y0, y1, ...). Raises `SpecError` and `DataError`.
        """
        features = _table(X, "x")
        labels = self._labels(y)
        if both := sorted(set(labels) & set(features)):
            raise SpecError(f"X and y both have a column {both[0]!r}; in X the model is given the answer, take it out")
        table = _joined(features, labels)
        document = self._document(table, list(labels) or self._columns_of_tasks())
        with tempfile.TemporaryDirectory(prefix="motet-") as folder:
            run = api.fit(document, out=folder if self.out is None else self.out)
            self.model_, self.report_ = run.model, run.report
        self.tasks_ = tuple(document["tasks"])
        targets = {name for task in self.tasks_ for name in named_columns(task, self.model_.tasks[task][0])}
        self.feature_names_in_ = np.array([name for name in features if name not in targets], dtype=object)
        self.n_features_in_ = len(self.feature_names_in_)
        if _answers_one_class(self):
            self.classes_ = np.sort(_array(_classes(self.model_.tasks[self.tasks_[0]][1])))
        return self

    def predict(self, X: Any) -> Any:  # noqa: N803
        """The answers: an array for one task, a DataFrame with a column per task for several."""
        check_is_fitted(self)
        answers = self.model_.predict(pa.table(_table(X, "x")))
        if len(self.tasks_) == 1:
            return _array(answers.column(self.tasks_[0]).to_pylist())
        import pandas as pd

        index = X.index if isinstance(X, pd.DataFrame) else None
        return pd.DataFrame({task: answers.column(task).to_pylist() for task in self.tasks_}, index=index)

    @available_if(_answers_one_class)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Probabilities `[rows, classes]` in the order of `classes_`, for one task of classes."""
        check_is_fitted(self)
        task, table = self.tasks_[0], read_table(pa.table(_table(X, "x")))
        codec: Any = self.model_.tasks[task][1]
        probability = codec.probabilities(self.model_.collected(table).outputs[task]).numpy()
        return np.asarray(probability[:, np.argsort(_array(_classes(codec)))])

    def score(self, X: Any, y: Any = None) -> float:  # noqa: N803
        """Accuracy of classes, r2 of numbers, macro F1 of label sets, over labelled rows; of several tasks the mean."""
        check_is_fitted(self)
        features, labels = _table(X, "x"), self._labels(y)
        if len(labels) == len(self.tasks_) == 1:  # whatever y is called this time
            column = named_columns(self.tasks_[0], self.model_.tasks[self.tasks_[0]][0])[0]
            labels = {column: next(iter(labels.values()))}
        table = _joined({name: column for name, column in features.items() if name not in labels}, labels)
        answers = self.model_.predict(pa.table(features))
        return float(np.mean([self._score(task, table, answers.column(task).to_pylist()) for task in self.tasks_]))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        kinds = self._kinds() or ()
        if len(kinds) == 1 and kinds[0] in CLASSES:
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        elif len(kinds) == 1 and kinds[0] in ("count", "regression"):
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        tags.target_tags.multi_output, tags.target_tags.required = True, False
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def _kinds(self) -> tuple[str, ...] | None:
        """The kind of each task as far as it is known: from the fitted model, else from `tasks`."""
        if hasattr(self, "model_"):
            return tuple(self.model_.tasks[task][0].kind for task in self.tasks_)
        if isinstance(self.tasks, Mapping):
            return tuple(str(_field(one, "kind", one)) for one in self.tasks.values())
        return (self.tasks,) if isinstance(self.tasks, str) else None

    def _labels(self, y: Any) -> dict[str, pa.Array]:
        """The columns of y by name; without a name of its own the only one is called as the only task, or y."""
        columns = {} if y is None else _table(y, "y")
        if list(columns) == ["y"] and isinstance(self.tasks, Mapping) and len(self.tasks) == 1:
            return dict(zip(self._columns_of_tasks(), columns.values(), strict=True))
        return columns

    def _columns_of_tasks(self) -> list[str]:
        """The columns of the labels, as far as `tasks` names them."""
        if isinstance(self.tasks, Mapping):
            return [str(_field(one, "column", None) or name) for name, one in self.tasks.items()]
        if self.tasks is None or isinstance(self.tasks, str):
            raise SpecError("fit without y: name the columns of X to predict, such as tasks=['rating']")
        return [str(name) for name in self.tasks]

    def _document(self, table: Table, targets: Sequence[str]) -> dict[str, Any]:
        inputs, tasks = self.inputs, self.tasks
        if not isinstance(inputs, Mapping):
            inputs = _named(_inputs(table, targets, inputs))
        if isinstance(tasks, str):
            if len(targets) != 1:
                raise SpecError(f"tasks={tasks!r} is the kind of one task, but y has {', '.join(targets)}")
            tasks = _named([Choice(targets[0], tasks, "")])
        elif not isinstance(tasks, Mapping):
            tasks = _named(choose(table, tasks=targets).tasks)
        rooms = {room: getattr(self, room) for room in ("fusion", "sharing", "balance", "training")}
        document = {"data": {**(self.data or {}), "train": table.arrow}, "inputs": inputs, "tasks": tasks, **rooms}
        return {room: value for room, value in document.items() if value is not None}

    def _score(self, task: str, table: Table, answers: list[Any]) -> float:
        """The task's score over its labelled rows; a label that was never met in training is a miss."""
        spec, codec = self.model_.tasks[task]
        if spec.kind not in CLASSES:
            output, target = self.model_.outputs(table)[0].scored(task)
            return codec.metrics()[0].compute(output, target)
        labels = table.cells(named_columns(task, spec), missing=spec.missing)
        pairs = [(text_of(a), text_of(b)) for a, b in zip(answers, labels, strict=True) if b is not None]
        return float(np.mean([a == b for a, b in pairs]))


def _table(source: Any, prefix: str) -> dict[str, Any]:
    """Columns by name. A Series is one; those of an array have none and are numbered."""
    if isinstance(source, Mapping):
        return {str(name): _column(values) for name, values in source.items()}
    if hasattr(source, "to_frame") and hasattr(source, "name"):  # a Series of pandas or polars
        named = source.name is not None and source.name != ""
        return {str(source.name) if named else prefix: _column(source)}
    if isinstance(source, np.ndarray) and source.ndim == 2:
        return {f"{prefix}{index}": _column(source[:, index]) for index in range(source.shape[1])}
    if isinstance(source, np.ndarray) or (isinstance(source, Sequence) and not isinstance(source[0], Mapping)):
        return {prefix: _column(source)}
    arrow = read_table(source).arrow
    return {name: arrow.column(name) for name in arrow.column_names}


def _column(values: Any) -> Any:
    """One column as Arrow; NaN among objects is an absent cell."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    array = np.asarray(values, dtype=object if isinstance(values, list | tuple) else None)
    return pa.array(array.tolist() if array.dtype == object or array.ndim > 1 else array, from_pandas=True)


def _joined(features: Mapping[str, Any], labels: Mapping[str, Any]) -> Table:
    lengths = {len(column) for column in (*features.values(), *labels.values())}
    if len(lengths) > 1:
        raise DataError(f"X and y have columns of {' and '.join(map(str, sorted(lengths)))} rows; expected one length")
    return read_table(pa.table({**features, **labels}))


def _inputs(table: Table, targets: Sequence[str], wanted: Sequence[str] | None) -> Sequence[Choice]:
    """As `motet init` chooses, and columns that name the label one to one: who passes X means every column of it."""
    chosen = choose(table, tasks=targets, inputs=wanted)
    kept_out = [name for name in chosen.left_out if any(determines(table, name, target) for target in targets)]
    return [*chosen.inputs, *(choose(table, tasks=targets, inputs=kept_out).inputs if kept_out else ())]


def _named(choices: Sequence[Choice]) -> dict[str, dict[str, Any]]:
    """The inputs or tasks of an experiment. Their names have no double underscore, as a pipeline's columns may have."""
    named: dict[str, dict[str, Any]] = {}
    for choice in choices:
        name = re.sub("__+", "_", choice.column.strip())
        while not name or name in named:
            name += "."
        field = "columns" if choice.is_glob else "column"
        named[name] = {"kind": choice.kind, field: choice.column, "missing": choice.missing}
    return named


def _classes(codec: Any) -> list[Any]:
    return list(codec.classes) if hasattr(codec, "classes") else [codec.negative, codec.positive]


def _array(values: list[Any]) -> np.ndarray:
    """An array of the values' own type; label sets stay lists."""
    if not (values and isinstance(values[0], list)):
        return np.array(values)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _field(spec: Any, name: str, default: Any) -> Any:
    return spec.get(name, default) if isinstance(spec, Mapping) else getattr(spec, name, default)
