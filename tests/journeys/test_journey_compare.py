"""From a table to a comparison, by the command line: trained, killed, gone on with, ranked, and runs compared again."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import motet

OVER = ("--over", "training.learning_rate=0.000001,0.02", "--seeds", "1", "--jobs", "2")


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare")
    chance = np.random.default_rng(0)
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "y"])
        for a, b in chance.normal(size=(160, 2)):
            writer.writerow([round(a, 3), round(b, 3), "yes" if a + b + chance.normal() / 2 > 0 else "no"])
    document: dict[str, Any] = {
        "data": {"train": "table.csv", "valid": 0.2, "test": 0.4},
        "inputs": {"a": {"kind": "number", "width": 8}, "b": {"kind": "number", "width": 8}},
        "tasks": {"y": "binary"},
        "fusion": {"kind": "concat", "width": 8},
        "sharing": {"kind": "hard", "width": 8},
        "training": {"epochs": 12, "patience": None, "batch_size": 16},
    }
    (folder / "experiment.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    return folder / "experiment.yaml"


@pytest.fixture(scope="module")
def whole(experiment: Path) -> Path:
    """Two variants, of which the first learns next to nothing."""
    out = experiment.parent / "whole"
    motet.compare(experiment, ["training.learning_rate=0.000001,0.02"], seeds=1, out=out, jobs=2)
    return out


def content(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "compare.json").read_text())
    return found


def test_the_better_variant_is_recommended_and_everything_is_kept(whole: Path) -> None:
    found = content(whole)
    assert found["recommendation"]["model"] == "learning_rate 0.02"
    assert [run["state"] for run in found["runs"]] == ["finished"] * 2
    assert [run["folder"] for run in found["runs"]] == [
        "runs/learning_rate-1e-06/seed-0",
        "runs/learning_rate-0.02/seed-0",
    ]
    score = found["tasks"]["y"]["ranking"][0]["score"]
    assert score["low"] <= score["value"] <= score["high"] <= 1
    assert score["value"] == pytest.approx(found["runs"][1]["scores"]["y"])
    for costs in found["costs"].values():
        assert all(costs[name] > 0 for name in ("parameters", "ms_per_step", "peak_memory", "seconds"))
    page = (whole / "compare.html").read_text()
    assert "learning_rate 0.02" in page
    assert "http" not in page.replace("http-equiv", "")


def test_killed_and_gone_on_with_it_comes_to_the_same(
    experiment: Path, whole: Path, motet_command: Callable[..., tuple[int, str, str]]
) -> None:
    out = experiment.parent / "killed"
    command = [sys.executable, "-m", "motet", "compare", str(experiment), *OVER, "--out", str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "kept the weights" in line:  # one run is trained and not yet scored, the other somewhere before
                break
        os.kill(process.pid, signal.SIGKILL)
    assert not (out / "compare.json").exists()
    code, _, err = motet_command("compare", experiment, *OVER, "--out", out)
    assert (code, "--resume" in err) == (2, True)
    time.sleep(0.5)  # the runs notice within an instant that nobody waits for them
    code, text, err = motet_command("compare", experiment, *OVER, "--out", out, "--resume")
    assert code == 0, err
    assert "learning_rate 0.02 is the best of these models" in text
    same = ("summary", "tasks", "overall", "recommendation")
    assert {name: content(out)[name] for name in same} == {name: content(whole)[name] for name in same}


def test_two_finished_runs_on_one_page(
    whole: Path, tmp_path: Path, motet_command: Callable[..., tuple[int, str, str]]
) -> None:
    runs = [whole / "runs" / name / "seed-0" for name in ("learning_rate-1e-06", "learning_rate-0.02")]
    code, text, err = motet_command("report", *runs, "--output", tmp_path / "both.html")
    assert code == 0, err
    assert "learning_rate-0.02/seed-0" in text
    assert "learning_rate-0.02/seed-0" in (tmp_path / "both.html").read_text()
    found = motet.api.compare_runs(runs).content
    scores = [json.loads((run / "report.json").read_text())["tasks"]["y"]["metrics"]["auroc"]["value"] for run in runs]
    to = next(
        one["to_reference"] for one in found["tasks"]["y"]["ranking"] if one["candidate"] == "learning_rate-0.02/seed-0"
    )
    assert to["value"] == pytest.approx(scores[1] - scores[0])
    assert to["low"] <= to["value"] <= to["high"]


@pytest.mark.parametrize(
    ("over", "nearest"),
    [("fusion=gatd,concat", "'gated'"), ("fuson=gated", "'fusion'"), ("training.epoch=1,2", "'epochs'")],
)
def test_a_mistake_ends_with_2_before_anything_is_trained(
    over: str, nearest: str, experiment: Path, tmp_path: Path, motet_command: Callable[..., tuple[int, str, str]]
) -> None:
    code, _, err = motet_command("compare", experiment, "--over", over, "--out", tmp_path / "out")
    assert code == 2
    assert f"did you mean {nearest}" in err
    assert not (tmp_path / "out").exists()
