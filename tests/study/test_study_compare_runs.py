"""Finished runs compared where they are, on folders made by hand: what is read, declined, and never written."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from compared import finished, written

from motet.artifact import read_bundle, write_bundle
from motet.core.errors import BundleError, SpecError
from motet.evaluation.spec import EvaluationSpec
from motet.run.outputs import Outputs, outputs_bytes
from motet.run.report import Report
from motet.spec import load
from motet.study.compare import compare_runs
from motet.study.compare.candidate import Candidate, Finished, finished_run
from motet.study.compare.child import costs_of
from motet.study.compare.compare import _candidates, _run
from motet.study.compare.costs import candidate_costs
from motet.study.compare.grid import Axis, singles_of, variants_of
from motet.study.compare.halving import _gain
from motet.study.compare.result import judged
from motet.study.compare.running import FINISHED, Ending, Job
from motet.study.compare.transfer import write_single_task
from motet.training import Quiet

ROWS = 60
DOCUMENT: dict[str, Any] = {"data": "t.csv", "inputs": {"a": "number"}, "tasks": {"y": "binary", "z": "regression"}}


def run(noise: float = 1.0, *, seed: int = 0, tasks: tuple[str, ...] = ("sold", "price"), **more: Any) -> Finished:
    """A model that knows the same truth but for noise of this size."""
    truth, chance = np.random.default_rng(0), np.random.default_rng(seed + 1)
    sold = (truth.random(ROWS) < 0.5).astype(np.float32)
    price = truth.normal(size=ROWS).astype(np.float32)
    outputs = {
        "sold": (2 * sold - 1 + noise * chance.normal(size=ROWS)).astype(np.float32),
        "price": (price + noise * chance.normal(size=ROWS)).astype(np.float32),
    }
    targets = {"sold": sold, "price": price}
    return finished({task: outputs[task] for task in tasks}, {task: targets[task] for task in tasks}, **more)


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_comparing_finished_runs_writes_into_none_whatever_their_names(tmp_path: Path) -> None:
    folders = [written(run(seed=number), tmp_path / name) for number, name in enumerate(("a", "single", "b"))]
    before = content_of(tmp_path)
    found = compare_runs(folders)
    assert content_of(tmp_path) == before
    assert [one["candidate"] for one in found.content["overall"]["ranking"]] != []
    assert found.content["transfer"] is None
    assert "joint minus single" not in found.to_text()


def test_single_models_are_those_said_to_be_and_their_scores_go_into_the_joint_reports(tmp_path: Path) -> None:
    joint = written(run(0.5), tmp_path / "joint")
    alone = [written(run(2.0, seed=1, tasks=(task,)), tmp_path / task) for task in ("sold", "price")]
    candidates = [Candidate("single-2", {0: (joint,)}), Candidate("single", {0: tuple(alone)}, models=2, single=True)]
    result = judged(candidates, seed=0, evaluation=EvaluationSpec(resamples=50), reference="single-2")
    assert list(result.content["transfer"]["overall"]) == ["single-2"]
    assert result.content["transfer"]["overall"]["single-2"]["value"] > 0
    said = write_single_task(result.read, result.ranked, result.seeds, candidates)
    assert ["details.json: missing" in line for line in said] == [True]
    report = Report.of_run(joint).content
    assert report["tasks"]["sold"]["single_task"]["run"] == "../sold"
    assert Report.of_run(alone[0]).content["tasks"]["sold"]["single_task"] is None


def test_a_variant_called_single_is_not_taken_for_the_single_models(tmp_path: Path) -> None:
    variants = variants_of(DOCUMENT, [Axis("inputs.a.column", ("single", "single y"))])
    singles = singles_of(variants[0], beside=variants)
    names = [one.name for one in (*variants, *singles)]
    assert len({name.lower() for name in names}) == 4
    assert len({one.folder.lower() for one in (*variants, *singles)}) == 4
    jobs = [Job(one.name, 0, one.experiment, tmp_path / one.folder) for one in (*variants, *singles)]
    for job in jobs:
        job.folder.mkdir()
        (job.folder / "report.json").write_text("{}")
    found = _candidates(variants, singles, jobs)
    assert [one.single for one in found] == [False, False, True]
    assert [len(one.runs[0]) for one in found] == [1, 1, 2]


def three(tmp_path: Path) -> list[Path]:
    return [written(run(seed=number), tmp_path / name) for number, name in enumerate("abc")]


def rewrite(path: Path, change: Callable[[Any], Any]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


REPORTS: dict[str, Callable[[Any], Any]] = {
    "no tasks at all": lambda _: {"a": 1},
    "a list": lambda _: [1],
    "empty tasks": lambda content: content | {"tasks": {}},
    "tasks that are a word": lambda content: content | {"tasks": "sold"},
    "a task without metrics": lambda content: content | {"tasks": content["tasks"] | {"sold": {"kind": "binary"}}},
    "a primary metric that is not there": lambda content: (
        content | {"tasks": content["tasks"] | {"sold": content["tasks"]["sold"] | {"primary": "r2"}}}
    ),
    "training facts that are none": lambda content: content | {"training": [1]},
}


@pytest.mark.parametrize("change", REPORTS.values(), ids=REPORTS)
def test_a_damaged_report_is_declined_and_the_others_are_compared(change: Callable[[Any], Any], tmp_path: Path) -> None:
    folders = three(tmp_path)
    rewrite(folders[1] / "report.json", change)
    with pytest.raises(BundleError, match=r"report\.json: damaged"):
        Report.of_run(folders[1])
    found = compare_runs(folders).content
    assert {one["candidate"] for one in found["overall"]["ranking"]} == {"a", "c"}
    assert [line.startswith("b: ") and "damaged" in line for line in found["declined"]] == [True]
    with pytest.raises(SpecError, match=r"nothing to compare(.|\n)*damaged"):
        compare_runs(folders[:2])


def test_a_truncated_report_is_damaged(tmp_path: Path) -> None:
    path = written(run(), tmp_path / "a") / "report.json"
    for text in (path.read_text()[:-20], "", "[" * 100_000):
        path.write_text(text)
        with pytest.raises(BundleError, match=r"report\.json: damaged; restore"):
            Report.of_run(path.parent)


def with_task(outputs: Outputs, **changes: torch.Tensor) -> Outputs:
    return replace(outputs, tasks=dict(outputs.tasks) | {"sold": replace(outputs.tasks["sold"], **changes)})


OUTPUTS: dict[str, tuple[Callable[[Outputs], Outputs], str]] = {
    "too few rows": (lambda one: replace(one, rows=one.rows[:-1]), "does not have|per row"),
    "labelled as numbers": (lambda one: with_task(one, labelled=torch.ones(ROWS)), "labelled of sold"),
    "rows that are no whole numbers": (lambda one: replace(one, rows=one.rows.double()), "rows is not"),
    "groups of other rows": (lambda one: replace(one, groups=torch.zeros(3, dtype=torch.int64)), "groups is not"),
    "too few outputs": (lambda one: with_task(one, output=torch.zeros(3)), "output of sold"),
    "no rows at all": (lambda one: with_task(one, target=torch.tensor(1.0)), "target of sold"),
    "answers of another shape": (lambda one: with_task(one, output=torch.zeros(ROWS, 4)), "sold"),
    "another part": (lambda one: replace(one, part="valid"), "valid rows"),
    "a task that nobody knows": (
        lambda one: replace(one, tasks=dict(one.tasks) | {"other": one.tasks["sold"]}),
        "other is not a task of the report",
    ),
    "other labelled rows": (
        lambda one: with_task(one, labelled=torch.arange(ROWS) < 9),
        "9 rows have a label in the outputs, 60",
    ),
}


@pytest.mark.parametrize(("change", "message"), OUTPUTS.values(), ids=OUTPUTS)
def test_damaged_outputs_are_declined_and_the_others_are_compared(
    change: Callable[[Outputs], Outputs], message: str, tmp_path: Path
) -> None:
    folders = three(tmp_path)
    data = outputs_bytes(change(run(seed=1).outputs))
    (folders[1] / "predictions" / "outputs.safetensors").write_bytes(data)
    with pytest.raises(BundleError, match=message):
        finished_run(folders[1])
    found = compare_runs(folders).content
    assert {one["candidate"] for one in found["overall"]["ranking"]} == {"a", "c"}
    assert len(found["declined"]) == 1


def test_a_bundle_that_this_version_can_not_read_is_declined(tmp_path: Path) -> None:
    folders = three(tmp_path)
    bundle = read_bundle(folders[2] / "bundle")
    for model, codecs in (
        ({"inputs": {}, "tasks": {"sold": {"kind": "oracle"}}}, {}),
        ({"tasks": 3}, {}),
        (bundle.model, {"sold": {"negative": "no"}}),
        ({"inputs": {}, "tasks": {"sold": {"kind": "binary"}}}, bundle.codecs),
    ):
        write_bundle(folders[2] / "bundle", replace(bundle, model=model, codecs=codecs))
        with pytest.raises(BundleError):
            finished_run(folders[2])
    assert len(compare_runs(folders).content["declined"]) == 1


@pytest.mark.parametrize("text", ["[1]", "{", '{"seconds": "long", "peak_memory": true}', '{"seconds": NaN}'])
def test_costs_that_are_damaged_are_not_known(text: str, tmp_path: Path) -> None:
    folders = three(tmp_path)
    (folders[0] / "costs.json").write_text(text)
    assert set(costs_of(folders[0]).values()) == {None}
    assert compare_runs(folders).content["costs"]["a"]["seconds"] == 1.0


def test_a_damaged_run_of_a_comparison_is_said_to_be_so_and_not_counted(tmp_path: Path) -> None:
    whole, damaged = (written(run(seed=seed), tmp_path / f"seed-{seed}") for seed in range(2))
    rewrite(damaged / "report.json", REPORTS["no tasks at all"])
    assert candidate_costs(Candidate("a", {0: (whole,), 1: (damaged,)}))["parameters"] == 10
    experiment = load(DOCUMENT)
    entries = [_run(Job("a", 0, experiment, folder), Ending(FINISHED), tmp_path) for folder in (whole, damaged)]
    assert [one["state"] for one in entries] == [FINISHED, "failed"]
    assert "damaged" in entries[1]["reason"]
    told = Told()
    assert _gain(Job("a", 0, experiment, damaged), told) is None
    assert "damaged" in told.said[0]


class Told(Quiet):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)
