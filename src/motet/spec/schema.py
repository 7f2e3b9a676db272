"""The experiment as JSON Schema, for editors that complete and check a YAML file while it is written."""

import json
from collections.abc import Iterable
from typing import Any

from motet.spec.document import Experiment
from motet.spec.registry import ROOMS

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def experiment_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of an experiment, shorthand included.

    >>> sorted(experiment_schema()["required"])
    ['data', 'inputs', 'tasks']
    """
    schema = _with_words(Experiment.model_json_schema())
    properties = schema["properties"]
    properties["data"] = {"anyOf": [{"type": "string"}, properties["data"]]}
    balance = schema["$defs"]["Balance"]["properties"]
    for room, place, name in (
        ("sharing", properties, "sharing"),
        ("balance.modalities", balance, "modalities"),
    ):
        if len(ROOMS[room]) == 1:  # no union, so nothing yet says that its word will do
            place[name] = _or_word(place[name], ROOMS[room])
    return {"$schema": DRAFT, **schema}


def schema_text() -> str:
    """What stands in `docs/experiment.schema.json`."""
    return json.dumps(experiment_schema(), indent=1, ensure_ascii=False) + "\n"


def _with_words(node: Any) -> Any:
    """A Spec is an object with a `kind`, or that word alone; titles that only repeat a name are left out."""
    if isinstance(node, list):
        return [_with_words(part) for part in node]
    if not isinstance(node, dict):
        return node
    kinds = node.get("discriminator", {}).get("mapping") if "oneOf" in node else None
    plain = {
        name: _with_words(part)
        for name, part in node.items()
        if name != "discriminator" and not (name == "title" and isinstance(part, str))
    }
    return plain if kinds is None else _or_word({**plain, "required": ["kind"]}, kinds)


def _or_word(node: dict[str, Any], words: Iterable[str]) -> dict[str, Any]:
    outside: dict[str, Any] = {name: node[name] for name in ("description", "default") if name in node}
    inside = {name: part for name, part in node.items() if name not in outside}
    return {**outside, "anyOf": [{"enum": sorted(words)}, inside]}
