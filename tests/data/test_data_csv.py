"""CSV read honestly: each case is the exact value, or an error that says where; never a silent change."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motet.core.errors import DataError
from motet.data.read import read_table

EXACT = {
    "leading zeros": (b"a,b\n00501,1\n", [{"a": "00501", "b": "1"}]),
    "NA the country": (b"a,b\nNA,nan\n", [{"a": "NA", "b": "nan"}]),
    "null words": (b"a,b\nnull,None\n", [{"a": "null", "b": "None"}]),
    "beyond float range": (b"a,b\n1e400,-1e400\n", [{"a": "1e400", "b": "-1e400"}]),
    "trailing zero": (b"a,b\n1.10,2.\n", [{"a": "1.10", "b": "2."}]),
    "long integer": (b"a,b\n12345678901234567890123,1\n", [{"a": "12345678901234567890123", "b": "1"}]),
    "precise decimal": (
        b"a,b\n0.1000000000000000055511151231257827,1\n",
        [{"a": "0.1000000000000000055511151231257827", "b": "1"}],
    ),
    "truth words": (b"a,b\nTrue,FALSE\n", [{"a": "True", "b": "FALSE"}]),
    "a date": (b"a,b\n2020-01-02,01/02/03\n", [{"a": "2020-01-02", "b": "01/02/03"}]),
    "infinity": (b"a,b\ninf,-Infinity\n", [{"a": "inf", "b": "-Infinity"}]),
    "hexadecimal and underscores": (b"a,b\n0x10,1_000\n", [{"a": "0x10", "b": "1_000"}]),
    "empty is absent": (b"a,b\n,1\n", [{"a": None, "b": "1"}]),
    "quoted empty is absent": (b'a,b\n"",1\n', [{"a": None, "b": "1"}]),
    "spaces around a cell": (b"a,b\n x ,1\n", [{"a": " x ", "b": "1"}]),
    "a cell of spaces": (b"a,b\n  ,1\n", [{"a": "  ", "b": "1"}]),
    "spaces around a header": (b"a , b\n1,2\n", [{"a ": "1", " b": "2"}]),
    "dots and spaces in a header": (b"a.b,c d\n1,2\n", [{"a.b": "1", "c d": "2"}]),
    "quoted delimiter": (b'a,b\n"1,5",2\n', [{"a": "1,5", "b": "2"}]),
    "quoted line end": (b'a,b\n"1\n5",2\n', [{"a": "1\n5", "b": "2"}]),
    "quoted CRLF": (b'a,b\r\n"1\r\n5",2\r\n', [{"a": "1\r\n5", "b": "2"}]),
    "doubled quote": (b'a,b\n"say ""hi""",2\n', [{"a": 'say "hi"', "b": "2"}]),
    "a bare quote inside a cell": (b'a,b\n5" pipe,2\n', [{"a": '5" pipe', "b": "2"}]),
    "CRLF": (b"a,b\r\n1,2\r\n", [{"a": "1", "b": "2"}]),
    "no line end at the end": (b"a,b\n1,2", [{"a": "1", "b": "2"}]),
    "empty lines at the end": (b"a,b\n1,2\n\n\r\n", [{"a": "1", "b": "2"}]),
    "byte order mark": (b"\xef\xbb\xbfa,b\n1,2\n", [{"a": "1", "b": "2"}]),
    "byte order mark before a quote": (b'\xef\xbb\xbf"a",b\n1,2\n', [{"a": "1", "b": "2"}]),
    "semicolons, decimal commas": (b"a;b\n1,5;2,5\n", [{"a": "1,5", "b": "2,5"}]),
    "tabs": (b"a\tb\n1\t2\n", [{"a": "1", "b": "2"}]),
    "bars": (b"a|b\n1|2\n", [{"a": "1", "b": "2"}]),
    "bars inside comma cells": (b"a,b\nx|y,2\n", [{"a": "x|y", "b": "2"}]),
    "header with a quoted semicolon": (b'"a;b",c\n1,2\n', [{"a;b": "1", "c": "2"}]),
    "delimiter with most columns": (b"a,b,c|d\n1,2,3|4\n", [{"a": "1", "b": "2", "c|d": "3|4"}]),
    "one column": (b"a\n1\n2\n", [{"a": "1"}, {"a": "2"}]),
    "one column, empty line": (b"a\n1\n\n2\n", [{"a": "1"}, {"a": None}, {"a": "2"}]),
    "umlauts and emoji": ("a,b\nöß,\U0001f600\n".encode(), [{"a": "öß", "b": "\U0001f600"}]),
    "combining characters": ("a,b\ne\u0301,\u00e9\n".encode(), [{"a": "e\u0301", "b": "\u00e9"}]),
    "formula": (b"a,b\n=1+1,@x\n", [{"a": "=1+1", "b": "@x"}]),
    "line separator inside a cell": ("a,b\nx\u2028y,\x85\n".encode(), [{"a": "x\u2028y", "b": "\x85"}]),
    "backslashes": (b'a,b\n\\n,\\"\n', [{"a": "\\n", "b": '\\"'}]),
    "a long cell": (b"a,b\n" + b"x" * 300_000 + b",1\n", [{"a": "x" * 300_000, "b": "1"}]),
}

REFUSED = {
    "empty file": (b"", "the file is empty"),
    "only a byte order mark": (b"\xef\xbb\xbf", "the file is empty"),
    "only line ends": (b"\n\n\r\n", "the file is empty"),
    "header only": (b"a,b\n", "header but no rows"),
    "empty first line": (b"\na,b\n1,2\n", "t.csv:1: the first line is empty"),
    "too many cells": (b"a,b\n1,2\n1,2,3\n", "t.csv:3: expected 2 cells as in the header, found 3"),
    "too few cells": (b"a,b\n1\n", "t.csv:2: expected 2 cells as in the header, found 1"),
    "trailing delimiter": (b"a,b\n1,2,\n", "t.csv:2: expected 2 cells as in the header, found 3"),
    "unquoted comma in one column": (b"a\nx, y\n", "t.csv:2: expected 1 cells as in the header, found 2"),
    "ragged after a quoted line end": (b'a,b\n"1\n2",3\n4\n', "t.csv:3: expected 2 cells"),
    "empty line inside": (b"a,b\n1,2\n\n3,4\n", "t.csv:3: an empty line inside the table"),
    "duplicate header": (b"a,b,a\n1,2,3\n", "t.csv:1: 'a' names more than one column"),
    "empty header": (b"a,,c\n1,2,3\n", "t.csv:1: column 2 of 3 has no name"),
    "header of spaces": (b"a, ,c\n1,2,3\n", "t.csv:1: column 2 of 3 has no name"),
    "ambiguous delimiter": (b"a,b;c\n1,2;3\n", "t.csv:1: the delimiter may be comma or semicolon"),
    "unclosed quote": (b'a,b\n1,2\n"3,4\n', "t.csv:3: a quote is opened and never closed"),
    "text after a quote": (b'a,b\n"1"x,2\n', "t.csv:2: text after a closing quote"),
    "Latin-1": (b"a,b\n1,2\nM\xfcnchen,2\n", r"t.csv:3: byte 10 is not UTF-8"),
    "Latin-1 header": (b"a,\xfc\n1,2\n", "t.csv:1: byte 3 is not UTF-8"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "t.csv:1: the file is UTF-16"),
    "UTF-16 without a mark": ("a,b\n1,2\n".encode("utf-16-le"), "t.csv:1: byte 2 is NUL"),
    "NUL": (b"a,b\n1,2\n\0,2\n", "t.csv:3: byte 9 is NUL"),
    "a lone carriage return": (b"a,b\n1\r2,3\n", "t.csv:2: a carriage return outside quotes"),
    "a spreadsheet": (b"PK\x03\x04rest", "not text"),
    "Parquet bytes": (b"PAR1rest", "not text"),
}


@pytest.mark.parametrize("case", EXACT)
@pytest.mark.parametrize("again", [False, True], ids=["parsed", "remembered"])
def test_exact(tmp_path, case, again):
    written, expected = EXACT[case]
    (tmp_path / "t.csv").write_bytes(written)
    if again:
        read_table(tmp_path / "t.csv")
    assert read_table(tmp_path / "t.csv").arrow.to_pylist() == expected


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tmp_path, case):
    written, reason = REFUSED[case]
    (tmp_path / "t.csv").write_bytes(written)
    with pytest.raises(DataError) as error:
        read_table(tmp_path / "t.csv", name="t.csv")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_tsv_is_split_at_tabs_only(tmp_path):
    (tmp_path / "t.tsv").write_text("a,b\tc\n1,2\t3\n")
    assert read_table(tmp_path / "t.tsv").arrow.to_pylist() == [{"a,b": "1,2", "c": "3"}]


def test_rows_are_counted_as_records(tmp_path):
    (tmp_path / "t.csv").write_text('a,b\n"1\n2\n3",x\n4,y\n')
    table = read_table(tmp_path / "t.csv", name="t.csv")
    assert [table.locate(row) for row in range(2)] == [("t.csv", 2), ("t.csv", 3)]


def test_a_bad_row_far_down_is_found(tmp_path):
    rows = ["a,b", *(f"{n},{n}" for n in range(70_000)), "1,2,3"]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    with pytest.raises(DataError, match=r"t\.csv:70002: expected 2 cells"):
        read_table(tmp_path / "t.csv", name="t.csv")


def test_many_chunks_keep_order(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{n:06},x\n" for n in range(140_000)))
    assert read_table(tmp_path / "t.csv").cells(("a",)) == [f"{n:06}" for n in range(140_000)]


CELL = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=6))
def test_what_python_writes_comes_back(tmp_path_factory, rows):
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([("first", "second"), *rows])
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_bytes(text.getvalue().encode())
    expected = [{"first": a or None, "second": b or None} for a, b in rows]
    assert read_table(path).arrow.to_pylist() == expected
