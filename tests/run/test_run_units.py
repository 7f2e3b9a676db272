"""Tasks of one unit: one scale for all, and what that gives a task with few rows."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

import motet
from motet.core.errors import DataError, SpecError
from motet.run.units import fit_tasks
from motet.tasks import Binary, Regression, RegressionCodec
from motet.tasks.base import Codec, TaskSpec

CELLS: dict[str, list[object]] = {"a": [1.0, "3"], "b": ["x", 8.0], "c": [100.0, 300.0], "d": ["no", "yes"]}


def fitted(**units: str | None) -> dict[str, tuple[TaskSpec, Codec]]:
    tasks: dict[str, TaskSpec] = {name: Regression(unit=unit) for name, unit in units.items()}
    return fit_tasks(tasks | {"d": Binary()}, cells(), {})


def cells() -> dict[str, Iterator[object]]:
    return {name: iter(found) for name, found in CELLS.items()}


def scale(found: dict[str, tuple[TaskSpec, Codec]], name: str) -> tuple[float, float]:
    codec = found[name][1]
    assert isinstance(codec, RegressionCodec)
    return codec.center, codec.scale


def test_a_unit_has_one_centre_and_one_scale() -> None:
    """1, 3 and 8: a mean of 4, a variance of (9 + 1 + 16) / 3. A single label of its own is enough."""
    found = fitted(a="points", b="points", c=None)
    assert scale(found, "a") == scale(found, "b") == pytest.approx((4.0, (26 / 3) ** 0.5))
    assert scale(found, "c") == pytest.approx((200.0, 100.0))


def test_units_are_apart_and_order_changes_nothing() -> None:
    apart = fitted(a="points", c="euros")
    assert scale(apart, "a") == pytest.approx((2.0, 1.0))
    assert scale(apart, "c") == pytest.approx((200.0, 100.0))
    assert fitted(a="points", c="points")["a"] == fitted(c="points", a="points")["a"]
    assert list(fitted(c="points", a="points")) == ["c", "a", "d"]


def test_a_unit_is_fitted_once_and_intervals_are_each_tasks_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, former = [], Regression.fit

    def fit(spec: Regression, cells: Iterable[object]) -> RegressionCodec:
        seen.append(list(cells))
        return former(spec, seen[-1])

    monkeypatch.setattr(Regression, "fit", fit)
    tasks: dict[str, TaskSpec] = {
        name: Regression(unit="points", interval=interval) for name, interval in (("b", 0.5), ("a", 0.9))
    }
    found = fit_tasks(tasks, cells(), {})
    assert seen == [[1.0, "3", 8.0]]
    assert [codec.model_dump()["interval"] for _, codec in found.values()] == [0.5, 0.9]


def test_a_task_of_a_unit_needs_a_label_of_its_own() -> None:
    tasks: dict[str, TaskSpec] = {"a": Regression(unit="points"), "b": Regression(unit="points")}
    with pytest.raises(DataError, match=r"tasks\.b .*no training row has a number"):
        fit_tasks(tasks, {"a": iter([1, 2]), "b": iter(["x"])}, {})


COUNTS = {"large": 40, "mean": 40, "small": 4}
OFFSETS = {"large": 10.0, "mean": 0.0, "small": 10.0}


def sales() -> list[dict[str, float | None]]:
    """Rows of three shops, a number each, about the shop's own."""
    chance, rows = np.random.default_rng(0), []
    for name, count in COUNTS.items():
        noise = chance.normal(size=count)
        sold = 5 * (noise - noise.mean()) + OFFSETS[name]
        rows += [{"day": 0.0, **dict.fromkeys(COUNTS), name: float(number)} for number in sold]
    return rows


def test_a_task_with_few_rows_is_drawn_to_the_mean_as_the_penalty_says(tmp_path: Path) -> None:
    """`b_k - m = c_k / (c_k + weight) (a_k - m)`: beside a weight of 0.1 small keeps half, the others 10 parts of 11.

    The tasks' weights on the only, constant feature, by which they could differ as well, are held together.
    """
    weight, counts = 0.1, {name: count / 40 for name, count in COUNTS.items()}
    task = {"kind": "regression", "metric": "rmse", "unit": "pieces", "head": "none"}
    together = {"within": 100, "between": 100, "bias": weight}
    document = {
        "data": {"train": sales(), "valid": None, "test": sales()},
        "inputs": {"day": {"kind": "number", "width": 1}},
        "tasks": {name: {**task, "weight": count} for name, count in counts.items()},
        "fusion": {"kind": "concat", "width": 2},
        "sharing": {"kind": "clustered", "layers": 0, "branch": 1, "dropout": 0.0, **together},
        "training": {
            "epochs": 100, "batch_size": 999, "optimizer": "adam", "weight_decay": 0.0, "learning_rate": 0.05,
            "schedule": "cosine", "average": 0.0, "clip": None, "device": "cpu",
        },
    }  # fmt: skip
    said = motet.fit(document, out=tmp_path / "run").model.predict([{"day": 0.0}])[0]
    mean = sum(said[name] for name in COUNTS) / len(COUNTS)
    for name, count in counts.items():
        assert said[name] - mean == pytest.approx(count / (count + weight) * (OFFSETS[name] - mean), abs=0.15), name


def test_a_head_that_can_not_be_built_names_its_task(tmp_path: Path) -> None:
    rows = [{"x": float(n), "a": float(n), "b": float(n)} for n in range(20)]
    task = {"kind": "regression", "head": "none"}
    experiment = {"data": {"train": rows}, "inputs": {"x": "number"}, "tasks": {"a": task, "b": "regression"}}
    with pytest.raises(SpecError, match=r"tasks\.a: a task without a head takes features of width 1"):
        motet.fit(experiment, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
