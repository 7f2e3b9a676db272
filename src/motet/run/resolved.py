"""The resolved experiment in the folder of a run: written before training, and what a resumed run is held to."""

from pathlib import Path
from typing import Any

import yaml

from motet.artifact import write_file
from motet.core.errors import SpecError
from motet.spec import Experiment, load

EXPERIMENT = "experiment.yaml"
FREE_TO_CHANGE = ("training.workers", "training.devices", "training.shard", "training.compile", "evaluation")
"""What may differ when a run is resumed: the weights it ends with differ by rounding only, or not at all. `shard` can
change where `balance.watch` looks, and so what is in `relations.json`."""


def claim(out: Path, experiment: Experiment, *, resume: bool) -> None:
    """Write the resolved experiment; when resuming, it must be the one that is there, but for `FREE_TO_CHANGE`.

    Raises `SpecError` where it is another. One that an older version wrote is the same where it is so with the defaults
    of the fields that version did not have.
    """
    document = experiment.model_dump(mode="json")
    path = out / EXPERIMENT
    if resume and path.is_file():
        found = _differences(_stored(path), document)
        differing = [name for name in found if not f"{name}.".startswith(tuple(f"{one}." for one in FREE_TO_CHANGE))]
        if differing:
            raise SpecError(
                f"{path}: the run there is of another experiment ({', '.join(differing[:5])} differ); "
                "resume it with its own experiment, or choose another folder with --out"
            )
        if not found:
            return
    write_resolved(out, experiment)


def _stored(path: Path) -> Any:
    """The experiment there as this version writes it: fields that it does not name, being newer, have their defaults.

    Raises `SpecError` where it is no YAML.
    """
    try:
        return with_defaults(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ValueError, yaml.YAMLError):
        raise SpecError(f"{path}: damaged; restore it from a copy, or choose another folder with --out") from None


def with_defaults(document: Any) -> Any:
    """The document of a resolved experiment with every field written out; itself where it is not one of this version.

    >>> whole = with_defaults({"data": "t.csv", "inputs": {"a": "number"}, "tasks": {"y": "binary"}})
    >>> whole["tasks"]["y"]["coverage"], with_defaults({"tasks": 3})
    (0.9, {'tasks': 3})
    """
    try:
        return load(document).model_dump(mode="json")
    except SpecError:
        return document


def write_resolved(out: Path, experiment: Experiment) -> None:
    """Write `experiment.yaml`."""
    text = yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_file(out / EXPERIMENT, f"# Resolved by motet: nothing is left to be inferred.\n{text}".encode())


def _differences(old: Any, new: Any, path: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for name in dict.fromkeys([*old, *new])
            for line in _differences(old.get(name), new.get(name), f"{path}.{name}" if path else str(name))
        ]
    return [] if old == new else [path]
