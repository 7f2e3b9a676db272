"""What a run trains before it trains its own model."""

from collections.abc import Callable
from pathlib import Path

from motet.fusion import Late
from motet.model import Network
from motet.run.prepare import Prepared
from motet.spec import Experiment
from motet.study.search import check_validated, search, searches
from motet.study.stacking import stack
from motet.training import Progress


def before_training(
    experiment: Experiment, *, out: Path, progress: Progress
) -> Callable[[Prepared, Network], Prepared]:
    """What makes the untrained network ready: `search` and `stack` where the experiment asks for them, else nothing.

    It gives back what was prepared, with what was found in its experiment.
    Raises `SpecError` for what can be known to be wrong before the table is read.
    """
    if searches(experiment):
        check_validated(experiment)

    def ready(prepared: Prepared, network: Network) -> Prepared:
        if searches(experiment):
            prepared = search(prepared, network, out=out, progress=progress)
        if isinstance(experiment.fusion, Late) and experiment.fusion.rule == "stacking":
            stack(prepared, network, out=out, progress=progress)
        return prepared

    return ready
