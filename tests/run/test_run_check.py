"""What `check` says it understood."""

from pathlib import Path
from typing import Any

from motet import api

ROWS = ["x,colour,tags,price,split"]
ROWS += [
    f"{row},{('red', 'blue', '')[row % 3]},{('a;b', 'b')[row // 2 % 2]},{row / 2},{('train', 'valid')[row % 2]}"
    for row in range(24)
]


def experiment(tmp_path: Path, **separator: str) -> dict[str, Any]:
    (tmp_path / "rows.csv").write_text("\n".join(ROWS), encoding="utf-8")
    return {
        "data": {"train": str(tmp_path / "rows.csv"), "split": "split"},
        "inputs": {"x": "number"},
        "tasks": {
            "colour": "multiclass",
            "tags": {"kind": "multilabel", **separator},
            "price": "regression",
        },
    }


def test_it_says_which_labels_there_are_and_how_many_rows_have_one(tmp_path: Path) -> None:
    summary = api.check(experiment(tmp_path, separator=";")).summary
    assert "task   colour  multiclass, 2 labels: blue, red; labelled: 8 train, 8 valid, 0 test" in summary
    assert "task   tags    multilabel, 2 labels: a, b; labelled: 12 train, 12 valid, 0 test" in summary
    assert "task   price   regression; labelled: 12 train, 12 valid, 0 test" in summary
    assert "input  x       number" in summary


def test_labels_that_a_wrong_separator_leaves_together_can_be_seen(tmp_path: Path) -> None:
    assert "2 labels: a;b, b" in api.check(experiment(tmp_path)).summary
