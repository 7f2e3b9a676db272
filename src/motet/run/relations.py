"""What a run found out about how its tasks relate, as its files hold it."""

from typing import Any

from motet.balance.relations import Relations
from motet.model import Network
from motet.training import Position


def relations_of(network: Network, position: Position) -> dict[str, Any]:
    """`relations` of the report, which `relations.json` holds as well; empty where gradients were not compared."""
    junction = network.junction
    if not junction.watch.every:
        return {}
    found = {"tasks": list(junction.tasks), "at": junction.watch.at, "every": junction.watch.every}
    return {"relations": found | Relations(position.relations).document()}
