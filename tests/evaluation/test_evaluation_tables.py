"""A task's scores on the rows of each of several tables, in the report and on its page."""

import math
import re

import torch

from motet.data import read_table
from motet.evaluation import Score, TaskResult, build_report
from motet.evaluation.render_task import Details, task_section
from motet.model import Collected
from motet.run.tables import scores_by_table
from motet.tasks import Regression

EVIL = "<b>gum</b>"


def collected() -> tuple[Collected, Regression]:
    spec = Regression()
    rows = torch.tensor([0, 1, 2, 3, 4])
    labelled = torch.tensor([True, True, False, True, True])
    found = Collected(
        rows=rows,
        outputs={"y": torch.tensor([0.0, 1.0, 9.0, 2.0, 2.0])},
        targets={"y": torch.tensor([0.5, 1.0, 9.0, 4.0, 2.0])},
        labelled={"y": labelled},
        present={},
        singles={},
    )
    return found, spec


def test_each_table_is_scored_on_its_labelled_rows_alone() -> None:
    found, spec = collected()
    codec = spec.fit([0.0, 2.0])  # mean 1, deviation 1: what is standardised is what is measured
    table = read_table([{"table": [{"x": 0}] * 2, "name": "a"}, {"table": [{"x": 0}] * 3, "name": "b"}])
    scores = scores_by_table(table, found, {"y": (spec, codec)})
    assert {name: one["y"]["mae"] for name, one in scores.items()} == {"a": 0.25, "b": 1.0}
    silent = read_table([{"table": [{"x": 0}] * 3, "name": n} for n in "ab"])
    only = Collected(found.rows, found.outputs, found.targets, {"y": found.rows < 3}, {}, {})
    assert {name: set(one) for name, one in scores_by_table(silent, only, {"y": (spec, codec)}).items()} == {
        "a": {"y"},
        "b": set(),
    }
    assert scores_by_table(read_table([{"x": 0}] * 5), found, {"y": (spec, codec)}) == {}


def test_report_and_page_show_them() -> None:
    scores = {"r2": Score(0.5, 0.4, 0.6, True), "mae": Score(1.0, 0.9, 1.1, False)}
    by_table = {EVIL: {"r2": math.nan, "mae": 2.25}, "meld": {"r2": 0.75, "mae": 0.5}}
    result = TaskResult("regression", "mae", scores, {"r2": 0.0, "mae": 2.0}, 10, by_table)
    alone = TaskResult("regression", "mae", scores, {"r2": 0.0, "mae": 2.0}, 10)
    made = {"both": result, "alone": alone}
    report = build_report(rows_scored="test", tasks=made, present_fraction={}, contributions=None, training={})
    entry = report["tasks"]["both"]
    assert entry["tables"] == {EVIL: {"mae": 2.25, "r2": None}, "meld": {"mae": 0.5, "r2": 0.75}}
    assert "tables" not in report["tasks"]["alone"]
    page = task_section("both", entry, Details())
    assert EVIL not in page
    row = re.search(r"<tr><th scope='row'>meld</th>(.*?)</tr>", page)
    assert row is not None
    assert re.findall(r">([^<]+)</td>", row[1]) == ["0.500", "0.750"]
    assert "By table" not in task_section("alone", report["tasks"]["alone"], Details())
