"""What the columns of a table seem to hold: the guesses that `motet init` writes down for the user to correct."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from motet import media
from motet.core.checks import text_of
from motet.core.errors import CellError, SpecError
from motet.data.problems import shown
from motet.data.table import Table

Kind = Literal[
    "image",
    "audio",
    "video",
    "text",
    "number",
    "category",
    "vector",
    "series",
    "set",
    "datetime",
    "id",
    "constant",
    "empty",
]

SUFFIXES: dict[str, Kind] = {
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"), "image"),
    **dict.fromkeys((".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".opus"), "audio"),
    **dict.fromkeys((".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg"), "video"),
}
ABSENT_WORDS = frozenset(
    ("NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "none", "?", "-", "missing", "#N/A")
)
SEPARATOR = "|"

_ID_NAME = re.compile(r"(^|[_\W])(?i:id|uuid|guid|index|idx|key|rowid|row|nr|no)$|[a-z](Id|ID)$")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?\Z")
_LEADING_ZERO = re.compile(r"[+-]?0\d")
_DAY = r"(\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[./]\d{1,2}[./]\d{4})"
_TIME = r"([T ]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?"
_DATE = re.compile(_DAY + _TIME + r"\Z")
_SEVERAL_NUMBERS = re.compile(r"\s*[+-]?[\d.][\d.eE+-]*(\s*\|\s*[+-]?[\d.][\d.eE+-]*)+\s*\Z")
_LIST_OF_LISTS = re.compile(r"\[\s*\[.*\]\s*\]\Z", re.DOTALL)
_SAMPLED_CELLS = 50_000
_FEW_VALUES = 20
_WORDS_OF_TEXT = 4  # on average, from here on a column whose cells differ is free text
_DISTINCT_OF_CATEGORY = 0.1
_DISTINCT_OF_TEXT = 0.5


@dataclass(frozen=True)
class ColumnGuess:
    """The guessed kind of one column, and the facts behind it, over its present cells (`low`, `high`, `whole` and the
    kind itself over at most 50,000 of them).

    `absent_words` are cells such as "NA" that would have to be declared missing; they were left out of the guess.
    `low` and `high` are the range of a number; `whole` says that it has no fractions.
    """

    kind: Kind
    num_present: int
    num_distinct: int
    examples: tuple[str, ...]
    whole: bool = False
    low: float | None = None
    high: float | None = None
    absent_words: tuple[str, ...] = ()
    num_absent_words: int = 0


def infer_schema(table: Table) -> dict[str, ColumnGuess]:
    """A guess for every column.

    Paths that end in a picture, sound or video suffix are media. A column that is unique in every row and named like
    an id is one. Numbers with leading zeros are text-like. Text is free text when its cells mostly have several words
    and mostly differ, else a category.

    >>> from motet.data.read import read_table
    >>> infer_schema(read_table([{"zip": "00501"}, {"zip": "10001"}, {"zip": "00501"}]))["zip"].kind
    'category'
    """
    return {name: guess_column(table, name) for name in table.column_names}


def guess_column(table: Table, name: str) -> ColumnGuess:
    """The guess for one column."""
    column = _present(table, name)
    counts, absent = _sampled_counts(column), _absent_words(column)
    said = {cell: times for cell, times in counts.items() if cell not in absent}
    num_distinct = len(said) if _is_opaque(column.type) else pc.count_distinct(column).as_py() - len(absent)
    typed = _kind_of_type(table, name)
    kind = typed or _kind_of_text(name, said or counts, num_distinct, table.num_rows)
    if absent and (not said or kind in ("text", "category", "set", "constant")):
        # "NA" may be a country: beside other words it is a value like them.
        num_distinct, absent, said = num_distinct + len(absent), {}, counts
        kind = typed or _kind_of_text(name, said, num_distinct, table.num_rows)
    numbers = [float(cell) for cell in said] if all(map(_NUMBER.match, said)) else []
    return ColumnGuess(
        kind=kind,
        num_present=len(column) - sum(absent.values()),
        num_distinct=num_distinct,
        examples=tuple(cell if len(cell) <= 60 else cell[:57] + "..." for cell in list(said)[:3]),
        whole=bool(numbers) and all(number.is_integer() for number in numbers),
        low=min(numbers, default=None),
        high=max(numbers, default=None),
        absent_words=tuple(absent),
        num_absent_words=sum(absent.values()),
    )


def _kind_of_type(table: Table, name: str) -> Kind | None:
    """What the Arrow type says by itself; None for text and plain numbers."""
    kind = table.arrow.column(name).type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "datetime"
    if _is_list(kind):
        several = (
            _is_list(kind.value_type) or pc.count_distinct(pc.list_value_length(_present(table, name))).as_py() > 1
        )
        return "set" if is_text(kind.value_type) else "series" if several else "vector"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_struct(kind):
        return _kind_of_media(table, name)
    return None


def _kind_of_media(table: Table, name: str) -> Kind:
    """Pictures, videos and sound are told apart by their headers."""
    first = next((row for row in range(table.num_rows) if table.arrow.column(name)[row].is_valid), None)
    if first is None:
        return "empty"
    cell = table.cells((name,), rows=np.array([first]))[0]
    if isinstance(cell, dict) and cell.get("bytes") is None and isinstance(cell.get("path"), str):
        return SUFFIXES.get(PurePath(cell["path"]).suffix.lower(), "image")
    for kind, header in (("image", media.image_size), ("video", media.video_size), ("audio", media.sound_rate)):
        try:
            header(cell)
        except (CellError, SpecError):  # the latter where no video can be read at all
            continue
        return cast(Kind, kind)
    return "video"


def _kind_of_text(name: str, counts: dict[str, int], num_distinct: int, num_rows: int) -> Kind:
    if not counts:
        return "empty"
    medium = _medium(next(iter(counts)))
    if medium is not None and all(_medium(cell) == medium for cell in counts):
        return medium
    if num_distinct == num_rows > 1 and _ID_NAME.search(name):
        return "id"
    if num_distinct == 1 and num_rows > 1:
        return "constant"
    if all(map(_NUMBER.match, counts)):
        return "category" if any(map(_LEADING_ZERO.match, counts)) else "number"
    if all(map(_DATE.match, counts)):
        return "datetime"
    if all(map(_LIST_OF_LISTS.match, counts)):
        return "series"
    if all(map(_SEVERAL_NUMBERS.match, counts)):
        if len({cell.count(SEPARATOR) for cell in counts}) == 1:
            return "vector"
        if any("." in cell for cell in counts):
            return "series"
    if _repeats_labels(counts):
        return "set"
    num_cells = sum(counts.values())
    words = sum(len(cell.split()) * times for cell, times in counts.items()) / num_cells
    distinct = len(counts) / num_cells
    wordy = words >= _WORDS_OF_TEXT and distinct > _DISTINCT_OF_CATEGORY
    return "text" if wordy or (distinct > _DISTINCT_OF_TEXT and len(counts) > _FEW_VALUES) else "category"


def _medium(cell: str) -> Kind | None:
    return SUFFIXES.get(PurePath(cell).suffix.lower())


def _repeats_labels(counts: dict[str, int]) -> bool:
    """Cells such as "red|blue" whose parts come back in other cells."""
    if not any(SEPARATOR in cell for cell in counts):
        return False
    labels = [label for cell in counts for label in cell.split(SEPARATOR)]
    return len(set(labels)) < len(labels) and all(len(label.split()) <= _WORDS_OF_TEXT for label in labels)


def _present(table: Table, name: str) -> pa.ChunkedArray:
    """The cells of a column that are not empty, null or NaN."""
    column = table.arrow.column(name).drop_null()
    if is_text(column.type):
        return column.filter(pc.not_equal(column, ""))
    return column.filter(pc.invert(pc.is_nan(column))) if pa.types.is_floating(column.type) else column


def _sampled_counts(column: pa.ChunkedArray) -> dict[str, int]:
    """How often each cell occurs, as text, in order of appearance, over at most 50,000 cells evenly spaced."""
    if len(column) > _SAMPLED_CELLS:
        column = column.take(pa.array(np.linspace(0, len(column) - 1, _SAMPLED_CELLS).astype(np.int64)))
    spell = shown if _is_opaque(column.type) else text_of
    return dict(Counter(map(spell, column.to_pylist())))


def _absent_words(column: pa.ChunkedArray) -> dict[str, int]:
    """The words in the whole column that elsewhere stand for an absent cell, and how often each does."""
    if not is_text(column.type):
        return {}
    words = column.filter(pc.is_in(pc.utf8_trim_whitespace(column), pa.array(sorted(ABSENT_WORDS), column.type)))
    return dict(Counter(words.to_pylist()))


def _is_opaque(kind: pa.DataType) -> bool:
    plain = not (pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
    return not plain or bool(pa.types.is_null(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
