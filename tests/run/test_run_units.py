"""Tasks of one unit: one scale for all, and what that gives a task with few rows."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import motet
from motet.core.errors import DataError
from motet.run.units import fit_tasks
from motet.tasks import Binary, Regression, RegressionCodec
from motet.tasks.base import Codec, TaskSpec

CELLS: dict[str, list[object]] = {"a": [1.0, "3"], "b": ["x", 8.0], "c": [100.0, 300.0], "d": ["no", "yes"]}


def fitted(**units: str | None) -> dict[str, tuple[TaskSpec, Codec]]:
    tasks: dict[str, TaskSpec] = {name: Regression(unit=unit) for name, unit in units.items()}
    return fit_tasks(tasks | {"d": Binary()}, cells())


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


def test_a_task_of_a_unit_needs_a_label_of_its_own() -> None:
    tasks: dict[str, TaskSpec] = {"a": Regression(unit="points"), "b": Regression(unit="points")}
    with pytest.raises(DataError, match=r"tasks\.b .*no training row has a number"):
        fit_tasks(tasks, {"a": iter([1, 2]), "b": iter(["x"])})


def answers(folder: Path, out: str, **task: Any) -> tuple[float, float]:
    """What two shops are said to sell where nothing is known of the day: one of 200 days, one of 4, both far off."""
    document = {
        "data": {"train": str(folder / "shops.csv"), "split": "part"},
        "inputs": {"x": {"kind": "vector", "column": "day", "width": 2, "layers": 0}},
        "tasks": {
            name: {"kind": "regression", "weight": count / 100, "metric": "rmse", **task}
            for name, count in (("large", 200), ("mean", 200), ("small", 4))
        },
        "fusion": {"kind": "concat", "width": 2},
        "sharing": {"kind": "clustered", "layers": 0, "branch": 1, "within": 9, "between": 9, "bias": 0.2},
        "training": {
            "epochs": 120, "batch_size": 999, "learning_rate": 0.05, "schedule": "cosine", "average": 0.0,
            "patience": None, "device": "cpu",
        },
    }  # fmt: skip
    said = motet.fit(document, out=folder / out).model.predict([{"day": "0|0"}])[0]
    return said["large"], said["small"]


def test_a_task_with_few_rows_is_drawn_to_the_others(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    with (tmp_path / "shops.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["day", "large", "mean", "small", "part"])
        for name, count, offset in (("large", 200, 10.0), ("mean", 200, 0.0), ("small", 4, 10.0), ("mean", 40, 0.0)):
            noise = chance.normal(size=count)
            for e in noise - noise.mean():
                sold = {"large": "", "mean": "", "small": "", name: 5 * e + offset}
                day = "|".join(str(part) for part in chance.normal(size=2))
                writer.writerow([day, *sold.values(), "test" if count == 40 else "train"])
    own = answers(tmp_path, "own")
    unit = answers(tmp_path, "unit", unit="pieces", head="none")
    assert own == pytest.approx((10, 10), abs=2.5)
    assert unit[0] == pytest.approx(10, abs=2.5)
    assert 2 < unit[1] < 7.5
