import io

import numpy as np
import pytest
from PIL import Image

from motet.data.read import read_table
from motet.data.roles import determines, find_split, infer_task
from motet.data.schema import infer_schema


def _column(name, cells):
    return read_table([{name: cell} for cell in cells])


def _png():
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


REVIEWS = [f"this is review number {n} and it says something" for n in range(30)]

KINDS = {
    "image": ("photo", ["a/1.png", "a/2.JPG", None]),
    "audio": ("clip", ["a/1.wav", "a/2.flac"]),
    "video": ("clip", ["1.mp4", "2.mov"]),
    "id": ("user_id", [str(n) for n in range(5)]),
    "number": ("age", ["1", "2", "2.5", "-3e2", ".5"]),
    "empty": ("a", [None, None]),
    "constant": ("a", ["x", "x", None]),
    "category": ("zip", ["00501", "10001", "00501"]),
    "text": ("review", REVIEWS),
    "datetime": ("day", ["2020-01-02", "2021-02-03T10:11:12Z"]),
    "vector": ("v", ["1|2|3", "4|5|6.5"]),
    "set": ("tags", ["red|blue", "blue", "red"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(kind):
    name, cells = KINDS[kind]
    assert infer_schema(_column(name, cells))[name].kind == kind


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([1, 2, 3], "number"),
        ([0.5, None, 3.0], "number"),
        ([True, False, True], "category"),
        ([[1.0, 2.0], [3.0, 4.0]], "vector"),
        ([["a"], ["a", "b"]], "set"),
        ([_png(), None], "image"),
        ([{"bytes": _png(), "path": None}], "image"),
        ([{"bytes": None, "path": "x.wav"}], "audio"),
        ([{"array": [0.0, 0.1], "sampling_rate": 8000}], "audio"),
        (["Anna Berg", "Otto Dix", "Anna Berg"], "category"),
        ([f"word{n}" for n in range(30)], "text"),
        (["yes", "no"] * 10, "category"),
    ],
)
def test_kinds_by_type(cells, kind):
    assert infer_schema(_column("column", cells))["column"].kind == kind


def test_unique_numbers_are_no_id_without_its_name():
    assert infer_schema(_column("height", ["1", "2", "3"]))["height"].kind == "number"
    assert infer_schema(_column("user_id", ["1", "2", "2"]))["user_id"].kind == "number"
    assert infer_schema(_column("paid", ["1", "2", "3"]))["paid"].kind == "number"


def test_facts():
    guess = infer_schema(_column("a", ["1", "3", "3", "NA", None]))["a"]
    assert (guess.kind, guess.num_present, guess.num_distinct, guess.whole) == ("number", 3, 2, True)
    assert (guess.low, guess.high, guess.examples) == (1.0, 3.0, ("1", "3"))
    assert (guess.absent_words, guess.num_absent_words) == (("NA",), 1)


def test_na_the_country_is_a_value():
    guess = infer_schema(_column("country", ["NA", "DE", "DE", "US"]))["country"]
    assert (guess.kind, guess.num_distinct, guess.absent_words) == ("category", 3, ())


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["yes", "no"], "binary"),
        (["0", "1", "1"], "binary"),
        (["a", "b", "c"], "multiclass"),
        (["1", "2", "5", "4", "3"], "multiclass"),
        ([str(n) for n in range(30)], "regression"),
        (["0.5", "1.5"], "regression"),
        ([1.0, 2.0, 3.0], "multiclass"),
        (["red|blue", "blue"], "multilabel"),
        ([["a"], ["a", "b"]], "multilabel"),
        (["00501", "10001", "20001"], "multiclass"),
        ([True, False], "binary"),
    ],
)
def test_tasks(cells, kind):
    assert infer_task(_column("y", cells), "y") == kind


def test_find_split():
    assert find_split(read_table([{"a": "train", "s": "TRAIN"}, {"a": "x", "s": "val"}])) == "s"
    assert find_split(read_table([{"s": "train"}, {"s": "other"}])) is None
    assert find_split(read_table([{"s": "train"}, {"s": "train"}])) is None
    assert find_split(read_table([{"s": "test"}, {"s": "dev"}])) is None
    assert find_split(read_table([{"s": "train"}, {"s": None}])) is None


def test_determines():
    rows = [{"y": n % 3, "name": "abc"[n % 3], "half": n % 2, "unique": n, "coarse": n % 3 > 0} for n in range(12)]
    table = read_table(rows)
    found = {name: determines(table, name, "y") for name in ("name", "half", "unique", "coarse")}
    assert found == {"name": True, "half": False, "unique": False, "coarse": False}
