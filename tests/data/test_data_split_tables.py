"""Several tables divided: each by itself, so that each is validated, by its own column or by the fractions."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motet.core.errors import DataError, SpecError
from motet.data import DataSpec, Splits, Table, load_data


def divided(*tables: Any, **data: Any) -> tuple[Table, Splits]:
    return load_data(DataSpec(train=list(tables), **data), base=Path(), seed=3)


def rows(number: int, **columns: list[Any]) -> list[dict[str, Any]]:
    return [{"x": row, **{name: cells[row] for name, cells in columns.items()}} for row in range(number)]


def named(name: str, table: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    return {"table": table, "name": name, **fields}


def held(table: Table, part: np.ndarray) -> dict[str, int]:
    return {name: len(own) for name, own in table.by_table(part).items()}


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(8, 40), min_size=2, max_size=4), st.floats(0.05, 0.4), st.floats(0.05, 0.4))
def test_a_fraction_is_one_of_each_table(sizes: list[int], valid: float, test: float) -> None:
    table, splits = divided(*(named(f"t{n}", rows(size)) for n, size in enumerate(sizes)), valid=valid, test=test)
    assert held(table, splits.valid) == {f"t{n}": max(1, round(valid * size)) for n, size in enumerate(sizes)}
    assert held(table, splits.test) == {f"t{n}": max(1, round(test * size)) for n, size in enumerate(sizes)}
    assert sorted([*splits.train, *splits.valid, *splits.test]) == list(range(sum(sizes)))


def test_how_a_table_is_divided_does_not_depend_on_the_others() -> None:
    one, other = named("a", rows(20)), named("b", rows(30))
    first, second = divided(one, other, valid=0.3)[1], divided(other, one, valid=0.3)[1]
    assert [row for row in first.valid if row < 20] == [row - 30 for row in second.valid if row >= 30]
    assert [row - 20 for row in first.valid if row >= 20] == [row for row in second.valid if row < 30]


def test_one_table_in_a_list_is_divided_like_the_table_alone() -> None:
    alone = load_data(DataSpec(train=rows(30), valid=0.3), base=Path(), seed=3)[1]
    assert divided(named("a", rows(30)), valid=0.3)[1].valid.tolist() == alone.valid.tolist()


def test_a_column_divides_the_tables_that_have_it_and_the_fraction_the_others() -> None:
    with_column = rows(10, part=["train"] * 8 + ["valid", "test"])
    table, splits = divided(named("a", with_column), named("b", rows(10)), split="part", valid=0.2, test=0.3)
    assert held(table, splits.valid) == {"a": 1, "b": 2}
    assert held(table, splits.test) == {"a": 1, "b": 3}
    assert {8} < set(splits.valid)
    assert {9} < set(splits.test)


def test_a_table_may_have_a_column_of_its_own() -> None:
    first = rows(6, fold=["train", "train", "dev", "dev", "test", "train"])
    second = rows(4, part=["train", "train", "train", "valid"])
    table, splits = divided(named("a", first, split="fold"), named("b", second), split="part", valid=0.5)
    assert splits.valid.tolist() == [2, 3, 9]
    assert held(table, splits.test) == {"a": 1}
    renamed = named("a", first, split="fold", rename={"fold": "part"})
    assert divided(renamed, named("b", second), split="part", valid=0.5)[1].valid.tolist() == [2, 3, 9]


def test_a_column_that_names_no_valid_rows_leaves_them_to_the_fraction_of_its_table() -> None:
    first = rows(10, part=["train"] * 8 + ["test"] * 2)
    table, splits = divided(named("a", first), named("b", rows(20)), split="part", valid=0.25)
    assert held(table, splits.valid) == {"a": 2, "b": 5}
    assert splits.test.tolist() == [8, 9]


def test_groups_stay_whole_over_tables() -> None:
    groups = [row // 2 for row in range(20)]
    table, splits = divided(
        named("a", rows(20, g=groups)), named("b", rows(20, g=groups)), named("c", rows(9)), group="g", valid=0.3
    )
    cells = table.cells(("g",))
    sides: dict[Any, set[str]] = {}
    for side, part in (("train", splits.train), ("valid", splits.valid)):
        for row in part:
            sides.setdefault(cells[row] if cells[row] is not None else ("alone", row), set()).add(side)
    assert set(map(len, sides.values())) == {1}
    assert Counter(held(table, splits.valid)) == {"a": 6, "b": 6, "c": 3}


def test_held_out_tables_stand_beside_the_fractions(tmp_path: Path) -> None:
    table, splits = divided(named("a", rows(5)), named("b", rows(5)), valid=[named("a", rows(3)), named("c", rows(2))])
    assert splits.valid.tolist() == list(range(10, 15))
    assert held(table, splits.valid) == {"a": 3, "c": 2}
    assert held(table, splits.train) == {"a": 5, "b": 5}


def test_what_can_not_be_divided_names_its_table() -> None:
    with pytest.raises(DataError, match=r"<b in memory>: 1 rows, 1 of them held out: no rows are left for training"):
        divided(named("a", rows(9)), named("b", rows(1)), valid=0.1)
    with pytest.raises(SpecError, match=r"<a in memory> has no column 'prt' to split by; did you mean 'part'"):
        divided(named("a", rows(2, part=["train", "valid"]), split="prt"), named("b", rows(4)))
    with pytest.raises(DataError, match=r"<b in memory>:2:fold: the split is 'trian'"):
        divided(
            named("a", rows(4)), named("b", rows(2, fold=["train", "trian"]), split="fold", rename={"fold": "part"})
        )
    with pytest.raises(SpecError, match=r"data\.split: <a in memory> has no column 'part'"):
        divided(named("a", rows(4)), named("b", rows(4)), split="part")
