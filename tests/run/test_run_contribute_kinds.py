"""Tasks of every kind that says something of a row, with more rows than are looked into: no figure is missing."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import motet
from motet.spec import ROOMS
from motet.tasks.row import RowTask

TASKS: dict[str, Any] = {
    "sold": "binary",
    "kind": "multiclass",
    "tags": "multilabel",
    "grade": "ordinal",
    "price": "regression",
    "place": {"kind": "regression", "columns": ["east", "north"]},
    "visits": "count",
    "relevance": {"kind": "ranking", "group": "query"},
    "days": {"kind": "survival", "event": "left"},
}
NUM_QUERIES, ANSWERS, SCORED = 150, 2, 120


def table() -> list[dict[str, Any]]:
    """Two answers to each query, of which the first is the better."""
    draw = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for number in range(ANSWERS * NUM_QUERIES):
        a, b = draw.normal(size=2)
        query, answer = divmod(number, ANSWERS)
        rows.append(
            {
                "part": ("train", "train", "valid", "test", "test")[query % 5],
                "a": a,
                "b": b,
                "query": f"q{query}",
                "sold": "yes" if a > 0 else "no",
                "kind": "xyz"[int(np.digitize(a + b, [-0.7, 0.7]))],
                "tags": [name for name, one in (("red", a), ("round", b)) if one > 0],
                "grade": int(np.digitize(b, [-0.5, 0.5])),
                "price": 10 + a - b,
                "east": a,
                "north": b,
                "visits": int(draw.poisson(np.exp(a / 2))),
                "relevance": (2, 0)[answer],
                "days": float(np.exp(b) + 0.1),
                "left": int(draw.random() < 0.8),
            }
        )
    return rows


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of half of the scored rows, and fewer."""
    run = motet.fit(
        {
            "data": {"train": table(), "split": "part"},
            "inputs": {"a": "number", "b": "number"},
            "tasks": TASKS,
            "fusion": {"kind": "concat", "width": 8},
            "training": {"epochs": 2, "batch_size": 30, "workers": 0, "learning_rate": 0.01},
            "evaluation": {"contribution_rows": 60, "robustness_rows": 30, "synergy_rows": 24, "resamples": 20},
        },
        out=tmp_path_factory.mktemp("kinds") / "run",
    )
    return dict(run.report.content)


def figures(report: dict[str, Any], task: str) -> Iterator[tuple[str, Any]]:
    for name, one in report["inputs"].items():
        for what in ("contribution", "alone", "permuted"):
            yield f"{name} {what}", one[what][task]
        for curve in ("noise", "absence"):
            for point in one["robustness"][task][curve]:
                yield f"{name} {curve}", point
    for subset in report["subsets"]:
        value = subset["metrics"][task]
        yield f"subset {subset['inputs']}", {"value": value, "low": value, "high": value}
    yield "synergy", report["tasks"][task]["synergy"]


def test_no_kind_is_left_out() -> None:
    kinds = {kind for kind, spec in ROOMS["tasks"].items() if issubclass(spec, RowTask)}
    assert {one if isinstance(one, str) else one["kind"] for one in TASKS.values()} == kinds


@pytest.mark.parametrize("task", sorted(TASKS))
def test_every_figure_exists_where_the_score_does(report: dict[str, Any], task: str) -> None:
    assert report["tasks"][task]["rows"] == SCORED
    assert report["subset_rows"] == 60
    entry = report["tasks"][task]
    assert entry["metrics"][entry["primary"]]["value"] is not None
    found = dict(figures(report, task))
    missing = [name for name, one in found.items() if None in (one["value"], one["low"], one["high"])]
    assert missing == []
    assert entry["synergy"]["rows"] == 24
