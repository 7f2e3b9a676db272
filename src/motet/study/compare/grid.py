"""`--over` -> the variants of an experiment that are compared: every combination of the values, readably named."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from motet.core.checks import did_you_mean
from motet.core.errors import SpecError
from motet.spec import Experiment, load
from motet.spec.explain import shown

SINGLE = "single"
UNPAIRED = ("training.seed", "data.split_seed", "data.valid", "data.test", "data.split", "data.group")
"""Fields that say which rows are scored, or that comparing sets itself."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A field of the experiment, as a dotted path, and its values."""

    path: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Variant:
    """One experiment among those compared; `folder` is its name as part of a path, `only` the task of a single one."""

    name: str
    folder: str
    changes: Mapping[str, Any]
    experiment: Experiment
    only: str | None = None


def axes_of(over: "Mapping[str, Any] | Sequence[str]") -> tuple[list[Axis], bool]:
    """The axes, and whether one model per task is asked for too.

    A string is "single", or a path and its values as a YAML list without brackets.

    >>> axes_of(["fusion={kind: late, rule: product},concat", "single"])
    ([Axis(path='fusion', values=({'kind': 'late', 'rule': 'product'}, 'concat'))], True)
    """
    pairs = dict(over) if isinstance(over, Mapping) else dict(_parsed(one) for one in over)
    if not isinstance(over, Mapping) and len(pairs) < len(over):
        raise SpecError("--over: a field is named twice; give all its values at once, separated by commas")
    single = bool(pairs.pop(SINGLE, False))
    if not pairs and not single:
        raise SpecError(
            "--over: nothing to compare; expected a field and values, such as fusion=concat,gated, or single"
        )
    return [_axis(path, values) for path, values in pairs.items()], single


def variants_of(document: Mapping[str, Any], axes: Sequence[Axis]) -> list[Variant]:
    """Every combination of values, the last axis fastest; raises `SpecError` for one that is no experiment.

    None is called `single`, which is the name of the single models.
    """
    found: dict[str, Variant] = {}
    for values in itertools.product(*(axis.values for axis in axes)):
        changes = {axis.path: value for axis, value in zip(axes, values, strict=True)}
        changed: Any = document
        for path, value in changes.items():
            changed = _with(changed, path.split("."), value, at=())
        words = [_words(path, value) for path, value in changes.items()]
        name = _unused(" + ".join(words) or "joint", [*found, SINGLE])
        folder = _unused(_slug(name), [one.folder for one in found.values()])
        found[name] = Variant(name, folder, changes, load(changed))
    return list(found.values())


def singles_of(variant: Variant, *, beside: Sequence[Variant] = ()) -> list[Variant]:
    """For each task the same experiment with this task alone; between one task there is nothing to balance.

    None has the name or the folder of a variant `beside` it.
    """
    from motet.spec import Balance

    experiment = variant.experiment
    balance = Balance(modalities=experiment.balance.modalities, watch=0)
    singles: list[Variant] = []
    for task, spec in experiment.tasks.items():
        resample = experiment.data.resample if experiment.data.resample == task else None
        update = {
            "tasks": {task: spec},
            "balance": balance,
            "data": experiment.data.model_copy(update={"resample": resample}),
        }
        changes = {"tasks": [task], **({"balance.tasks": "fixed"} if len(experiment.tasks) > 1 else {})}
        folder = _unused(f"single-{_slug(task)}", [one.folder for one in (*beside, *singles)])
        name = _unused(f"single {task}", [one.name for one in (*beside, *singles)])
        singles.append(Variant(name, folder, changes, experiment.model_copy(update=update), only=task))
    return singles


def _parsed(text: str) -> tuple[str, Any]:
    import yaml

    path, equals, values = text.partition("=")
    if text.strip() == SINGLE:
        return SINGLE, True
    if not equals or not all(path.strip().split(".")):
        nearest = did_you_mean(text.strip(), [SINGLE]) if not equals else ""
        raise SpecError(f"--over {text!r}: expected FIELD=VALUE,VALUE such as fusion=concat,gated, or single{nearest}")
    try:
        return path.strip(), yaml.safe_load(f"[{values}]")
    except yaml.YAMLError:
        raise SpecError(f"--over {text!r}: {values!r} are not values; separate them by commas") from None


def _axis(path: str, values: Any) -> Axis:
    values = list(values) if isinstance(values, Sequence) and not isinstance(values, str) else [values]
    if path in UNPAIRED:
        hint = "; --seeds says how many there are" if path == "training.seed" else ""
        raise SpecError(f"--over {path}: variants are compared on the same scored rows, so it can not vary{hint}")
    if not values:
        raise SpecError(f"--over {path}: expected at least one value")
    for place, value in enumerate(values):
        if value in values[:place]:
            raise SpecError(f"--over {path}: {shown(value)} is given twice")
    return Axis(path, tuple(values))


def _with(value: Any, names: Sequence[str], new: Any, *, at: tuple[str, ...]) -> Any:
    """The same with `new` at a path; what stands there in short is spelled out."""
    if not names:
        return new
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in (*value.model_fields_set, *_kind(value))}
    if value is None:
        value = {}
    elif at == ("data",) and not isinstance(value, Mapping):
        value = {"train": value}
    elif isinstance(value, str):
        value = {"kind": value}
    if not isinstance(value, Mapping):
        raise SpecError(f"--over {'.'.join((*at, *names))}: {'.'.join(at)} is {shown(value)}, which has no fields")
    if at in (("inputs",), ("tasks",)) and len(names) > 1 and names[0] not in value:
        raise SpecError(
            f"--over {'.'.join((*at, *names))}: {names[0]!r} is not among the {at[0]}" + did_you_mean(names[0], value)
        )
    return {**value, names[0]: _with(value.get(names[0]), names[1:], new, at=(*at, names[0]))}


def _kind(model: BaseModel) -> tuple[str, ...]:
    return ("kind",) if "kind" in type(model).model_fields else ()


def _words(path: str, value: Any) -> str:
    """A value as part of a name: a word says itself, a number also of what."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_unset=True) | {"kind": getattr(value, "kind", "")}
    if isinstance(value, Mapping):
        rest = ", ".join(f"{name} {item}" for name, item in value.items() if name != "kind")
        kind = str(value.get("kind", ""))
        return f"{kind} ({rest})" if kind and rest else kind or rest
    if isinstance(value, str):
        return value
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return f"{path.split('.')[-1]} {text}"


def _slug(name: str) -> str:
    parts = (re.sub(r"[^A-Za-z0-9._-]+", "-", part).strip("-.") for part in name.split(" + "))
    return "+".join(parts).strip("+") or "variant"


def _unused(name: str, used: Any) -> str:
    taken = {one.lower() for one in used}
    if name.lower() not in taken:
        return name
    return next(f"{name}-{number}" for number in itertools.count(2) if f"{name}-{number}".lower() not in taken)
