"""A path, a dict or an Experiment -> Experiment, and `--set` on the way."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from motet.core.checks import did_you_mean
from motet.core.errors import SpecError
from motet.spec.document import Experiment
from motet.spec.explain import explained, shown


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
    _check_mapping(document, where)
    try:
        return Experiment.model_validate(dict(document))
    except ValidationError as error:
        raise SpecError("\n".join(where + line for line in explained(error))) from None


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


def _check_mapping(document: Any, where: str) -> None:
    if not isinstance(document, Mapping):
        raise SpecError(f"{where}expected a mapping with data, inputs and tasks, found {shown(document)}")


def changed(source: "str | Path | Mapping[str, Any]", assignments: Sequence[str]) -> dict[str, Any]:
    """The plain document of a file or a dict, with `--set a.b=c` applied to it."""
    document = read_document(Path(source)) if isinstance(source, str | Path) else source
    _check_mapping(document, f"{source}: " if isinstance(source, str | Path) else "")
    return override(document, assignments)


def override(document: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Apply `--set a.b=c` to a plain document; the value is read as YAML.

    >>> override({"training": {"epochs": 3}}, ["training.epochs=5", "fusion.kind=late"])
    {'training': {'epochs': 5}, 'fusion': {'kind': 'late'}}
    """
    import yaml

    result: dict[str, Any] = _with_own_mappings(document)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        names = path.strip().split(".")
        if not equals or not all(names):
            raise SpecError(f"--set {assignment!r}: expected PATH=VALUE, such as training.epochs=5")
        target = result
        for depth, name in enumerate(names[:-1], start=1):
            target[name] = _opened(target.get(name), path=names[:depth], assignment=assignment)
            target = target[name]
        try:
            target[names[-1]] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise SpecError(
                f"--set {assignment!r}: {text!r} is not a value; put it in quotes: {path}='\"{text}\"'"
            ) from None
    return result


def _with_own_mappings(value: Any) -> Any:
    """The mappings are copied, so that the caller's stay as they are; a table in memory is not."""
    return {name: _with_own_mappings(part) for name, part in value.items()} if isinstance(value, Mapping) else value


def _opened(value: Any, *, path: Sequence[str], assignment: str) -> dict[str, Any]:
    """What stands at a path, as a mapping that fields can be put in; shorthand is spelled out."""
    if value is None or isinstance(value, dict):
        return value or {}
    if list(path) == ["data"]:
        return {"train": value}
    if isinstance(value, str):
        return {"kind": value}
    raise SpecError(f"--set {assignment!r}: {'.'.join(path)} is {shown(value)}, which has no fields")


def _parse_json(text: str, path: Path) -> Any:
    def each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                raise SpecError(f"{path}: {name!r} is written twice; keep one")
            found[name] = value
        return found

    try:
        return json.loads(text, object_pairs_hook=each_once)
    except json.JSONDecodeError as error:
        raise SpecError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from None


def _parse_yaml(text: str, path: Path) -> Any:
    import yaml

    class UniqueKeys(yaml.SafeLoader):
        """The safe loader, which keeps the last of two equal keys without a word; this one refuses them."""

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            where = f"{path}:{key_node.start_mark.line + 1}"
            if not isinstance(key_node, yaml.ScalarNode):
                raise SpecError(f"{where}: expected a plain name before the colon")
            name = loader.construct_object(key_node, deep=True)
            if name in seen:
                raise SpecError(f"{where}: {name!r} is written twice; keep one")
            seen.add(name)
        return dict(loader.construct_pairs(node, deep=True))

    UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        return yaml.load(text, Loader=UniqueKeys)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise SpecError(f"{path}{line}: not YAML: {getattr(error, 'problem', None) or error}") from None
    except ValueError as error:  # a date such as 2024-99-99
        raise SpecError(f"{path}: not YAML: {error}") from None
