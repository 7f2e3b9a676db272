"""What the report of a trained model says of inputs whose worth is known: labels that need `a` alone, `a` and `b` each
for itself, and the two together.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import motet
from motet.model import recombining
from motet.run import contribute, evaluate
from motet.run.scored import Scored

Report = dict[str, Any]
LOOK = {"contribution_rows": 200, "robustness_rows": 100, "synergy_rows": 100}


def table(num_rows: int = 600, *, inputs: int = 2) -> list[dict[str, Any]]:
    draw = np.random.default_rng(0)
    values = draw.uniform(-1, 1, (num_rows, inputs))
    rows = []
    for index, one in enumerate(values):
        a, b = one[:2]
        labels = {"alone": a > 0, "added": a + b > 0, "together": (a > 0) != (b > 0)}
        said = {task: "yes" if label else "no" for task, label in labels.items()}
        rows.append({"owner": index // 5, **dict(zip("abcdefgh", one.tolist(), strict=False)), **said})
    return rows


def trained(
    folder: Path, *, inputs: int = 2, epochs: int = 1, tasks: tuple[str, ...] = ("alone",), **more: Any
) -> Report:
    run = motet.fit(
        {
            "data": {"train": table(inputs=inputs), "valid": 0.1, "test": 0.35, **more.pop("data", {})},
            "inputs": {name: {"kind": "number", "drop": 0.1} for name in "abcdefgh"[:inputs]},
            "tasks": {task: {"kind": "binary", "metric": "accuracy"} for task in tasks},
            "fusion": {"kind": "concat", "width": 48, "layers": 2},
            "sharing": {"kind": "hard", "width": 48, "dropout": 0.0},
            "training": {"epochs": epochs, "learning_rate": 0.01, "batch_size": 64, "workers": 0, "patience": None},
            **more,
        },
        out=folder / "run",
    )
    return dict(run.report.content)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("known")
    return trained(folder, epochs=30, tasks=("alone", "added", "together"), evaluation=LOOK)


def of(report: Report, name: str, what: str, task: str) -> dict[str, Any]:
    return dict(report["inputs"][name][what][task])


def test_the_model_has_learned_all_three(report: Report) -> None:
    assert all(task["metrics"]["accuracy"]["value"] > 0.9 for task in report["tasks"].values())


def test_labels_that_need_a_alone(report: Report) -> None:
    assert of(report, "a", "contribution", "alone")["low"] > 0.3
    assert abs(of(report, "b", "contribution", "alone")["value"]) < 0.05
    assert of(report, "a", "alone", "alone")["low"] > 0.9
    assert of(report, "b", "alone", "alone")["low"] < 0.55
    assert of(report, "a", "permuted", "alone")["low"] > 0.3
    assert abs(of(report, "b", "permuted", "alone")["value"]) < 0.05
    assert abs(report["tasks"]["alone"]["synergy"]["value"]) < 0.05


def test_labels_to_which_both_add(report: Report) -> None:
    for name in ("a", "b"):
        assert of(report, name, "contribution", "added")["low"] > 0.1
        assert 0.6 < of(report, name, "alone", "added")["value"] < 0.9
        assert of(report, name, "permuted", "added")["low"] > 0.1
    synergy = report["tasks"]["added"]["synergy"]
    assert abs(synergy["value"]) < 0.08, synergy
    assert synergy["additive"] > 0.85


def test_labels_that_only_both_together_tell(report: Report) -> None:
    for name in ("a", "b"):
        assert of(report, name, "contribution", "together")["low"] > 0.1
        alone = of(report, name, "alone", "together")
        assert alone["low"] < 0.5 < alone["high"] or abs(alone["value"] - 0.5) < 0.1
        assert of(report, name, "permuted", "together")["low"] > 0.3
    synergy = report["tasks"]["together"]["synergy"]
    assert synergy["low"] > 0.15
    assert synergy["value"] == pytest.approx(synergy["full"] - synergy["additive"])
    assert synergy["rows"] == 100


def test_contributions_sum_to_the_full_score(report: Report) -> None:
    by_inputs = {tuple(subset["inputs"]): subset["metrics"] for subset in report["subsets"]}
    assert set(by_inputs) == {(), ("a",), ("b",), ("a", "b")}
    for task in report["tasks"]:
        total = sum(of(report, name, "contribution", task)["value"] for name in ("a", "b"))
        assert total == pytest.approx(by_inputs["a", "b"][task] - by_inputs[()][task])
        for name in ("a", "b"):
            assert of(report, name, "alone", task)["value"] == by_inputs[name,][task]


def test_curves_fall_with_the_input_that_counts_and_with_no_other(report: Report) -> None:
    counts, idle = (of(report, name, "robustness", "alone") for name in ("a", "b"))
    assert (
        [one["level"] for one in counts["noise"]]
        == [one["rate"] for one in counts["absence"]]
        == [0, 0.25, 0.5, 0.75, 1]
    )
    for curve in ("noise", "absence"):
        values = [one["value"] for one in counts[curve]]
        assert values[0] == idle[curve][0]["value"] > 0.93
        assert values[-1] < values[2] < values[0]
        assert [one["value"] for one in idle[curve]] == pytest.approx([values[0]] * 5, abs=0.06)
    assert counts["absence"][-1]["value"] < 0.7
    assert idle["relative"]["value"] == pytest.approx(1, abs=0.03)
    assert idle["effective"]["value"] == pytest.approx(0, abs=0.03)
    assert counts["relative"]["value"] < 0.96
    assert counts["effective"]["low"] > 0  # a noisy number still tells more than none


def test_a_short_training_pays_for_contributions_alone(tmp_path: Path) -> None:
    report = trained(tmp_path)
    assert report["subset_rows"] == 200
    assert {"contribution", "alone", "permuted"} < set(report["inputs"]["a"])
    assert "robustness" not in report["inputs"]["a"]
    assert "synergy" not in report["tasks"]["alone"]


def test_nothing_is_looked_into_where_nothing_is_asked(tmp_path: Path) -> None:
    report = trained(tmp_path, evaluation={"contribution_rows": 0})
    assert report["subsets"] == []
    assert report["inputs"]["a"]["contribution"] == {}
    assert not {"alone", "permuted", "robustness"} & set(report["inputs"]["a"])


def test_eight_inputs_and_groups(tmp_path: Path) -> None:
    report = trained(tmp_path / "grouped", inputs=8, data={"group": "owner"}, evaluation=LOOK | {"robustness_rows": 0})
    assert {one["method"] for one in report["inputs"].values()} == {"sampled"}
    by_inputs = {tuple(subset["inputs"]): subset["metrics"]["alone"] for subset in report["subsets"]}
    total = sum(one["contribution"]["alone"]["value"] for one in report["inputs"].values())
    assert total == pytest.approx(by_inputs[tuple("abcdefgh")] - by_inputs[()])
    assert report["tasks"]["alone"]["synergy"]["rows"] == 100


def test_each_row_that_is_fused_again_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundredths of the work of training, three for each row, pay for the rows of synergy."""
    trained_on, fused = 110_000, list[int]()

    @contextmanager
    def counting(*given: Any) -> Iterator[Any]:
        with recombining(*given) as answer:

            def counted(chosen: Any) -> Any:
                fused.append(len(chosen["a"]))
                return answer(chosen)

            yield counted

    def of_a_long_training(scored: Scored) -> Any:
        return contribute.contribute(replace(scored, position=replace(scored.position, rows_seen=trained_on)))

    monkeypatch.setattr(contribute, "recombining", counting)
    monkeypatch.setattr(evaluate, "contribute", of_a_long_training)
    report = trained(tmp_path)
    rows = report["tasks"]["alone"]["synergy"]["rows"]
    assert rows >= contribute.LEAST_ROWS
    assert sum(fused) - rows <= contribute.SHARE["synergy"] * 3 * trained_on
    assert sum(fused) == rows * (1 + 2 * rows)  # each row, and with every other as a donor of each input
