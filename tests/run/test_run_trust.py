"""What the report of a run says of whether its answers can be trusted."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import motet
from motet.artifact import read_bundle, write_bundle
from motet.core.errors import SpecError

NUM_ROWS = 900
MISLABELLED = 8
INPUTS = {"size": "number", "weight": "number", "shop": "category", "season": "category", "note": "text"}
EXPERIMENT: dict[str, Any] = {
    "data": {"train": "table.csv", "split": "part"},
    "inputs": INPUTS,
    "tasks": {
        "sold": "binary",
        "kind": "multiclass",
        "grade": "ordinal",
        "price": {"kind": "regression", "error": "quantile"},
        "tags": "multilabel",
    },
    "evaluation": {"subgroups": ["owner", "age"], "resamples": 50},
    "fusion": {"kind": "concat", "width": 16},
    "training": {"epochs": 4, "learning_rate": 0.01, "batch_size": 32},
}


def table() -> tuple[pd.DataFrame, list[int]]:
    """Labels follow `size` and `weight`, but for "sold" in the east, where they are drawn; some test rows lie."""
    chance = np.random.default_rng(1)
    size, weight = chance.normal(size=(2, NUM_ROWS))
    shop = chance.choice(["north", "south", "east"], NUM_ROWS, p=[0.4, 0.4, 0.2])
    part = np.array(["train", "valid", "test"])[chance.choice(3, NUM_ROWS, p=[0.4, 0.25, 0.35])]
    sold, kind = size + 0.2 * chance.normal(size=NUM_ROWS) > 0, np.digitize(weight, [-0.5, 0.5])
    sold = np.where(shop == "east", chance.random(NUM_ROWS) < 0.5, sold)
    sure = np.flatnonzero((part == "test") & (np.abs(weight) > 1.5))[:MISLABELLED]
    kind[sure] = 2 - kind[sure]
    frame = pd.DataFrame(
        {
            "size": size.round(3),
            "weight": weight.round(3),
            "shop": shop,
            "season": chance.choice(["warm", "cold"], NUM_ROWS),
            "note": ["good" if number % 2 else None for number in range(NUM_ROWS)],
            "owner": chance.choice(["ann", "bob", "cy"], NUM_ROWS, p=[0.6, 0.39, 0.01]),
            "age": chance.integers(20, 80, NUM_ROWS),
            "part": part,
            "sold": np.where(sold, "yes", "no"),
            "kind": np.array(["a", "b", "c"])[kind],
            "grade": np.digitize(size + weight + 0.3 * chance.normal(size=NUM_ROWS), [-1, 0, 1]),
            "price": (size + np.exp(weight) * 0.2 * chance.normal(size=NUM_ROWS)).round(3),
            "tags": ["x|y" if a > 0 and b > 0 else "x" if a > 0 else "y" for a, b in zip(size, weight, strict=True)],
        }
    )
    return frame, (sure + 2).tolist()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], list[int]]:
    """The folder, the report's tasks, and the lines of the file that lie about their kind."""
    folder = tmp_path_factory.mktemp("trust")
    frame, lies = table()
    frame.to_csv(folder / "table.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        motet.fit(EXPERIMENT, out=folder / "run")
    return folder, json.loads((folder / "run" / "report.json").read_text())["tasks"], lies


def test_each_kind_has_what_exists_for_it(run: tuple[Path, dict[str, Any], list[int]]) -> None:
    every = {"calibration", "coverage", "abstention", "suspects", "slices", "subgroups"}
    without = {"price": {"calibration", "suspects"}, "tags": {"coverage", "suspects"}}
    for task, entry in run[1].items():
        assert every & set(entry) == every - without.get(task, set()), task
    for entry in run[1].values():
        kept = [one["kept"] for one in entry["abstention"]]
        assert kept == sorted(kept, reverse=True)
        assert all(one["low"] <= one["value"] <= one["high"] for one in entry["abstention"])
        if "calibration" in entry:
            assert entry["calibration"]["fitted_on"] == "valid"
            assert entry["calibration"]["same_rows"] is False
            assert set(entry["calibration"]["bins"][0]) == {"confidence", "accuracy", "rows"}
    for task in ("sold", "kind"):
        assert run[1][task]["calibration"]["after"] == run[1][task]["metrics"]["ece"]["value"]


def test_coverage_is_near_what_is_stated(run: tuple[Path, dict[str, Any], list[int]]) -> None:
    for task, kind in {"sold": "set", "kind": "set", "grade": "set", "price": "interval"}.items():
        found = run[1][task]["coverage"]
        assert (found["stated"], found["kind"]) == (0.9, kind)
        assert found["found"]["low"] - 0.05 <= 0.9 <= found["found"]["high"] + 0.1
        assert found["size"] >= (0.1 if kind == "interval" else 1)


def test_the_slice_without_a_signal_is_found_and_no_other(run: tuple[Path, dict[str, Any], list[int]]) -> None:
    slices = run[1]["sold"]["slices"]
    assert [one["where"] for one in slices] == [[["shop", "east"]]]
    assert slices[0]["by"] == "accuracy"
    assert slices[0]["difference"]["high"] < 0
    assert slices[0]["metric"]["value"] < 0.75


def test_labels_that_lie_are_the_first_suspects(run: tuple[Path, dict[str, Any], list[int]]) -> None:
    _, tasks, lies = run
    suspects = tasks["kind"]["suspects"]
    first = [int(one["row"].split(":")[1]) for one in suspects[:MISLABELLED]]
    assert len(set(first) & set(lies)) >= MISLABELLED - 1
    margins = [one["margin"] for one in suspects]
    assert margins == sorted(margins)
    assert all({one["label"], one["answer"]} <= {"a", "b", "c"} and one["label"] != one["answer"] for one in suspects)


def test_who_abstains_is_right_more_often(run: tuple[Path, dict[str, Any], list[int]]) -> None:
    for task in ("sold", "grade"):
        curve = {one["kept"]: one["value"] for one in run[1][task]["abstention"]}
        assert curve[1.0] == run[1][task]["metrics"]["accuracy"]["value"]
        assert curve[0.5] > curve[1.0] + 0.02


def test_subgroups_are_the_values_of_the_columns_asked_for(run: tuple[Path, dict[str, Any], list[int]]) -> None:
    entry = run[1]["sold"]
    owners, ages = entry["subgroups"]["owner"], entry["subgroups"]["age"]
    assert [one["value"] for one in owners] == ["ann", "bob"]  # cy has too few rows, and is alone in that
    assert len(ages) == 4
    assert sum(one["rows"] for one in ages) == entry["rows"]
    assert all(one["metric"]["low"] <= one["metric"]["value"] <= one["metric"]["high"] for one in owners)
    assert owners[0]["difference"]["value"] == pytest.approx(-owners[1]["difference"]["value"], abs=0.1)


def test_another_table_is_scored_alike(run: tuple[Path, dict[str, Any], list[int]]) -> None:
    folder, tasks, _ = run
    frame = pd.read_csv(folder / "table.csv")
    found = motet.evaluate(folder / "run", frame[frame.part == "test"]).content["tasks"]
    for task in ("sold", "kind", "grade"):
        assert found[task]["calibration"]["after"] == pytest.approx(tasks[task]["calibration"]["after"], abs=1e-4)
        assert found[task]["coverage"]["size"] == pytest.approx(tasks[task]["coverage"]["size"], abs=0.02)
    assert len(found["kind"]["suspects"]) == len(tasks["kind"]["suspects"])


def test_predictions_say_what_the_report_counts(run: tuple[Path, dict[str, Any], list[int]]) -> None:
    folder, tasks, _ = run
    frame = pd.read_csv(folder / "table.csv")
    frame = frame[frame.part == "test"]
    answers = motet.load(folder / "run").predict(frame)
    for task in ("sold", "kind", "grade"):
        held = [str(truth) in found for truth, found in zip(frame[task], answers[f"{task}__set"], strict=True)]
        assert np.mean(held) == pytest.approx(tasks[task]["coverage"]["found"]["value"], abs=0.01)
        assert all(one in found for one, found in zip(answers[task], answers[f"{task}__set"], strict=True))
    right = (answers["kind"] == frame["kind"]).to_numpy()
    wrong_by = abs(answers["kind__probability"].mean() - right.mean())
    assert wrong_by <= tasks["kind"]["calibration"]["after"] + 0.01


def test_a_column_that_is_not_there_is_refused_before_training(run: tuple[Path, dict[str, Any], list[int]]) -> None:
    document = {**EXPERIMENT, "evaluation": {"subgroups": ["ower"]}}
    document["data"] = {"train": str(run[0] / "table.csv"), "split": "part"}
    with pytest.raises(SpecError, match=r"evaluation\.subgroups: the table has no column 'ower'.*owner"):
        motet.fit(document, out=run[0] / "refused")


def small(folder: Path, **data: Any) -> Path:
    """A run whose rows come in groups of five that are right or wrong together."""
    chance = np.random.default_rng(2)
    size = np.repeat(chance.normal(size=60), 5)
    frame = pd.DataFrame(
        {
            "size": size,
            "owner": np.repeat([f"owner {number}" for number in range(60)], 5),
            "sold": np.where(size + np.repeat(chance.normal(size=60), 5) > 0, "yes", "no"),
        }
    )
    document = {
        "data": {"train": frame.to_dict("records"), "test": 0.4, **data},
        "inputs": {"size": "number"},
        "tasks": {"sold": "binary"},
        "evaluation": {"resamples": 60, "level": 0.8, "contribution_rows": 0, "baselines": []},
        "fusion": {"kind": "concat", "width": 8},
        "training": {"epochs": 1, "workers": 0, "seed": 3},
    }
    motet.fit(document, out=folder / "run")
    frame.to_csv(folder / "table.csv", index=False)
    return folder


def said_before(folder: Path) -> None:
    """The bundle as it was when it told neither how intervals were found nor what anything was fitted on."""
    bundle = read_bundle(folder / "run" / "bundle")
    facts = {name: one for name, one in bundle.facts.items() if name not in ("intervals", "fitted_on")}
    shutil.rmtree(folder / "run" / "bundle")
    write_bundle(folder / "run" / "bundle", replace(bundle, facts=facts))


def test_another_table_has_the_intervals_of_the_run(tmp_path: Path) -> None:
    folder = small(tmp_path, valid=0.2, group="owner")
    frame = pd.read_csv(folder / "table.csv")
    predicted = pd.read_csv(folder / "run" / "predictions" / "test.csv")
    test = frame.iloc[predicted["row"] - 1]
    before = json.loads((folder / "run" / "report.json").read_text())["tasks"]["sold"]
    found = motet.evaluate(folder / "run", test).content["tasks"]["sold"]
    for name, one in before["metrics"].items():
        assert found["metrics"][name] == pytest.approx(one, abs=1e-4), name
    assert found["abstention"] == [pytest.approx(one, abs=1e-4) for one in before["abstention"]]

    def width(entry: dict[str, Any]) -> float:
        return entry["metrics"]["accuracy"]["high"] - entry["metrics"]["accuracy"]["low"]

    alone = motet.evaluate(folder / "run", test.drop(columns="owner")).content["tasks"]["sold"]
    assert width(alone) < 0.8 * width(found)  # rows of unknown groups count as many
    said_before(folder)
    assert width(motet.evaluate(folder / "run", test).content["tasks"]["sold"]) > width(alone)  # 95 % in place of 80


def test_nothing_is_said_to_be_fitted_on_rows_that_nobody_knows(tmp_path: Path) -> None:
    folder = small(tmp_path, valid=0.2)
    frame = pd.read_csv(folder / "table.csv")
    known = motet.evaluate(folder / "run", frame).content["tasks"]["sold"]["calibration"]
    assert (known["fitted_on"], known["same_rows"]) == ("valid", None)
    assert known["temperature"] is not None
    said_before(folder)
    unknown = motet.evaluate(folder / "run", frame).content["tasks"]["sold"]["calibration"]
    assert (unknown["fitted_on"], unknown["same_rows"], unknown["temperature"]) == (None, None, None)


@pytest.mark.parametrize("valid", [True, False])
def test_a_run_whose_validation_rows_teach_nothing_says_so(tmp_path: Path, valid: bool) -> None:
    """None of them has the task's label, or there are none."""
    rows = [{"size": float(n % 7), "sold": "yes" if n % 7 > 3 else "no", "worth": n % 7} for n in range(80)]
    unlabelled = [{**row, "sold": None} for row in rows[:20]]
    document = {
        "data": {"train": rows[:40], "valid": unlabelled if valid else None, "test": rows[40:]},
        "inputs": {"size": "number"},
        "tasks": {"sold": "binary", "worth": "regression"},
        "training": {"epochs": 1, "workers": 0},
        "evaluation": {"resamples": 20, "contribution_rows": 0, "baselines": []},
    }
    motet.fit(document, out=tmp_path / "run")
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    again = motet.evaluate(tmp_path / "run", rows[40:]).content
    for one in (report["tasks"]["sold"]["calibration"], again["tasks"]["sold"]["calibration"]):
        assert (one["fitted_on"], one["same_rows"], one["temperature"]) == (None, None, None)
    assert ("coverage" in report["tasks"]["worth"]) == valid


def test_the_labels_of_a_task_are_no_weak_spot_of_its_own(tmp_path: Path) -> None:
    rows = [{"size": number % 7, "sold": "yes" if number % 3 else "no", "price": number % 5} for number in range(200)]
    run = motet.fit(
        {
            "data": {"train": rows, "valid": 0.1, "test": 0.5},
            "inputs": {"size": "number"},
            "tasks": {"sold": "binary", "price": "regression"},
            "fusion": {"kind": "concat", "width": 8},
            "training": {"epochs": 1},
            "evaluation": {"subgroups": ["sold"], "contribution_rows": 0, "baselines": [], "resamples": 10},
        },
        out=tmp_path / "run",
    )
    tasks = run.report.content["tasks"]
    assert "subgroups" not in tasks["sold"]
    assert list(tasks["price"]["subgroups"]) == ["sold"]
    assert all("sold" not in dict(one["where"]) for one in tasks["sold"]["slices"])
