"""A table -> a commented experiment, for `motet init`: every guess is written down where the user can correct it."""

import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from motet.core.errors import CellError
from motet.data import Fence, Table
from motet.data.schema import SEPARATOR
from motet.spec.choose import Choice, Choices, choose
from motet.spec.registry import ROOMS

_HEADER = """\
# An experiment: what the model is given, what it answers, and how it is trained.
# `motet init` guessed it from the table; correct what it got wrong. Then
#   motet check experiment.yaml     reads every cell and lists what is wrong
#   motet train experiment.yaml     trains, evaluates and writes a report
# An empty cell is an absent input or an unknown label; both are normal. `motet list` shows all there is to choose from.
"""
_FOOTER = """\

fusion: auto            # how the inputs become one; also {fusion}
sharing: hard           # what the tasks have in common
balance:
  tasks: fixed          # who moves the shared part, and how much; also {balance}
  modalities: none      # what is done if one input learns at the others' cost; also {modalities}
training:
  epochs: auto          # passes over the training rows; `auto` scales with their number
  seed: 0
"""
_PLAIN = re.compile(r"[\w./][\w ./()+-]*(?<! )")
_REMARK_AT = 30


def propose(
    table: Table, *, path: Path, folder: Path, tasks: Sequence[str], inputs: Sequence[str] | None = None
) -> str:
    """The text of an experiment that will stand in `folder`, for the table that was read from `path`.

    `inputs` None takes every column that makes sense; columns left out are listed with the reason.
    Errors: `SpecError` for a column that is not there or can not be what is asked of it.

    >>> from motet.data import read_table
    >>> rows = [{"size": i % 5 + 0.5, "good": i % 2} for i in range(20)]
    >>> text = propose(read_table(rows), path=Path("t.csv"), folder=Path(), tasks=["good"])
    >>> yaml.safe_load(text)["inputs"]
    {'size': 'number'}
    """
    choices = choose(table, tasks=tasks, inputs=inputs)
    base = Path(os.path.realpath(folder))
    media = [choice.column for choice in choices.inputs if getattr(ROOMS["inputs"][choice.kind], "media", False)]
    root = media_root(table, media)
    names = _names(choices)
    parts = [
        _HEADER,
        "data:",
        *_data_lines(choices, train=_written(path, base), root=None if root is None else _written(root, base)),
        "\ninputs:",
        *(_line(names[choice], choice) for choice in choices.inputs),
        *(["  {}                    # no column is left: name one with --input"] if not choices.inputs else []),
        *_left_out_lines(choices),
        "\ntasks:",
        *(_line(names[choice], choice) for choice in choices.tasks),
    ]
    return (
        "\n".join(parts)
        + "\n"
        + _FOOTER.format(
            fusion=_others("fusion", "auto"),
            balance=_others("balance.tasks", "fixed"),
            modalities=_others("balance.modalities", "none"),
        )
    )


def media_root(table: Table, columns: Sequence[str]) -> Path | None:
    """The narrowest folder that holds every media file the columns name, links followed; None where they name none."""
    fence = Fence(Path(os.path.sep))
    folders = set()
    for column in columns:
        for row, cell in enumerate(table.cells((column,))):
            for part in cell.split(SEPARATOR) if isinstance(cell, str) else ():
                try:
                    path = fence.resolve(part.strip(), table.folder(row))
                except CellError:  # `motet check` names it
                    continue
                assert isinstance(path, Path)
                folders.add(path.parent)
    return Path(os.path.commonpath(folders)) if folders else None


def _data_lines(choices: Choices, *, train: str, root: str | None) -> Iterable[str]:
    yield f"  train: {quoted(train)}"
    if choices.split is not None:
        yield _remarked(f"  split: {quoted(choices.split)}", "the column that says which rows train")
    else:
        yield _remarked("  valid: 0.1", "so many of the rows choose the best weights; a table of its own will do too")
        yield _remarked("  test: 0.1", "so many are kept for the final scores")
    if choices.id is not None:
        yield _remarked(f"  id: {quoted(choices.id)}", "names a row in the predictions; it is no input")
    if root is not None:
        yield _remarked(f"  root: {quoted(root)}", "no path in the table may lead out of this folder")


def _line(name: str, choice: Choice) -> str:
    fields = []
    if choice.is_glob:
        fields.append(f"columns: {quoted(choice.column)}")
    elif name != choice.column:
        fields.append(f"column: {quoted(choice.column)}")
    fields += [f"{field}: {quoted(value)}" for field, value in choice.given]
    if choice.missing:
        fields.append(f"missing: [{', '.join(map(_text, choice.missing))}]")
    spec = f"{{{', '.join([f'kind: {choice.kind}', *fields])}}}" if fields else choice.kind
    return _remarked(f"  {quoted(name)}: {spec}", choice.remark)


def _left_out_lines(choices: Choices) -> Iterable[str]:
    if choices.left_out:
        yield "  # Left out:"
    for column, reason in choices.left_out.items():
        yield f"  #   {_printable(column)}: {_printable(reason)}"


def _names(choices: Choices) -> dict[Choice, str]:
    """A legal name for each choice: its column where that is one; no two alike."""
    names: dict[Choice, str] = {}
    for choice in (*choices.tasks, *choices.inputs):
        plain = choice.column.removesuffix("*").rstrip("_ .-") if choice.is_glob else choice.column
        name = stem = re.sub(r"_{2,}", "_", plain.strip()) or "column"
        while name in names.values():
            name = f"{stem}_{sum(other.startswith(stem) for other in names.values()) + 1}"
        names[choice] = name
    return names


def _written(path: Path, base: Path) -> str:
    """Relative to the experiment where that is short, else absolute; always with forward slashes."""
    absolute = os.path.realpath(path)
    relative = os.path.relpath(absolute, base)
    return Path(absolute if relative.startswith(os.path.join("..", "..", "..", "")) else relative).as_posix()


def quoted(text: str) -> str:
    """A YAML scalar that reads back as exactly this text, bare where it can be.

    >>> quoted("age"), quoted("yes"), quoted("a: b")
    ('age', '"yes"', '"a: b"')
    """
    return text if _PLAIN.fullmatch(text) and yaml.safe_load(text) == text else _text(text)


def _text(text: str) -> str:
    return str(yaml.safe_dump(text, default_style='"', allow_unicode=True, width=sys.maxsize)).rstrip("\n")


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _remarked(line: str, remark: str) -> str:
    return f"{line:<{_REMARK_AT}}  # {_printable(remark)}" if remark else line


def _others(room: str, default: str) -> str:
    return ", ".join(word for word in ROOMS[room] if word != default)
