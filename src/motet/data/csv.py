"""CSV and TSV, read honestly: every cell is the text that was written, or there is an error that says where.

Nothing is guessed: "00501", "NA", "1e400" and " x " stay as they are; an empty cell, quoted or not, is absent.
Rows are counted as records, the header being row 1. Column names are kept exactly, spaces included. Empty lines at the
end are ignored; one further up is an error, but for a table with a single column, where it is an absent cell.

The delimiter of a `.tsv` or `.tab` is the tab. Elsewhere it is the one among `, ; tab |` that splits the header and
gives the first rows as many cells as the header; of several the one with the most columns; if that is a tie, an error.
"""

import csv
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from motet.core.errors import DataError

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_ROWS_PER_CHUNK = 65_536
_CHARACTERS_PER_CHUNK = 1 << 28  # far below the 2 GiB an Arrow text column can hold
_SNIFFED_ROWS = 50
_LONGEST_CELL = 1 << 27
_BLANK = b"\xef\xbb\xbf \r\n\t"


def csv_batches(path: Path, name: str) -> Iterator[pa.RecordBatch]:
    """The rows of a CSV or TSV file as text columns, some at a time; at least one batch, at least one row.

    Errors: `DataError` for what is not a whole rectangular table of UTF-8 text, with file and row.
    """
    _check_bytes(path, name)
    delimiter = "\t" if path.suffix.lower() in (".tsv", ".tab") else _find_delimiter(path, name)
    records = _Records(path, name, delimiter)
    header = _header(records)
    chunk: list[list[str]] = []
    for record in _data_records(records, len(header)):
        chunk.append(record)
        if len(chunk) == _ROWS_PER_CHUNK or records.characters > _CHARACTERS_PER_CHUNK:
            yield _to_arrow(header, chunk)
            chunk, records.characters = [], 0
    if chunk:
        yield _to_arrow(header, chunk)
    elif records.row < 2:
        raise DataError(f"{name}: the table has a header but no rows")


class _Records:
    """The records of a file in turn; `row` is the number of the one given last."""

    def __init__(self, path: Path, name: str, delimiter: str) -> None:
        self.path, self.name, self.delimiter = path, name, delimiter
        self.row = 0
        self.characters = 0

    def __iter__(self) -> Iterator[list[str]]:
        old_limit = csv.field_size_limit(_LONGEST_CELL)
        try:
            # newline="\n": a lone carriage return outside quotes is refused rather than taken as the end of a row.
            with open(self.path, encoding="utf-8-sig", newline="\n") as file:
                for record in csv.reader(self._counted(file), delimiter=self.delimiter, strict=True):
                    self.row += 1
                    yield record
        except UnicodeDecodeError:
            raise _encoding_error(self.path, self.name, self.delimiter) from None
        except csv.Error as error:
            raise DataError(f"{self.name}:{self.row + 1}: {_explained(error)}") from None
        finally:
            csv.field_size_limit(old_limit)

    def _counted(self, lines: Any) -> Iterator[str]:
        for line in lines:
            self.characters += len(line)
            yield line


def _header(records: _Records) -> list[str]:
    header = next(iter(_Records(records.path, records.name, records.delimiter)), None)
    if not header:
        raise DataError(f"{records.name}:1: the first line is empty; it must hold the column names")
    empty = [str(position) for position, column in enumerate(header, 1) if not column.strip()]
    if empty:
        raise DataError(f"{records.name}:1: column {', '.join(empty)} of {len(header)} has no name; name or remove it")
    twice = [column for column, times in Counter(header).items() if times > 1]
    if twice:
        named = ", ".join(repr(column) for column in twice)
        raise DataError(f"{records.name}:1: {named} names more than one column; column names must differ")
    return header


def _data_records(records: _Records, num_columns: int) -> Iterator[list[str]]:
    empty_lines = 0
    for record in itertools.islice(records, 1, None):
        if not record:
            empty_lines += 1
            continue
        if empty_lines:
            if num_columns > 1:
                raise DataError(
                    f"{records.name}:{records.row - empty_lines}: an empty line inside the table; remove it"
                )
            yield from ([""] for _ in range(empty_lines))
            empty_lines = 0
        if len(record) != num_columns:
            raise DataError(
                f"{records.name}:{records.row}: expected {num_columns} cells as in the header, found {len(record)} "
                f"(delimiter: {DELIMITERS[records.delimiter]}); quote cells that hold the delimiter"
            )
        yield record
    records.row -= empty_lines


def _to_arrow(header: list[str], records: list[list[str]]) -> pa.RecordBatch:
    columns = []
    for cells in zip(*records, strict=True):
        text = pa.array(cells, pa.string())
        columns.append(pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text))
    return pa.RecordBatch.from_arrays(columns, names=header)


def _check_bytes(path: Path, name: str) -> None:
    """Refuse at once what is not text: an empty file, UTF-16 or UTF-32, an archive, NUL bytes."""
    with open(path, "rb") as file:
        head = file.read(4)
        if not head.strip(_BLANK) and not file.read().strip(_BLANK):
            raise DataError(f"{name}: the file is empty")
        if head.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise DataError(f"{name}:1: the file is UTF-16, byte 1 says; save it as UTF-8")
        if head.startswith((b"PK\x03\x04", b"\x1f\x8b", b"PAR1", b"ARRO")):
            raise DataError(
                f"{name}: the file is not text (a spreadsheet, an archive or a binary table); save it as CSV"
            )
        file.seek(0)
        position = row = 0
        while block := file.read(1 << 20):
            if b"\0" in block:
                at = block.index(b"\0")
                row += block[:at].count(b"\n") + 1
                raise DataError(
                    f"{name}:{row}: byte {position + at + 1} is NUL; the file is damaged or UTF-16; save it as UTF-8"
                )
            row += block.count(b"\n")
            position += len(block)


def _find_delimiter(path: Path, name: str) -> str:
    widths = {delimiter: _widths(path, name, delimiter) for delimiter in DELIMITERS}
    splitting = {delimiter: found for delimiter, found in widths.items() if found and found[0] > 1}
    if not splitting:
        return ","
    even = {delimiter: found for delimiter, found in splitting.items() if len(set(found)) == 1}
    candidates = even or splitting
    most = max(found[0] for found in candidates.values())
    best = [delimiter for delimiter, found in candidates.items() if found[0] == most]
    if len(best) > 1:
        named = " or ".join(DELIMITERS[delimiter] for delimiter in best)
        raise DataError(
            f"{name}:1: the delimiter may be {named}: each gives {most} columns; "
            "quote the cells that hold the other one, or save the table as .tsv or .parquet"
        )
    return best[0]


def _widths(path: Path, name: str, delimiter: str) -> list[int]:
    """How many cells the header and the first rows have; fewer rows where this delimiter makes no sense of them."""
    widths = []
    try:
        for record in itertools.islice(_Records(path, name, delimiter), _SNIFFED_ROWS):
            if record:
                widths.append(len(record))
    except DataError as error:
        widths.append(-1)
        if "UTF-8" in str(error):
            raise
    return widths


def _explained(error: csv.Error) -> str:
    words = str(error)
    if "unexpected end of data" in words:
        return "a quote is opened and never closed"
    if "expected after" in words:
        return 'text after a closing quote; write a quote inside a quoted cell as ""'
    if "new-line character" in words:
        return "a carriage return outside quotes; end lines with LF or CRLF, and quote cells that hold line ends"
    if "field limit" in words or "field larger" in words:
        return f"a cell longer than {_LONGEST_CELL} characters; is a quote never closed?"
    return words


def _encoding_error(path: Path, name: str, delimiter: str) -> DataError:
    """Find the record with the first byte that is not UTF-8, by reading again with such bytes let through."""
    try:
        path.read_bytes().decode("utf-8")
        position = 0
    except UnicodeDecodeError as error:
        position = error.start
    row = 0
    with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        for row, record in enumerate(csv.reader(file, delimiter=delimiter), 1):  # noqa: B007
            if any("\udc80" <= character <= "\udcff" for cell in record for character in cell):
                break
    return DataError(
        f"{name}:{row}: byte {position + 1} is not UTF-8; save the file as UTF-8 (it may be Latin-1 or Windows-1252)"
    )
