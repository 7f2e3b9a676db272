"""What a run as a whole must get right: rare labels, other data on resume, gains that do not exist, missing columns."""

import math
from pathlib import Path

import numpy as np
import pytest
import yaml

import motet
from motet.core.errors import SpecError
from motet.run.judge import relative_gain
from motet.run.resolved import claim
from motet.tasks.base import Metric

TRAINING = {"epochs": 2, "batch_size": 16}


def rows(count: int, *, shift: float = 0.0) -> list[dict[str, object]]:
    return [{"a": i % 7 + shift, "b": (i * 5) % 11, "y": i % 3, "z": float(i % 5)} for i in range(count)]


def experiment(**changes: object) -> dict[str, object]:
    document: dict[str, object] = {
        "data": {"train": rows(60), "valid": rows(20), "test": rows(20)},
        "inputs": {"a": "number", "b": "number"},
        "tasks": {"y": "multiclass", "z": "regression"},
        "training": TRAINING,
    }
    return document | changes


def test_a_label_only_a_test_row_has_is_a_miss_and_a_warning(tmp_path: Path) -> None:
    test = [*rows(9), {"a": 1, "b": 1, "y": 99, "z": 1.0}]
    run = motet.fit(experiment(data={"train": rows(60), "valid": rows(20), "test": test}), out=tmp_path / "run")
    assert run.report.content["tasks"]["y"]["rows"] == 10
    assert run.report["y"]["accuracy"].value is not None
    assert run.report["y"]["accuracy"].value <= 0.9
    assert any("1 test label that no training row has" in line for line in run.report.content["training"]["warnings"])


def test_a_run_is_not_resumed_on_other_rows(tmp_path: Path) -> None:
    motet.fit(experiment(), out=tmp_path / "run")
    (tmp_path / "run" / "report.json").unlink()
    other = experiment(data={"train": rows(60, shift=1.0), "valid": rows(20), "test": rows(20)})
    with pytest.raises(SpecError, match="the table has changed"):
        motet.fit(other, out=tmp_path / "run", resume=True)


def test_a_run_of_an_older_version_is_resumed_when_nothing_but_new_fields_are_missing(tmp_path: Path) -> None:
    asked = motet.Experiment(**experiment())
    claim(tmp_path, asked, resume=False)
    path = tmp_path / "experiment.yaml"
    older = yaml.safe_load(path.read_text())
    del older["tasks"]["y"]["coverage"], older["data"]["group"], older["evaluation"]
    path.write_text(yaml.safe_dump(older))
    claim(tmp_path, asked, resume=True)
    y = {"kind": "multiclass", "coverage": 0.5}
    other = motet.Experiment(**experiment(tasks={"y": y, "z": "regression"}))
    path.write_text(yaml.safe_dump(older))
    with pytest.raises(SpecError, match=r"tasks\.y\.coverage differ"):
        claim(tmp_path, other, resume=True)


@pytest.mark.parametrize("change", [{"tasks": 3}, {"former": {"field": 1}}])
def test_a_stored_experiment_that_is_none_of_this_version_is_compared_as_it_stands(
    tmp_path: Path, change: dict[str, object]
) -> None:
    asked = motet.Experiment(**experiment())
    claim(tmp_path, asked, resume=False)
    path = tmp_path / "experiment.yaml"
    stored = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(stored | change))
    with pytest.raises(SpecError, match=next(iter(change))):
        claim(tmp_path, asked, resume=True)
    path.write_text("a: [")
    with pytest.raises(SpecError, match="damaged"):
        claim(tmp_path, asked, resume=True)


def test_an_input_that_lacks_one_of_its_columns_is_absent_and_said_to_be(tmp_path: Path) -> None:
    inputs = {"pair": {"kind": "vector", "columns": ["a", "b"]}, "a1": {"kind": "number", "column": "a"}}
    inputs["a2"] = {"kind": "category", "column": "a"}
    model = motet.fit(experiment(inputs=inputs), out=tmp_path / "run").model
    assert len(model.predict([{"b": 1.0}])) == 1
    assert "did you mean 'A'" in " ".join(model.unseen(["A", "b"]))
    assert model.unseen(["a", "b"]) == []


def test_the_baseline_of_another_table_knows_the_training_labels_alone(tmp_path: Path) -> None:
    model = motet.fit(experiment(), out=tmp_path / "run").model
    far = [{**row, "z": 1000.0 + float(str(row["z"]))} for row in rows(20)]
    mae = motet.evaluate(model, far)["z"]["mae"]
    assert mae.baseline == pytest.approx(1000, rel=0.01)


def test_a_task_may_not_be_called_like_the_column_that_names_rows(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="rename the task"):
        motet.fit(experiment(tasks={"row": {"kind": "regression", "column": "z"}}), out=tmp_path / "run")


def test_gain_where_the_metric_says_nothing_falls_back_on_the_next(tmp_path: Path) -> None:
    tasks = {"z": {"kind": "regression", "metric": "spearman"}}
    run = motet.fit(experiment(tasks=tasks, training={"epochs": 3}), out=tmp_path / "run")
    assert run.report.content["training"]["gain"] != 0.0
    assert math.isnan(relative_gain(0.5, math.nan, Metric("spearman", True, lambda output, target: 0.0)))
    assert relative_gain(9.0, 1e-9, Metric("ece", False, lambda output, target: 0.0)) == -1.0


@pytest.mark.parametrize("kind", ["multiclass", "ordinal"])
def test_a_throttle_judges_no_label_that_was_never_trained_on(tmp_path: Path, kind: str) -> None:
    chance = np.random.default_rng(0)
    rows = [
        {"x": float(chance.normal()), "c": str(number % 3), "y": "ab"[number % 2], "s": "train"} for number in range(40)
    ]
    rows += [{"x": 0.0, "c": "1", "y": "zab"[number % 3], "s": "valid"} for number in range(9)]
    experiment = {
        "data": {"train": rows, "split": "s"},
        "inputs": {"x": "number", "c": "category"},
        "tasks": {"y": kind},
        "balance": {"modalities": "blend"},
        "training": {"epochs": 1},
    }
    assert motet.fit(experiment, out=tmp_path / "run").report["y"]["accuracy"].value is not None
