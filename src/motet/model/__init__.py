"""Components + widths -> network, and network + batch -> answers."""

from motet.model.assemble import assemble
from motet.model.infer import Collected, answers, collect, recombining
from motet.model.network import Decision, Network
from motet.model.variant import Variant, exchanged

__all__ = ["Collected", "Decision", "Network", "Variant", "answers", "assemble", "collect", "exchanged", "recombining"]
