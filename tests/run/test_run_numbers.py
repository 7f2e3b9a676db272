"""Ordered labels, counts, several numbers and learned uncertainty from a table to answers, joined in every way."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import motet
from motet.core.errors import SpecError

GRADES = ("poor", "fair", "good")
TASKS: dict[str, Any] = {
    "grade": {"kind": "ordinal", "levels": list(GRADES)},
    "visits": {"kind": "count", "dispersion": "auto", "interval": 0.7},
    "xy": {"kind": "regression", "columns": "xy_*", "interval": 0.7},
    "listed": {"kind": "regression", "error": "gaussian", "interval": 0.7},
    "low_price": {"kind": "regression", "error": "quantile", "column": "price", "unit": "euro"},
    "price": {"kind": "regression", "error": "gaussian", "unit": "euro"},
}
INTERVALS = ("visits", "xy", "listed", "low_price", "price")


def rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    chance = np.random.default_rng(seed)
    found = []
    for number in range(count):
        a, b = chance.normal(size=2)
        row: dict[str, Any] = {
            "a": None if number % 5 == 0 else float(a),
            "b": None if number % 7 == 0 else float(b),
            "grade": GRADES[int(np.digitize(a + 0.3 * chance.normal(), [-0.5, 0.5]))],
            "visits": int(chance.poisson(np.exp(1 + 0.5 * b))),
            "xy_1": float(a),
            "xy_2": float(10 * b + chance.normal()),
            "listed": [float(a), float(b), float(a + b)],
            "price": float(20 + a + abs(b) * chance.normal()),
        }
        for name in ("grade", "visits", "listed", "price"):
            row[name] = None if chance.random() < 0.1 else row[name]
        found.append(row)
    return found


def experiment(**changes: Any) -> dict[str, Any]:
    return {
        "data": {"train": rows(80), "valid": 0.3},
        "inputs": {name: {"kind": "number", "bins": 3, "width": 4} for name in ("a", "b")},
        "tasks": TASKS,
        "fusion": {"kind": "concat", "width": 8},
        "sharing": {"kind": "hard", "width": 8},
        "training": {"epochs": 1, "batch_size": 16},
        **changes,
    }


@pytest.mark.parametrize("rule", [None, "mean", "stacking"])
def test_from_a_table_to_answers(tmp_path: Path, rule: str | None) -> None:
    late = {"kind": "late", "width": 8, "rule": rule, **({"folds": 2} if rule == "stacking" else {})}
    run = motet.fit(experiment(**({} if rule is None else {"fusion": late})), out=tmp_path / "run")
    model, asked = motet.load(run.folder), [*rows(12, seed=1), {"a": None, "b": None}]
    answers = model.predict(asked)
    assert answers == run.model.predict(asked)
    assert {answer["grade"] for answer in answers} <= set(GRADES)
    for answer in answers:
        assert 0 < answer["grade__probability"] <= 1
        assert answer["visits__low"] >= 0
        assert [len(answer[name]) for name in ("xy", "xy__low", "listed", "listed__high")] == [2, 2, 3, 3]
        for name in INTERVALS:
            low, value, high = (np.array(answer[f"{name}{end}"]) for end in ("__low", "", "__high"))
            assert ((low <= value) & (value <= high)).all(), name
    scored = motet.evaluate(model, rows(30, seed=2))
    assert list(scored["grade"]) == ["quadratic_kappa", "accuracy", "mae"]
    assert list(scored["xy"]) == list(scored["visits"]) == ["r2", "mae", "rmse", "spearman"]
    assert (run.folder / "report.html").is_file()


def test_tasks_of_one_unit_have_one_scale_and_each_its_own_form(tmp_path: Path) -> None:
    run = motet.fit(experiment(tasks={name: TASKS[name] for name in ("low_price", "price")}), out=tmp_path / "run")
    low, price = (run.model.tasks[name][1] for name in ("low_price", "price"))
    assert (low.center, low.scale) == (price.center, price.scale)  # type: ignore[attr-defined]
    assert type(low).__name__ == "QuantileCodec"
    assert run.model.tasks["low_price"][0].quantiles == (0.05, 0.5, 0.95)  # type: ignore[attr-defined]


def test_a_rule_that_a_task_does_not_know_is_refused_before_training(tmp_path: Path) -> None:
    late = {"kind": "late", "width": 8, "rule": "evidential"}
    with pytest.raises(SpecError, match=r"tasks\.grade: a task of kind ordinal can not join decisions by 'evidential'"):
        motet.fit(experiment(fusion=late, tasks={"grade": TASKS["grade"]}), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
