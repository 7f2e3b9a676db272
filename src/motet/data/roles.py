"""The parts columns may play, for `motet init`: which kind of task, which split, and which gives the answer away."""

from typing import Literal

import pyarrow.compute as pc

from motet.core.checks import text_of
from motet.data.schema import guess_column, is_text
from motet.data.split import SPLIT_WORDS
from motet.data.table import Table

_FEW_CLASSES = 20


def infer_task(table: Table, column: str) -> Literal["binary", "multiclass", "multilabel", "regression"]:
    """The kind of task a label column seems to be; numbers with at most 20 whole values are classes.

    >>> from motet.data.read import read_table
    >>> infer_task(read_table([{"y": "no"}, {"y": "yes"}]), "y")
    'binary'
    """
    guess = guess_column(table, column)
    if guess.kind == "set":
        return "multilabel"
    if guess.kind == "vector":
        return "regression"
    leading_zeros = guess.kind == "category"
    if guess.low is not None and not leading_zeros and not (guess.whole and guess.num_distinct <= _FEW_CLASSES):
        return "regression"
    return "binary" if guess.num_distinct <= 2 else "multiclass"


def find_split(table: Table) -> str | None:
    """The column that says which rows train and which are held out, by its values.

    >>> from motet.data.read import read_table
    >>> find_split(read_table([{"a": 1, "part": "train"}, {"a": 2, "part": "dev"}]))
    'part'
    """
    for name in table.column_names:
        column = table.arrow.column(name)
        if not is_text(column.type) or column.null_count or pc.count_distinct(column).as_py() > len(SPLIT_WORDS):
            continue
        parts = {SPLIT_WORDS.get(word.strip().lower()) for word in pc.unique(column).to_pylist()}
        if None not in parts and "train" in parts and len(parts) > 1:
            return name
    return None


def determines(table: Table, column: str, target: str) -> bool:
    """Whether the two columns name the same thing: each value of one goes with one value of the other, and back.

    Such a column gives the answer away. Columns that are unique in nearly every row say nothing of the kind.
    """
    pairs: dict[str, str] = {}
    back: dict[str, str] = {}
    num_both = 0
    for left, right in zip(table.cells((column,)), table.cells((target,)), strict=True):
        if left is None or right is None:
            continue
        num_both += 1
        a, b = text_of(left), text_of(right)
        if pairs.setdefault(a, b) != b or back.setdefault(b, a) != a:
            return False
    return num_both >= 2 * len(pairs) > 2
