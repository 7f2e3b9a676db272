"""What pydantic found wrong with an experiment, in plain words: path in the document, found, allowed, nearest name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from motet.core.checks import did_you_mean
from motet.core.component import ComponentSpec, Frozen
from motet.spec.document import Experiment
from motet.spec.registry import ROOMS, article


def explained(error: ValidationError) -> list[str]:
    """One line per place; where a union refused a value in several ways, they are alternatives."""
    expected: dict[str, dict[str, str]] = {}
    for entry in error.errors():
        where, expectation, rest = _told(entry)
        expected.setdefault(where, {}).setdefault(expectation, rest)
    return [f"{where}: {_joined(list(told))}{next(iter(told.values()))}" for where, told in expected.items()]


def shown(value: Any) -> str:
    """A value on one short line.

    >>> shown(None), shown("x")
    ('nothing', "'x'")
    """
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


@dataclass
class _Place:
    """Where an error is: the path as the user wrote it, the model whose fields stand there, or the kinds that could."""

    path: list[str] = field(default_factory=list)
    model: type[BaseModel] | None = Experiment
    kinds: dict[str, type[BaseModel]] = field(default_factory=dict)
    a_name_follows: bool = False

    def step(self, part: Any) -> None:
        """One part of pydantic's location, which also names the members of the unions it tried."""
        if self.a_name_follows:
            self.path.append(str(part))
            self.a_name_follows = False
        elif self.model is not None and part in self.model.model_fields:
            self.path.append(str(part))
            self._enter(self.model.model_fields[part].annotation)
        elif part in self.kinds and self.model is None:
            self.model = self.kinds[part]
        elif not _names_a_type(part):
            self.path.append(str(part))

    def _enter(self, annotation: Any) -> None:
        found = list(_specs_in(annotation))
        self.a_name_follows = bool(found) and get_origin(annotation) is dict
        self.model = found[0] if len(found) == 1 else None
        self.kinds = {spec.word(): spec for spec in found if issubclass(spec, ComponentSpec)}


def _place(location: Sequence[Any]) -> _Place:
    place = _Place()
    for part in location:
        place.step(part)
    return place


def _told(entry: Any) -> tuple[str, str, str]:
    """(where, what is wrong, the rest of the line)."""
    kind, location, found, context = entry["type"], entry["loc"], entry.get("input"), entry.get("ctx", {})
    if kind == "literal_error" and location[-1] == "kind":  # a room with one kind has no union to say it
        kind, location, context = "union_tag_invalid", location[:-1], {"tag": found}
    place = _place(location)
    where, last = ".".join(place.path) or "experiment", place.path[-1] if place.path else ""
    if kind == "union_tag_not_found":
        return where, "expected a kind", f", found {shown(found)}{did_you_mean('', place.kinds)}"
    if kind == "union_tag_invalid":
        wrong = str(context["tag"])
        return f"{where}.kind", f"{wrong!r} is not {article(_room(place.path))}", did_you_mean(wrong, place.kinds)
    if kind == "extra_forbidden":
        fields = [name for name in place.model.model_fields if name != "kind"] if place.model else []
        owner = f"{place.path[-2]!r} has" if len(place.path) > 1 else "an experiment has"
        return where, f"{owner} no field {last!r}", did_you_mean(last, fields)
    if kind in _WHOLE:
        return where, _WHOLE[kind], ""
    message = str(entry["msg"])
    if message.startswith("Value error, "):
        message = message.removeprefix("Value error, ")
        return where, message, "" if isinstance(found, Mapping) or repr(found) in message else f"; found {shown(found)}"
    return where, f"expected {_plain(message)}", f", found {shown(found)}"


def _joined(expectations: Sequence[str]) -> str:
    return " or ".join([expectations[0], *(text.removeprefix("expected ") for text in expectations[1:])])


def _plain(message: str) -> str:
    message = message.removeprefix("Input should be ").split(", unable to")[0]
    for pydantic, words in _PLAIN_WORDS.items():
        message = message.replace(pydantic, words)
    return message[:1].lower() + message[1:]


def _room(path: Sequence[str]) -> str | None:
    """The room whose component stands at this path; None further inside of one."""
    room = ".".join(path) if path[0] == "balance" else path[0]
    return room if room in ROOMS and len(path) == (1 if room in ("fusion", "sharing") else 2) else None


def _specs_in(annotation: Any) -> Iterator[type[Frozen]]:
    if isinstance(annotation, type) and issubclass(annotation, Frozen):
        yield annotation
    for part in get_args(annotation):
        yield from _specs_in(part)


def _names_a_type(part: Any) -> bool:
    """Whether pydantic added this part, to say which member of a union it tried."""
    opening = ("function-", "literal[", "constrained-", "tuple[", "list[", "dict[")
    return isinstance(part, str) and (part in ("int", "float", "str", "bool") or part.startswith(opening))


_WHOLE = {"missing": "this field is needed and was left out", "too_short": "at least one is needed"}
_PLAIN_WORDS = {
    "a valid dictionary or object to extract fields from": "a mapping or a word",
    "a valid dictionary": "a mapping",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid string": "text",
    "a valid boolean": "true or false",
    "a valid tuple": "a list",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "more than",
}
