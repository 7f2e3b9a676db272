"""MotetEstimator: what scikit-learn expects of an estimator, and every kind of table that goes straight into it."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import motet
from motet import MotetEstimator
from motet.core.errors import DataError, SpecError

SHORT = {"epochs": 3, "batch_size": 32}


def table(num_rows: int = 120, *, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    """Two numbers and a word, some of them missing; the label leans on one of each."""
    rng = np.random.default_rng(seed)
    size, colour = rng.normal(size=num_rows), rng.choice(["red", "blue"], num_rows)
    X = pd.DataFrame({"size": size, "noise": rng.normal(size=num_rows), "colour": colour})
    y = pd.Series(np.where(size + (colour == "red") > 0.5, "big", "small"), name="answer")
    X.loc[::7, "size"] = np.nan
    X.loc[::5, "colour"] = None
    return X, y


@pytest.fixture(scope="module")
def fitted() -> MotetEstimator:
    return MotetEstimator(training=SHORT).fit(*table())


def test_parameters_are_kept_untouched_and_clones_are_equal_but_unfitted(fitted: MotetEstimator) -> None:
    training, inputs = {"epochs": 2}, {"a": motet.inputs.Number()}
    estimator = MotetEstimator(inputs=inputs, training=training, fusion="late")
    assert estimator.get_params()["inputs"] is inputs
    assert estimator.get_params()["training"] is training
    assert clone(estimator).get_params() == estimator.get_params()
    assert estimator.set_params(fusion="concat").fusion == "concat"
    with pytest.raises(ValueError, match="Invalid parameter"):
        estimator.set_params(fusio="late")
    assert not hasattr(clone(fitted), "model_")
    with pytest.raises(NotFittedError):
        clone(fitted).predict(table()[0])
    with pytest.raises(TypeError):
        MotetEstimator("late")  # type: ignore[call-arg]


def test_a_classifier_answers_labels_probabilities_and_accuracy(fitted: MotetEstimator) -> None:
    X, y = table()
    answers, probability = fitted.predict(X), fitted.predict_proba(X)
    assert fitted.classes_.tolist() == ["big", "small"]
    assert probability.shape == (len(X), 2)
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-12)
    assert (fitted.classes_[probability.argmax(axis=1)] == answers).all()
    assert fitted.score(X, y) == pytest.approx((answers == y.to_numpy()).mean())
    assert is_classifier(fitted)
    assert not is_regressor(fitted)
    assert fitted.feature_names_in_.tolist() == ["size", "noise", "colour"]


def test_probabilities_of_several_classes_stand_in_the_order_of_classes(capsys: pytest.CaptureFixture[str]) -> None:
    X, _ = table(150)
    y = np.array([10, 9, 2])[np.digitize(X["noise"], [-0.4, 0.4])]
    estimator = MotetEstimator(training={"epochs": 8}).fit(X, y)
    assert estimator.classes_.tolist() == [2, 9, 10]
    probability = estimator.predict_proba(X)
    assert (estimator.classes_[probability.argmax(axis=1)] == estimator.predict(X)).all()
    assert estimator.predict(X).dtype.kind == "i"


def test_a_regressor_scores_by_r2_and_has_no_probabilities() -> None:
    X, _ = table()
    y = (3 * X["noise"] + 100).rename("amount")
    estimator = MotetEstimator(tasks="regression", training={"epochs": 20, "learning_rate": 0.01})
    assert is_regressor(estimator)
    assert not hasattr(estimator, "predict_proba")
    estimator.fit(X, y)
    answers = estimator.predict(X)
    residual = ((answers - y) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    assert estimator.score(X, y) == pytest.approx(1 - residual, abs=1e-5)
    assert estimator.score(X, y) > 0.5
    assert not hasattr(estimator, "classes_")


def test_ordered_classes_are_classes_and_counts_are_numbers() -> None:
    X, _ = table()
    stars = pd.Series(np.digitize(X["noise"], [-0.5, 0.5]) + 9, name="stars")
    rated = MotetEstimator(training=SHORT).fit(X, stars)
    assert rated.model_.tasks["stars"][0].kind == "ordinal"
    assert is_classifier(rated)
    assert rated.classes_.tolist() == [9, 10, 11]
    np.testing.assert_allclose(rated.predict_proba(X).sum(axis=1), 1, atol=1e-6)
    assert rated.score(X, stars) == pytest.approx((rated.predict(X) == stars).mean())
    counted = MotetEstimator(tasks="count", training=SHORT)
    assert is_regressor(counted)
    assert counted.fit(X, stars).score(X, stars) < 1
    assert (counted.predict(X) > 0).all()


def test_several_tasks_with_labels_missing_answer_a_frame() -> None:
    X, y = table()
    targets = pd.DataFrame({"answer": y.where(y.index % 3 > 0, None), "amount": X["noise"] * 2})
    X.index = pd.Index([f"row {index}" for index in range(len(X))])
    estimator = MotetEstimator(training=SHORT).fit(X, targets)
    answers = estimator.predict(X)
    assert list(answers.columns) == ["answer", "amount"]
    assert answers.index.equals(X.index)
    labelled = targets["answer"].notna().to_numpy()
    accuracy = (answers["answer"].to_numpy() == targets["answer"].to_numpy())[labelled].mean()
    r2 = estimator.score(X, targets) * 2 - accuracy
    residual = ((answers["amount"].to_numpy() - targets["amount"]) ** 2).sum()
    assert r2 == pytest.approx(1 - residual / ((targets["amount"] - targets["amount"].mean()) ** 2).sum(), abs=1e-5)
    assert not hasattr(estimator, "predict_proba")


def test_labels_may_be_columns_of_x() -> None:
    X, y = table()
    estimator = MotetEstimator(tasks=["answer"], training=SHORT).fit(X.assign(answer=y))
    assert estimator.feature_names_in_.tolist() == ["size", "noise", "colour"]
    assert estimator.score(X.assign(answer=y)) == estimator.score(X, y)


def test_inputs_and_tasks_may_be_said_in_full() -> None:
    X, y = table()
    estimator = MotetEstimator(
        inputs={"how_big": {"kind": "number", "column": "size"}},
        tasks={"verdict": motet.tasks.Binary(column="answer")},
        fusion="late",
        balance={"tasks": "uncertainty"},
        training=SHORT,
        data={"valid": 0.2},
    ).fit(X, y)
    assert estimator.tasks_ == ("verdict",)
    assert list(estimator.model_.inputs) == ["how_big"]
    assert estimator.score(X, y.rename("whatever")) == estimator.score(X, y.to_numpy()) == estimator.score(X, y)


def test_a_list_of_inputs_leaves_the_others_out() -> None:
    X, y = table()
    assert list(MotetEstimator(inputs=["noise"], training=SHORT).fit(X, y).model_.inputs) == ["noise"]


def test_a_column_that_names_the_label_is_used_all_the_same() -> None:
    _, y = table()
    X = pd.DataFrame({"word": y.map({"big": "grande", "small": "pequena"})})
    estimator = MotetEstimator(training={"epochs": 20, "learning_rate": 0.01}).fit(X, y)
    assert estimator.score(X, y) == 1.0


def test_cross_validation_search_and_pipelines_run() -> None:
    X, y = table(90)
    estimator = MotetEstimator(tasks="binary", training={"epochs": 1})
    assert cross_val_score(estimator, X, y, cv=2).shape == (2,)
    assert cross_val_predict(estimator, X, y, cv=2, method="predict_proba").shape == (90, 2)
    search = GridSearchCV(estimator, {"fusion": ["concat", "late"]}, cv=2, scoring="roc_auc").fit(X, y)
    assert search.best_params_["fusion"] in ("concat", "late")
    numbers = X[["size", "noise"]]
    pipeline = make_pipeline(StandardScaler(), clone(estimator)).fit(numbers, y)
    assert pipeline.score(numbers, y) > 0.4
    assert pipeline[-1].feature_names_in_.tolist() == ["x0", "x1"]


def test_column_names_of_transformers_have_double_underscores() -> None:
    X, y = table()
    X = X.rename(columns={"size": "num__size", "noise": "num_size"})
    estimator = MotetEstimator(training=SHORT).fit(X, y)
    assert sorted(estimator.model_.inputs) == ["colour", "num_size", "num_size."]
    assert estimator.predict(X).shape == (len(X),)


def test_it_keeps_up_with_logistic_regression_on_an_easy_table() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(400, 4))
    y = (X @ [2.0, -1.0, 0.5, 0.0] + 0.3 * rng.normal(size=400) > 0).astype(int)
    plain = LogisticRegression().fit(X[:300], y[:300]).score(X[300:], y[300:])
    ours = MotetEstimator(training={"epochs": 25, "batch_size": 32}).fit(X[:300], y[:300]).score(X[300:], y[300:])
    assert ours >= plain - 0.04


def test_equal_seeds_give_equal_answers_and_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    X, y = table(80)
    first, second = (MotetEstimator(training=SHORT).fit(X, y).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert list(tmp_path.iterdir()) == []


def test_out_keeps_the_run(tmp_path: Path) -> None:
    X, y = table(80)
    estimator = MotetEstimator(training=SHORT, out=tmp_path / "run").fit(X, y)
    kept = motet.load(tmp_path / "run").predict(X)
    assert kept["answer"].tolist() == estimator.predict(X).tolist()
    with pytest.raises(SpecError, match="holds a run already"):
        estimator.fit(X, y)


class Dataset:
    """What of a Hugging Face Dataset is used: `features`, and rows in another format."""

    def __init__(self, arrow: pa.Table) -> None:
        self._arrow = arrow
        self.features = dict.fromkeys(arrow.column_names)

    def with_format(self, kind: str) -> "Dataset":
        assert kind == "arrow"
        return self

    def __getitem__(self, key: slice) -> pa.Table:
        return self._arrow[key]

    def __len__(self) -> int:
        return len(self._arrow)


class Frame:
    """What of a polars DataFrame is used."""

    def __init__(self, arrow: pa.Table) -> None:
        self._arrow = arrow

    def to_arrow(self) -> pa.Table:
        return self._arrow


TABLES: dict[str, Callable[[pd.DataFrame], Any]] = {
    "pandas": lambda frame: frame,
    "arrow": pa.Table.from_pandas,
    "dataset": lambda frame: Dataset(pa.Table.from_pandas(frame)),
    "to_arrow": lambda frame: Frame(pa.Table.from_pandas(frame)),
    "rows": lambda frame: frame.to_dict("records"),
    "columns": lambda frame: {name: frame[name].to_numpy() for name in frame},
}


@pytest.mark.parametrize("kind", TABLES)
def test_every_kind_of_table_goes_in(kind: str, fitted: MotetEstimator) -> None:
    X, y = table()
    given = TABLES[kind](X)
    np.testing.assert_array_equal(fitted.predict(given), fitted.predict(X))
    trained = MotetEstimator(training=SHORT).fit(given, y)
    np.testing.assert_array_equal(trained.predict_proba(given), fitted.predict_proba(X))


@pytest.mark.parametrize("kind", [kind for kind in TABLES if kind != "columns"])
def test_every_kind_of_table_goes_into_fit_and_predict_of_motet(kind: str, tmp_path: Path) -> None:
    X, y = table(60)
    rows = TABLES[kind](X.assign(answer=y))
    run = motet.fit(
        {
            "data": rows,
            "inputs": {"size": "number", "colour": "category"},
            "tasks": {"answer": "binary"},
            "training": SHORT,
        },
        out=tmp_path / "run",
    )
    answers = run.model.predict(rows)
    like = {"rows": list, "pandas": pd.DataFrame}.get(kind, pa.Table)
    assert isinstance(answers, like)
    assert len(answers) == 60


def test_errors_say_what_to_do() -> None:
    X, y = table(40)
    with pytest.raises(SpecError, match="the model is given the answer"):
        MotetEstimator(training=SHORT).fit(X.assign(answer=y), y)
    with pytest.raises(DataError, match="39 and 40"):
        MotetEstimator(training=SHORT).fit(X, y[:39])
    with pytest.raises(SpecError, match="fit without y"):
        MotetEstimator(training=SHORT).fit(X)
    with pytest.raises(SpecError, match="the kind of one task, but y has a, b"):
        MotetEstimator(tasks="binary", training=SHORT).fit(X, pd.DataFrame({"a": y, "b": y}))
    with pytest.raises(SpecError, match="did you mean 'concat'"):
        MotetEstimator(fusion="conca", training=SHORT).fit(X, y)


def test_importing_motet_does_not_import_scikit_learn() -> None:
    import subprocess
    import sys

    code = (
        "import motet, sys; assert 'sklearn' not in sys.modules; motet.MotetEstimator; assert 'sklearn' in sys.modules"
    )
    with warnings.catch_warnings():
        subprocess.run([sys.executable, "-c", code], check=True)
