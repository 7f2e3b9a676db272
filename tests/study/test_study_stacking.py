"""Stacking: shares fitted out of fold, kept with the run, and nothing trained twice."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import motet
from motet.core.errors import RunError, SpecError
from motet.fusion import Late
from motet.run.prepare import prepare
from motet.spec import load
from motet.study import before_training
from motet.training import Quiet


def rows(count: int = 240) -> list[dict[str, Any]]:
    """`good` says the label nine times in ten, `poor` never; `name`, of two rows each, can only be learned by heart."""
    generator = np.random.default_rng(0)
    labels = generator.random(count) < 0.5
    told = np.where(generator.random(count) < 0.9, labels, ~labels)
    return [
        {
            "good": float(told[row]) + 0.1 * generator.random(),
            "poor": float(generator.random()),
            "name": f"n{row // 2}",
            "bought": "yes" if labels[row] else "no",
            "spent": float(labels[row]) + 0.1 * generator.random(),
        }
        for row in range(count)
    ]


def experiment(**fusion: Any) -> dict[str, Any]:
    return {
        "data": {"train": rows(), "valid": 0.2, "test": 0.2},
        "inputs": {"good": "number", "poor": "number", "name": {"kind": "category", "min_count": 1}},
        "tasks": {"bought": "binary", "spent": "regression"},
        "fusion": {"kind": "late", "rule": "stacking", "width": 8, "folds": 3, **fusion},
        "training": {"epochs": 6, "seed": 1},
    }


def test_shares_are_those_of_what_each_stream_knows_of_rows_it_has_not_seen(tmp_path: Path) -> None:
    run = motet.fit(experiment(), out=tmp_path / "run")
    shares = json.loads((tmp_path / "run" / "folds" / "shares.json").read_text())
    assert sorted(shares) == ["bought", "spent"]
    for own in shares.values():
        assert sum(own.values()) == pytest.approx(1.0)
        assert own["good"] > 2 * max(own["poor"], own["name"])
    assert not list((tmp_path / "run" / "folds").glob("fold-*"))
    rule = run.model.network.rules["bought"]
    log_shares = dict(rule.named_buffers())
    assert log_shares, "the shares are in the bundle"
    joint = run.model.predict([{"good": 1.05, "poor": 0.5, "name": "n3"}])[0]
    again = motet.load(tmp_path / "run" / "bundle").predict([{"good": 1.05, "poor": 0.5, "name": "n3"}])[0]
    assert joint == again
    assert joint["bought"] == "yes"


def test_a_stopped_run_goes_on_and_ends_as_if_it_had_not_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = motet.fit(experiment(), out=tmp_path / "whole")
    module = sys.modules["motet.study.stacking"]
    trained: list[str] = []
    true_train = module.train

    def train(*args: Any, **fields: Any) -> Any:
        if len(trained) == 2:
            trained.append("stopped")
            raise RunError("stopped")
        trained.append(fields["out"].name)
        return true_train(*args, **fields)

    monkeypatch.setattr(module, "train", train)
    with pytest.raises(RunError, match="stopped"):
        motet.fit(experiment(), out=tmp_path / "stopped")
    resumed = motet.fit(experiment(), out=tmp_path / "stopped", resume=True)
    for name, value in whole.model.network.state_dict().items():
        assert torch.equal(resumed.model.network.state_dict()[name], value), name


def test_the_rows_of_a_group_are_in_one_fold(tmp_path: Path) -> None:
    document = experiment(folds=2) | {"training": {"epochs": 1}}
    document["data"] = document["data"] | {"group": "name"}
    prepared = prepare(load(document), base=tmp_path, progress=Quiet())
    module = sys.modules["motet.study.stacking"]
    names = np.array([row["name"] for row in rows()])
    for fold, held in module._folds(prepared):
        assert not set(names[held]) & set(names[fold.fitted.splits.train])
        assert len(held) + len(fold.fitted.splits.train) == len(prepared.fitted.splits.train)


def test_more_folds_than_groups_are_refused(tmp_path: Path) -> None:
    document = experiment(folds=100) | {"training": {"epochs": 1}}
    document["data"] = document["data"] | {"group": "name"}
    with pytest.raises(SpecError, match=r"fusion.folds: 100 folds need as many rows or groups"):
        motet.fit(document, out=tmp_path / "run")


def test_other_experiments_are_left_as_they_are(tmp_path: Path) -> None:
    spec = load(experiment() | {"fusion": "concat"})
    ready = before_training(spec, out=tmp_path, progress=Quiet())
    assert ready(None, None) is None  # type: ignore[func-returns-value, arg-type]
    assert not list(tmp_path.iterdir())


def test_each_stream_is_trained_by_its_own_loss_alone() -> None:
    assert Late(rule="stacking").separate
