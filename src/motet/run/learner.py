"""What a process trains: the network itself, or its part of one whose weights are divided between processes."""

import copy

from motet.core.together import Together
from motet.model import Network
from motet.spec import Experiment
from motet.training import TrainingSpec, compile_encoders, pick_device
from motet.training.sharding import check_divisible, compares_at_layer, divide, is_divided, whole


def check_learner(experiment: Experiment, network: Network, together: Together | None) -> None:
    """Refuse, by `SpecError`, what can not be trained with divided weights."""
    if experiment.training.shard and together is not None and together.several:
        check_divisible(network, watched=experiment.balance.watch not in ("auto", 0))


def learner(network: Network, spec: TrainingSpec, together: Together) -> Network:
    """What this process trains, on its device.

    Where weights are divided the first process divides a copy, and what is trained is put together in the network
    itself by `put_together`. Gradients are then watched at a layer, or where tasks meet at none, not at all.
    """
    device = pick_device(spec.device)
    shard = spec.shard and together.several
    if shard:
        network.junction.watch.at = "layer"
        if not compares_at_layer(network):
            network.junction.watch.every = 0
    trained = copy.deepcopy(network) if shard and together.rank == 0 else network
    trained.junction.together = together
    if shard:
        divide(trained, together, device=device)
    trained = trained.to(device)
    if spec.compile:
        compile_encoders(trained)
    return trained


def put_together(trained: Network, network: Network) -> None:
    """Give the first process the whole of what was trained; every process has to call it."""
    if not any(map(is_divided, trained.parameters())):
        return
    found = whole(trained.state_dict(), keep=trained is not network)
    if found:
        network.load_state_dict(found)
        network.to(next(trained.parameters()).device)
