"""Components + widths -> network, and network + batch -> answers."""

from motet.model.assemble import assemble
from motet.model.infer import Collected, answers, collect
from motet.model.network import Decision, Network

__all__ = ["Collected", "Decision", "Network", "answers", "assemble", "collect"]
