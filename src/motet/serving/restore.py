"""A bundle -> the network that was saved in it. Components come from the closed registry of the rooms, by `kind`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from torch import Tensor

from motet.artifact import Bundle
from motet.balance import AnyModalityBalancer, Fixed
from motet.core.errors import BundleError, MotetError
from motet.fusion import AnyFusion
from motet.inputs import AnyInput
from motet.inputs.base import InputSpec, Preparation
from motet.model import Network, assemble
from motet.model.share import owners
from motet.sharing import AnySharing
from motet.tasks import AnyTask
from motet.tasks.base import Codec, TaskSpec

Nested: TypeAlias = float | list[float] | list[list[float]] | list[list[list[float]]]


@dataclass(frozen=True, slots=True)
class Restored:
    """A network ready to answer, and what turns cells into its inputs and its outputs into answers."""

    network: Network
    inputs: Mapping[str, tuple[InputSpec, Preparation]]
    tasks: Mapping[str, tuple[TaskSpec, Codec]]
    facts: Mapping[str, Any]


class _Intervals(BaseModel):
    """How the run found its intervals."""

    group: str | None = None
    seed: int = 0
    resamples: int = Field(default=200, ge=1)
    level: float = Field(default=0.95, gt=0, lt=1)


class _Facts(BaseModel):
    """What answering needs of a bundle's facts; there may be more."""

    id: str | None
    on_bad_cell: Literal["error", "skip"]
    max_bad_fraction: float = Field(ge=0, le=1)
    priors: dict[str, Nested]
    intervals: _Intervals | None = None
    fitted_on: dict[str, str | None] = {}


def restore(bundle: Bundle) -> Restored:
    """Build the network and load its weights; raises `BundleError` where parts do not fit together."""
    try:
        _Facts.model_validate(bundle.facts)
        inputs = _inputs(TypeAdapter(dict[str, AnyInput]).validate_python(bundle.model["inputs"]), bundle.preparations)
        tasks = _tasks(TypeAdapter(dict[str, AnyTask]).validate_python(bundle.model["tasks"]), bundle.codecs)
        balance = bundle.model["balance"]
        network = assemble(
            inputs=inputs,
            tasks=tasks,
            fusion=TypeAdapter(AnyFusion).validate_python(bundle.model["fusion"]),
            sharing=TypeAdapter(AnySharing).validate_python(bundle.model["sharing"]),
            task_balance=Fixed(),  # tasks are balanced in training only; nothing of it is in the bundle
            modality_balance=TypeAdapter(AnyModalityBalancer).validate_python(balance["modalities"]),
        )
        _load(network, bundle.weights)
    except MotetError as error:
        raise BundleError(f"the bundle's parts do not fit together: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"the bundle holds what this motet can not read: {where}: {first['msg']}") from None
    except Exception as error:  # whatever a stranger's values make a library raise: it is the bundle that is wrong
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BundleError(f"the bundle's parts do not fit together: {reason}") from None
    return Restored(network.eval(), inputs, tasks, bundle.facts)


def _load(network: Network, weights: Mapping[str, Tensor]) -> None:
    found = network.load_state_dict(dict(weights), strict=False)
    wrong = [name for name in found.missing_keys + found.unexpected_keys if not name.startswith("junction.")]
    if wrong:
        raise BundleError(f"weights of {', '.join(wrong[:3])} are missing or have no place")


def _inputs(
    specs: Mapping[str, InputSpec], states: Mapping[str, Mapping[str, Any]]
) -> dict[str, tuple[InputSpec, Preparation]]:
    """Inputs that share have the very preparation of the owner."""
    owner = owners(specs)
    restored = {name: specs[name].restore(dict(states[name])) for name in set(owner.values())}
    return {name: (spec, restored[owner[name]]) for name, spec in specs.items()}


def _tasks(specs: Mapping[str, TaskSpec], states: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[TaskSpec, Codec]]:
    return {name: (spec, spec.restore(dict(states[name]))) for name, spec in specs.items()}
