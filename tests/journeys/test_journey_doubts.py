"""What is legal, and yet likely a mistake, is said before a long training."""

import runpy
from typing import Any

import pytest

import motet

ROWS = [
    {"text": f"word {n % 5}", "price": n % 7, "good": n % 2, "seldom": n % 3 if n < 20 else None} for n in range(60)
]


def warnings_of(**changes: Any) -> list[str]:
    experiment: dict[str, Any] = {
        "data": {"train": ROWS, "valid": 0.2},
        "inputs": {"text": "text", "price": "number"},
        "tasks": {"good": "binary"},
    }
    return list(motet.check(experiment | changes).warnings)


def test_a_column_renamed_to_what_nothing_reads_is_named() -> None:
    other = [{"body": "word", "good": n % 2} for n in range(20)]
    train = [{"table": ROWS, "name": "shop"}, {"table": other, "name": "mail", "rename": {"body": "txet"}}]
    found = warnings_of(data={"train": train, "valid": 0.2})
    assert "<mail in memory>: nothing reads 'txet', which 'body' was renamed to; did you mean 'text'?" in found
    assert "<mail in memory>: has none of the columns that inputs read: 'price', 'text'" in found
    train[1]["rename"] = {"body": "text"}
    assert not [line for line in warnings_of(data={"train": train, "valid": 0.2}) if "mail" in line.split(": ")[0]]


def test_a_task_without_a_label_among_the_held_out_rows_is_named() -> None:
    parts = [row | {"part": "train" if n < 40 else "valid"} for n, row in enumerate(ROWS)]
    found = warnings_of(data={"train": parts, "split": "part"}, tasks={"good": "binary", "seldom": "multiclass"})
    assert "tasks.seldom: none of the 20 valid rows has a label, so it has no say in which weights are kept" in found


def test_groups_that_are_an_input_or_no_groups_are_named() -> None:
    rows = [row | {"owner": f"o{n % 9}", "order": f"n{n}"} for n, row in enumerate(ROWS)]
    inputs = {"text": "text", "owner": "category"}
    found = warnings_of(data={"train": rows, "valid": 0.2, "group": "owner"}, inputs=inputs)
    assert any(line.startswith("inputs.owner: reads 'owner', which data.group keeps apart") for line in found)
    found = warnings_of(data={"train": rows, "valid": 0.2, "group": "order"})
    assert "data.group: each of the 60 rows has its own 'order', so there are no groups to keep whole" in found
    found = warnings_of(data={"train": rows, "valid": 0.2, "group": "owner"})
    assert not any("group" in line for line in found)


def test_python_m_motet_is_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["motet", "--version"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("motet", run_name="__main__")
    assert stop.value.code == 0
