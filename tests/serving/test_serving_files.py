"""Answers of every form in files of every format, and back without loss."""

import csv
import io
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motet import media
from motet.data import Fence, answer_of, as_json, read_answers, read_table
from motet.data.answers import Sort
from motet.serving.arrow import arrow_of
from motet.serving.tables import like
from motet.serving.write import _WRITERS

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
TEXT |= st.sampled_from(
    ['"', '""', "a|b", "[1]", '["a"]', "{}", "a,b", "a\nb", "a\r\nb", "\r", " a ", "data:,", "\u2028", "5"]
)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
BOX = st.fixed_dictionaries({"label": TEXT, "score": st.floats(0, 1), "box": st.lists(NUMBER, min_size=4, max_size=4)})
ANSWERS: dict[str, tuple[Sort, st.SearchStrategy[Any]]] = {
    "text": ("text", TEXT.filter(bool)),
    "number": ("number", NUMBER),
    "mask": ("bytes", st.binary(max_size=20)),
    "tags": ("labels", st.lists(TEXT, max_size=4)),
    "half": ("labels", st.lists(st.none() | TEXT, max_size=4)),
    "numbers": ("numbers", st.lists(NUMBER, max_size=4)),
    "boxes": ("objects", st.lists(BOX, max_size=3)),
    "one": ("objects", BOX),
}
ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | each for name, (_, each) in ANSWERS.items()}), min_size=1, max_size=5
)
SORTS = {name: sort for name, (sort, _) in ANSWERS.items()}


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    columns = {"row": list(range(1, len(rows) + 1))} | {name: [row[name] for row in rows] for name in ANSWERS}
    return pa.table({name: arrow_of(values) for name, values in columns.items()})


@pytest.mark.parametrize("suffix", _WRITERS)
@settings(deadline=None, max_examples=60)
@given(rows=ROWS)
def test_what_is_written_is_read_again(suffix: str, rows: list[dict[str, Any]], tmp_path_factory: Any) -> None:
    path = tmp_path_factory.getbasetemp() / f"answers-{os.getpid()}{suffix}"
    path.write_bytes(_WRITERS[suffix](table_of(rows)))
    found = [{name: row[name] for name in ANSWERS} for row in read_answers(path, SORTS)]
    assert found == rows


def test_the_forms_in_each_format() -> None:
    png, wav = b"\x89PNG\r\n\x1a\n", b"RIFF1234WAVEfmt "
    box = {"label": "cat", "score": 0.5, "box": [0.0, 1.0, 2.5, 3.0]}
    answers = {
        "mask": png,
        "speech": wav,
        "tags": ["a", "b"],
        "bars": ["a|b"],
        "none": [],
        "boxes": [box],
        "gone": None,
    }
    table = pa.table({name: arrow_of([answer]) for name, answer in answers.items()})
    (line,) = csv.DictReader(io.StringIO(_WRITERS[".csv"](table).decode()))
    assert line["mask"].startswith("data:image/png;base64,")
    assert line["speech"].startswith("data:audio/wav;base64,")
    assert (line["tags"], line["bars"], line["none"], line["gone"]) == ("a|b", '["a|b"]', "[]", "")
    assert json.loads(line["boxes"]) == [box]
    loaded = json.loads(_WRITERS[".jsonl"](table))
    assert loaded == answers | {"mask": line["mask"], "speech": line["speech"]}
    held = parquet.read_table(io.BytesIO(_WRITERS[".parquet"](table)))
    assert held.to_pylist() == [answers]
    assert pa.types.is_binary(held.schema.field("mask").type)
    assert pa.types.is_struct(held.schema.field("boxes").type.value_type)


def test_numbers_that_are_none_and_characters_no_file_holds() -> None:
    table = pa.table({"row": [1], "x": arrow_of([math.nan]), "t": arrow_of(["a\0b"])})
    assert json.loads(_WRITERS[".jsonl"](table)) == {"row": 1, "x": None, "t": "a\0b"}
    assert _WRITERS[".csv"](table).decode().splitlines()[1] == "1,nan,a\ufffdb"
    assert arrow_of(["a\ud800b"]).to_pylist() == ["a?b"]


def test_answers_of_several_types_become_text_part_by_part() -> None:
    assert arrow_of([1, "a", None]).to_pylist() == ["1", "a", None]
    assert arrow_of([[1], ["a", 2.5], None, []]).to_pylist() == [["1"], ["a", "2.5"], None, []]
    mixed = arrow_of([[{"label": 1, "score": 0.5}], [{"label": "a", "score": 1.0}]])
    assert mixed.to_pylist() == [[{"label": "1", "score": 0.5}], [{"label": "a", "score": 1.0}]]
    assert arrow_of([np.float32(0.5), None]).to_pylist() == [0.5, None]
    assert arrow_of([np.ones((2, 2)), None]).to_pylist() == [[[1.0, 1.0], [1.0, 1.0]], None]


def test_frames_hold_lists_and_dicts() -> None:
    answers = [[{"label": "cat", "box": [1.0, 2.0]}], []]
    table = pa.table({"boxes": arrow_of(answers), "mask": arrow_of([b"x", None]), "tags": arrow_of([["a"], None])})
    frame = like(pd.DataFrame({"x": [1, 2]}, index=[7, 8]), table)
    assert frame["boxes"].tolist() == answers
    assert frame["mask"].tolist() == [b"x", None]
    assert frame["tags"].tolist() == [["a"], None]
    assert frame.index.tolist() == [7, 8]
    assert like([{}], table)[0] == {"boxes": answers[0], "mask": b"x", "tags": ["a"]}


def test_a_mask_in_a_csv_file_is_media(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    PIL.Image.new("L", (3, 2), 7).save(buffer, "PNG")
    table = pa.table({"row": [2], "mask": arrow_of([buffer.getvalue()])})
    (tmp_path / "out.csv").write_bytes(_WRITERS[".csv"](table))
    cell = read_table(tmp_path / "out.csv").cells(("mask",))[0]
    held = Fence(tmp_path).resolve(cell, tmp_path)
    assert held == buffer.getvalue() == answer_of(cell, "bytes")
    assert media.image(held).tolist() == [[[7]] * 3] * 2


@pytest.mark.parametrize("answer", [b"x", [b"x"], {"a": b"x"}])
def test_json_holds_bytes_as_data_uris(answer: Any) -> None:
    assert "data:application/octet-stream;base64,eA==" in json.dumps(as_json(answer))
