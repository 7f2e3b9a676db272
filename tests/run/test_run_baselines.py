"""A run stands beside models of simple features: in its report, for every kind they exist for, whatever the labels."""

import random
from pathlib import Path
from typing import Any

import motet


def rows(count: int = 240) -> list[dict[str, Any]]:
    chance = random.Random(0)
    found = []
    for number in range(count):
        size, colour = chance.gauss(0, 1), chance.choice(["red", "blue"])
        price = size + 2 * (colour == "red")
        found.append(
            {
                "size": size if chance.random() > 0.1 else None,
                "colour": colour,
                "price": price,
                "dear": "yes" if price > 1 else "no",
                "rare": chance.choice("ab") if number < 150 else None,
                "part": "train" if number < 150 else "valid" if number < 190 else "test",
            }
        )
    return found


def fit(folder: Path, **evaluation: Any) -> dict[str, Any]:
    run = motet.fit(
        {
            "data": {"train": rows(), "split": "part"},
            "inputs": {"size": "number", "colour": "category"},
            "tasks": {"price": "regression", "dear": "binary", "rare": "binary"},
            "fusion": {"kind": "concat", "width": 8},
            "training": {"epochs": 1},
            "evaluation": evaluation,
        },
        out=folder / "run",
    )
    content: dict[str, Any] = run.report.content
    return content


def test_each_task_stands_beside_a_linear_model_and_trees(tmp_path: Path) -> None:
    tasks = fit(tmp_path, baselines=["linear", "trees"])["tasks"]
    for task, metric in (("price", "r2"), ("dear", "auroc")):
        for name in ("linear", "trees"):
            one = tasks[task]["baselines"][name]
            assert one["rows"] == 150
            assert one["metrics"][metric]["value"] > 0.8, "a table as simple as that is learned"
            gain = tasks[task]["metrics"][metric]["value"] - one["metrics"][metric]["value"]
            assert abs(one["difference"]["value"] - gain) < 1e-9
            assert one["difference"]["low"] <= gain <= one["difference"]["high"]
    assert "baselines" not in tasks["rare"], "no scored row has its label"


def test_none_where_none_is_asked_for(tmp_path: Path) -> None:
    assert all("baselines" not in task for task in fit(tmp_path, baselines=[])["tasks"].values())
