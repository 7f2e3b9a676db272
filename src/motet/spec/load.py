"""A path, a dict or an Experiment -> Experiment. Every error says: path in the document, found, allowed, nearest name."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from motet.core.checks import did_you_mean
from motet.core.errors import SpecError
from motet.data import DataSpec
from motet.spec.document import Balance, Experiment
from motet.spec.registry import ROOMS, article
from motet.training.spec import TrainingSpec


def load(source: "str | Path | Mapping[str, Any] | Experiment") -> Experiment:
    """Read and validate an experiment; raises `SpecError` with one line per mistake.

    >>> load({"data": "t.csv", "inputs": {"age": "number"}, "tasks": {"rating": "regresion"}})
    Traceback (most recent call last):
        ...
    motet.core.errors.SpecError: tasks.rating.kind: 'regresion' is not a task; did you mean 'regression'?
    """
    if isinstance(source, Experiment):
        return source
    document = read_document(Path(source)) if isinstance(source, str | Path) else source
    where = f"{source}: " if isinstance(source, str | Path) else ""
    if not isinstance(document, Mapping):
        raise SpecError(f"{where}expected a mapping with data, inputs and tasks, found {_shown(document)}")
    try:
        return Experiment.model_validate(dict(document))
    except ValidationError as error:
        raise SpecError("\n".join(where + line for line in _lines(error))) from None


def read_document(path: Path) -> Any:
    """The plain content of a YAML or JSON file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        names = [entry.name for entry in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        raise SpecError(f"{path}: there is no such file{did_you_mean(path.name, names) if names else ''}") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: byte {error.start + 1} is not UTF-8; save the experiment as UTF-8 text") from None
    except OSError as error:
        raise SpecError(f"{path}: can not be read as an experiment: {error.strerror or error}") from None
    return _parse_json(text, path) if path.suffix == ".json" else _parse_yaml(text, path)


def override(document: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Apply `--set a.b=c` to a plain document; the value is read as YAML.

    >>> override({"training": {"epochs": 3}}, ["training.epochs=5", "fusion.kind=late"])
    {'training': {'epochs': 5}, 'fusion': {'kind': 'late'}}
    """
    import yaml

    result: dict[str, Any] = json.loads(json.dumps(document, default=str))
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path.strip():
            raise SpecError(f"--set {assignment!r}: expected PATH=VALUE, such as training.epochs=5")
        *parents, last = path.strip().split(".")
        target = result
        for name in parents:
            inner = target.get(name)
            target[name] = {"kind": inner} if isinstance(inner, str) else (inner if isinstance(inner, dict) else {})
            target = target[name]
        try:
            target[last] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise SpecError(f"--set {assignment!r}: {text!r} is not a value") from None
    return result


def _parse_json(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise SpecError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from None


def _parse_yaml(text: str, path: Path) -> Any:
    import yaml

    class UniqueKeys(yaml.SafeLoader):
        """The safe loader, which keeps the last of two equal keys without a word; this one refuses them."""

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            name = loader.construct_object(key_node, deep=True)
            if name in seen:
                line = key_node.start_mark.line + 1
                raise SpecError(f"{path}:{line}: {name!r} is written twice; keep one")
            seen.add(name)
        return dict(loader.construct_pairs(node, deep=True))

    UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        return yaml.load(text, Loader=UniqueKeys)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise SpecError(f"{path}{line}: not YAML: {getattr(error, 'problem', None) or error}") from None


def _lines(error: ValidationError) -> list[str]:
    """One line per place; where a union refused a value in several ways, they are alternatives."""
    expected: dict[str, dict[str, str]] = {}
    for entry in error.errors():
        where, expectation, rest = _told(entry)
        expected.setdefault(where, {}).setdefault(expectation, rest)
    return [f"{where}: {_joined(list(told))}{next(iter(told.values()))}" for where, told in expected.items()]


def _joined(expectations: Sequence[str]) -> str:
    return " or ".join([expectations[0], *(text.removeprefix("expected ") for text in expectations[1:])])


def _told(entry: Any) -> tuple[str, str, str]:
    """(where, what is wrong, the rest of the line)."""
    path, model = _walk(entry["loc"])
    kind, found, context = entry["type"], entry.get("input"), entry.get("ctx", {})
    if kind == "literal_error" and path[-1] == "kind":  # a room with one kind has no union to say it
        kind, path, context = "union_tag_invalid", path[:-1], {"tag": found}
    if kind == "union_tag_not_found":
        return _dotted(path), "expected a kind", f", found {_shown(found)}{did_you_mean('', _words(path))}"
    if kind == "union_tag_invalid":
        wrong = str(context.get("tag"))
        hint = did_you_mean(wrong, _words(path))
        return _dotted([*path, "kind"]), f"{wrong!r} is not {article(_room_of(path))}", hint
    if kind == "extra_forbidden":
        fields = [name for name in model.model_fields if name != "kind"] if model else []
        owner = f"{path[-2]!r} has no field {path[-1]!r}" if len(path) > 1 else f"there is no field {path[-1]!r}"
        return _dotted(path), owner, did_you_mean(str(path[-1]), fields)
    if kind == "missing":
        return _dotted(path), "this field is needed and was left out", ""
    if kind == "too_short":
        return _dotted(path), "at least one is needed", ""
    message = str(entry["msg"])
    if message.startswith("Value error, "):
        return (
            _dotted(path),
            message.removeprefix("Value error, "),
            "" if isinstance(found, Mapping) or repr(found) in message else f"; found {_shown(found)}",
        )
    message = message.removeprefix("Input should be ").split(", unable to")[0]
    for pydantic, plain in _PLAIN_WORDS.items():
        message = message.replace(pydantic, plain)
    return _dotted(path), f"expected {message[:1].lower() + message[1:]}", f", found {_shown(found)}"


def _walk(location: Sequence[Any]) -> tuple[list[str], type[BaseModel] | None]:
    """The path as the user wrote it (pydantic adds the tags of unions), and the model that owns its last part."""
    path: list[str] = []
    model: type[BaseModel] | None = Experiment
    for part in location:
        own = model is not None and part in model.model_fields
        if part in _SPECS and len(path) >= _depth(path) > 0 and not own:
            model = _SPECS[part]
        elif own or path in (["inputs"], ["tasks"]) or not _is_type_word(part):
            path.append(str(part))
            if len(path) == 1 and path[0] in _PARAGRAPHS:
                model = _PARAGRAPHS[path[0]]
            elif len(path) == _depth(path) and len(_words(path)) == 1:  # a room with one kind has no tag
                (model,) = ROOMS[str(_room_of(path))].values()
    return path, model


_PARAGRAPHS: dict[str, type[BaseModel]] = {"data": DataSpec, "training": TrainingSpec, "balance": Balance}
_SPECS = {word: cls for specs in ROOMS.values() for word, cls in specs.items()}
_PLAIN_WORDS = {
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


def _is_type_word(part: Any) -> bool:
    """Whether pydantic added this part of a path, to say which member of a union it tried."""
    opening = ("function-", "literal[", "constrained-", "tuple[", "list[", "dict[")
    return isinstance(part, str) and (part in ("int", "float", "str", "bool") or part.startswith(opening))


def _words(path: Sequence[str]) -> list[str]:
    return list(ROOMS.get(_room_of(path) or "", {}))


def _depth(path: Sequence[str]) -> int:
    return {"inputs": 2, "tasks": 2, "balance": 2}.get(path[0], 1) if path else -1


def _room_of(path: Sequence[str]) -> str | None:
    if not path:
        return None
    if path[0] == "balance":
        return f"balance.{path[1]}" if len(path) > 1 else None
    return path[0] if path[0] in ROOMS else None


def _dotted(path: Sequence[Any]) -> str:
    return ".".join(str(part) for part in path) or "experiment"


def _shown(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
