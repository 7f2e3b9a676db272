"""What each column of a table could be in an experiment: an input, a task, or left out, each with the reason."""

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow.compute as pc

from motet.core.checks import did_you_mean
from motet.core.errors import SpecError
from motet.core.instants import spellings_of
from motet.data import ColumnGuess, Table, determines, find_split, infer_schema, infer_task
from motet.spec.registry import ROOMS

_DATES_SAMPLED = 5000
_UNCLEAR = "dates that may be read in several ways: say by `format`, such as '%d/%m/%Y', how they are written"
VECTOR_FROM = 8  # so many numbered columns of numbers read better as one vector
_LIKE_AN_ID = re.compile(r"(^|[_\W])(id|nr|no|index|idx|key)\W*$|[a-z](Id|ID)$", re.IGNORECASE)
_RATINGS = "rating stars? score grade level severity satisfaction quality likert stage".replace(" ", "|")
_LIKE_A_RATING = re.compile(rf"(?i:(^|[_\W])({_RATINGS})s?)($|[_\W\d])|[a-z](Rating|Stars|Score|Grade|Level|Quality)$")
_NUMBERED = re.compile(r"(.*?\D)\d+")


@dataclass(frozen=True)
class Choice:
    """One input or task: its kind, the column or the glob of columns it reads, and what to say about it.

    `given` are fields of the kind that the table tells, with their values.
    """

    column: str
    kind: str
    remark: str
    missing: tuple[str, ...] = ()
    is_glob: bool = False
    given: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Choices:
    """Everything `motet init` decides. `left_out` maps columns to the reason."""

    id: str | None
    split: str | None
    inputs: tuple[Choice, ...]
    tasks: tuple[Choice, ...]
    left_out: Mapping[str, str]


def choose(table: Table, *, tasks: Sequence[str], inputs: Sequence[str] | None = None) -> Choices:
    """Decide what every column is; `inputs` None means every column that makes sense.

    Errors: `SpecError` for a column that is not there, that is asked for twice, or that no kind can read.

    >>> from motet.data import read_table
    >>> rows = [{"id": i, "size": i % 5 + 0.5, "good": i % 2} for i in range(20)]
    >>> [choice.column for choice in choose(read_table(rows), tasks=["good"]).inputs]
    ['size']
    """
    _check_names(table, tasks, inputs)
    guesses = infer_schema(table)
    split = find_split(table)
    split = None if split in {*tasks, *(inputs or ())} else split
    rest = [name for name in table.column_names if name not in tasks and name != split]
    ids = [name for name in rest if guesses[name].kind == "id" and name not in (inputs or ())]
    vectors: dict[str, Choice] = {}
    left_out = dict.fromkeys(ids[1:], "another id")
    given = inputs
    dates = {name: _spellings(table, guesses[name], name) for name in rest if guesses[name].kind == "datetime"}
    if given is None:
        vectors = _vectors(table, guesses, rest)
        left_out |= {name: _UNCLEAR for name, spellings in dates.items() if len(spellings) != 1}
        rest = [name for name in rest if name not in left_out]
        left_out |= _useless(table, guesses, [name for name in rest if name not in vectors and name not in ids], tasks)
        given = [name for name in rest if name not in left_out and name not in ids]
    chosen = [vectors.get(name) or _input(guesses[name], name, dates.get(name, ())) for name in given]
    return Choices(
        id=ids[0] if ids else None,
        split=split,
        inputs=tuple(dict.fromkeys(chosen)),
        tasks=tuple(_task(table, guesses[name], name) for name in tasks),
        left_out=left_out,
    )


def _check_names(table: Table, tasks: Sequence[str], inputs: Sequence[str] | None) -> None:
    for role, names in (("task", tasks), ("input", inputs or ())):
        for name in names:
            if name not in table.column_names:
                near = did_you_mean(name, table.column_names)
                raise SpecError(f"{table.parts[0].name}: there is no column {name!r} for {_a(role)}{near}")
            if names.count(name) > 1 or (role == "input" and name in tasks):
                raise SpecError(f"column {name!r} is asked for twice; a column is one input or one task")
    if not tasks:
        raise SpecError("name at least one column to predict with --task")


def _useless(
    table: Table, guesses: Mapping[str, ColumnGuess], names: Sequence[str], tasks: Sequence[str]
) -> dict[str, str]:
    """Column -> why it is no input."""
    reasons: dict[str, str] = {}
    kept: list[str] = []
    for name in names:
        reason = _fault_of(guesses[name], name) or _shadow_of(table, guesses, name, tasks, kept)
        if reason:
            reasons[name] = reason
        else:
            kept.append(name)
    return reasons


def _fault_of(guess: ColumnGuess, name: str) -> str | None:
    if guess.kind == "empty":
        return "empty"
    if guess.kind == "constant":
        return f"the same in every row: {guess.examples[0]}"
    if guess.kind not in ROOMS["inputs"]:
        return f"it looks like {guess.kind}, which no input reads yet"
    if guess.kind == "number" and guess.whole and _LIKE_AN_ID.search(name) and not _few(guess):
        return "named like an id; `data.group` keeps the rows of a group on one side of the split"
    if guess.kind == "text" and not any(re.search(r"[^\W\d_]{2}", example) for example in guess.examples):
        return f"text without words, such as {guess.examples[0]}"
    return None


def _shadow_of(
    table: Table, guesses: Mapping[str, ColumnGuess], name: str, tasks: Sequence[str], kept: Sequence[str]
) -> str | None:
    for task in tasks:
        if _could_pair(guesses[name], guesses[task], table.num_rows) and determines(table, name, task):
            return f"it names {task} one to one, so it gives the answer away"
    for other in kept:
        if guesses[other] == guesses[name] and table.arrow.column(other).equals(table.arrow.column(name)):
            return f"the same as {other}"
    return None


def _could_pair(guess: ColumnGuess, task: ColumnGuess, num_rows: int) -> bool:
    """False where counts alone say that the columns are not one to one; comparing all rows takes a while."""
    whole = guess.num_present == task.num_present == num_rows
    return guess.kind not in ("image", "audio", "video") and not (whole and guess.num_distinct != task.num_distinct)


def _few(guess: ColumnGuess) -> bool:
    """Few enough values, often enough each, to learn something about every one."""
    return guess.num_distinct * 20 <= guess.num_present


def _vectors(table: Table, guesses: Mapping[str, ColumnGuess], names: Sequence[str]) -> dict[str, Choice]:
    """Columns such as x_1 ... x_64 that hold a number in every row: column -> the one vector they make."""
    families: dict[str, list[str]] = {}
    for name in names:
        if matched := _NUMBERED.fullmatch(name):
            families.setdefault(matched[1], []).append(name)
    vectors: dict[str, Choice] = {}
    for stem, family in families.items():
        whole = all(_is_number(guesses[name]) and guesses[name].num_present == table.num_rows for name in family)
        if len(family) >= VECTOR_FROM and whole and fnmatch.filter(table.column_names, stem + "*") == family:
            vectors |= dict.fromkeys(family, Choice(stem + "*", "vector", f"{len(family)} columns", is_glob=True))
    return vectors


def _is_number(guess: ColumnGuess) -> bool:
    return guess.kind == "number" or (
        guess.kind == "constant" and bool(re.fullmatch(r"-?\d+\.?\d*", guess.examples[0]))
    )


def _input(guess: ColumnGuess, name: str, spellings: Sequence[str | None] = ()) -> Choice:
    kind: str = guess.kind
    if kind == "number" and guess.whole and _LIKE_AN_ID.search(name) and _few(guess):
        kind = "category"
    if kind in ("id", "constant"):  # only where the user asked for it
        kind = "category" if guess.low is None else "number"
    if kind not in ROOMS["inputs"]:
        what = "it is empty" if kind == "empty" else f"it looks like {kind}, which no input reads yet"
        raise SpecError(f"column {name!r} can not be an input: {what}")
    fields = tuple(("format", spelling) for spelling in spellings[:1] if spelling is not None)
    return Choice(name, kind, _shown(guess, kind) + _words(guess), missing=guess.absent_words, given=fields)


def _spellings(table: Table, guess: ColumnGuess, name: str) -> tuple[str | None, ...]:
    """How the dates of a column may be read: None is ISO 8601, or no text at all."""
    cells = {cell: None for cell in table.cells((name,)) if isinstance(cell, str)}
    dates = [cell for cell in cells if cell not in guess.absent_words]
    return spellings_of(dates[:: 1 + len(dates) // _DATES_SAMPLED]) if dates else (None,)


_BY_HAND = {
    "image": "`segmentation` or `depth` of a picture that is an input",
    "audio": "`synthesis` from the inputs",
    "text": "`generation` from the inputs, or `transcription` of a sound",
}


def _task(table: Table, guess: ColumnGuess, name: str) -> Choice:
    if guess.kind in ("empty", "constant"):
        raise SpecError(f"column {name!r} can not be a task: it is {guess.kind}, so there is nothing to learn")
    kind = str(infer_task(table, name))
    if kind == "multiclass" and guess.kind == "number" and guess.whole and _LIKE_A_RATING.search(name):
        kind = "ordinal"
    if guess.kind in _BY_HAND and kind != "multilabel":
        raise SpecError(
            f"column {name!r} can be a task, but not one that is proposed: write it by hand, {_BY_HAND[guess.kind]}"
        )
    if guess.kind in ("video", "series", "datetime", "id") or kind not in ROOMS["tasks"]:
        raise SpecError(f"column {name!r} can not be a task: no task answers with {_a(guess.kind)} yet")
    absent = guess.num_absent_words + pc.sum(pc.is_null(table.arrow.column(name))).as_py()
    unknown = f"; unknown in {absent:,} rows" if absent else ""
    if kind == "regression":
        return Choice(name, kind, _shown(guess, kind) + unknown, missing=guess.absent_words)
    amounts = "; `regression` would take them as amounts" if guess.kind == "number" and guess.num_distinct > 2 else ""
    return Choice(name, kind, _shown(guess, kind) + amounts + unknown, missing=guess.absent_words)


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _shown(guess: ColumnGuess, kind: str) -> str:
    """What a person needs to see whether the kind was guessed well."""
    if kind in ("number", "regression") and guess.kind != "vector":
        return f"{_number(guess.low)} to {_number(guess.high)}"
    examples = [" ".join(example.split()) for example in guess.examples]
    if guess.kind in ("vector", "series", "datetime") or kind in ("image", "audio", "video", "text"):
        return f"e.g. {examples[0]}" if examples else ""
    return f"{guess.num_distinct:,} values: {', '.join(examples)}" + (", ..." if guess.num_distinct > 3 else "")


def _words(guess: ColumnGuess) -> str:
    return (
        f"; absent where it says {', '.join(guess.absent_words)} ({guess.num_absent_words:,} cells)"
        if guess.absent_words
        else ""
    )


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.6g}"
