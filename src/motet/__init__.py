"""motet: one model that listens to many voices and does many jobs.

>>> import motet
>>> experiment = motet.Experiment(
...     data={"train": [{"age": 20, "bought": "no"}, {"age": 60, "bought": "yes"}]},
...     inputs={"age": motet.inputs.Number()},
...     tasks={"bought": motet.tasks.Binary()},
... )
>>> experiment.tasks["bought"].kind
'binary'

Names are loaded when first used, so that `import motet` costs next to nothing.
"""

from typing import TYPE_CHECKING, Any

from motet.core.version import __version__ as __version__

if TYPE_CHECKING:
    from motet import balance, fusion, inputs, sharing, tasks
    from motet.api import check, compare, demo, evaluate, fit, group, init, load, predict, pretrain, report
    from motet.data import DataSpec
    from motet.estimator import MotetEstimator
    from motet.spec import Balance, Experiment
    from motet.training import TrainingSpec

_HOMES = {
    **dict.fromkeys(
        ("check", "compare", "demo", "evaluate", "fit", "group", "init", "load", "predict", "pretrain", "report"),
        "motet.api",
    ),
    "Balance": "motet.spec",
    "DataSpec": "motet.data",
    "Experiment": "motet.spec",
    "MotetEstimator": "motet.estimator",
    "TrainingSpec": "motet.training",
}
_ROOMS = ("balance", "fusion", "inputs", "sharing", "tasks")

__all__ = [
    "Balance",
    "DataSpec",
    "Experiment",
    "MotetEstimator",
    "TrainingSpec",
    "balance",
    "check",
    "compare",
    "demo",
    "evaluate",
    "fit",
    "fusion",
    "group",
    "init",
    "inputs",
    "load",
    "predict",
    "pretrain",
    "report",
    "sharing",
    "tasks",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name in _ROOMS:
        return importlib.import_module(f"motet.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'motet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
