"""The closed registry: every `kind` of every room, found through the rooms' unions. Nothing is imported by name."""

from types import MappingProxyType
from typing import Any, get_args

from motet import balance, fusion, inputs, sharing, tasks
from motet.core.component import ComponentSpec


def specs_of(union: Any) -> dict[str, type[ComponentSpec]]:
    """`kind` -> Spec class, for a room's annotated union, or the only Spec of a room that has one."""
    members = get_args(union)[0] if get_args(union) else union
    classes = get_args(members) or (members,)
    return {cls.word(): cls for cls in classes}


ROOMS: MappingProxyType[str, dict[str, type[ComponentSpec]]] = MappingProxyType(
    {
        "inputs": specs_of(inputs.AnyInput),
        "fusion": specs_of(fusion.AnyFusion),
        "sharing": specs_of(sharing.AnySharing),
        "tasks": specs_of(tasks.AnyTask),
        "balance.tasks": specs_of(balance.AnyTaskBalancer),
        "balance.modalities": specs_of(balance.AnyModalityBalancer),
    }
)


def listing() -> dict[str, list[dict[str, str]]]:
    """What `motet list --json` prints."""
    return {
        room: [{"kind": word, "summary": cls.summary(), "paper": cls.paper} for word, cls in specs.items()]
        for room, specs in ROOMS.items()
    }


def article(room: str | None) -> str:
    """How an error names a member of the room: "a task"."""
    names = {
        "inputs": "an input",
        "tasks": "a task",
        "fusion": "a fusion",
        "sharing": "a way of sharing",
        "balance.tasks": "a task balancer",
        "balance.modalities": "a modality balancer",
    }
    return names.get(room or "", "a kind")
