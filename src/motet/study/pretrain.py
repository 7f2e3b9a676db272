"""Pretraining: the user's own experiment with tasks that need no label, so that every row can be learned from."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from motet.core.errors import SpecError
from motet.fusion import Hybrid, Late
from motet.fusion.base import FusionSpec
from motet.inputs import Text
from motet.inputs.base import InputSpec
from motet.run.columns import as_asked
from motet.spec import Balance, Experiment, load, read_document
from motet.tasks import Matching, Reconstruction
from motet.tasks.base import TaskSpec
from motet.tasks.reconstruction.spec import ABLE

MATCHED = ("audio", "image", "series", "text", "video")
"""Kinds of inputs that are rich enough to tell rows apart by."""
MOST_IN_ALL_PAIRS = 4
"""Up to so many of these each is matched with each; of more, each with the next, around."""


def unlabelled(experiment: Experiment) -> Experiment:
    """The experiment without its labels: the same rows, inputs, fusion, sharing and training, other tasks.

    Its matching and reconstruction tasks stay; a `column` that says which rows are about the same thing is a label and
    is left out. Where there are none of these: with two or more inputs of the kinds in `MATCHED` a matching task for
    each pair of them, else a reconstruction of each input, of a text from its tokens, some of which are hidden (masked
    modelling). What goes with labels is left out: `balance`, `data.resample`, `data.weight`, `training.mix`, how the
    decisions of a late or hybrid fusion are joined, and `training.init_from`, which the same file may have for the
    training that follows. What the tasks that are left out need of an input, such as words that are told apart where a
    task tags them, it has here as well: the training that follows takes it as it was fitted.

    Where the fusion has losses of its own that need no label, they are part of it and are learned beside these tasks.
    Raises `SpecError` where no input can be reconstructed.

    >>> inputs = {"photo": "image", "note": "text", "age": "number"}
    >>> first = unlabelled(Experiment(data={"train": "a.csv"}, inputs=inputs, tasks={"sold": "binary"}))
    >>> {name: task.between for name, task in first.tasks.items()}
    {'matching of note and photo': ('photo', 'note')}
    """
    inputs = as_asked(experiment.inputs, experiment.tasks)
    tasks = {name: _without_labels(one) for name, one in experiment.tasks.items() if _needs_no_label(one)}
    return experiment.model_copy(
        update={
            "data": experiment.data.model_copy(update={"resample": None, "weight": None}),
            "inputs": inputs,
            "tasks": tasks or default_tasks(inputs),
            "fusion": _without_rule(experiment.fusion),
            "balance": Balance(),
            "training": experiment.training.model_copy(update={"init_from": None, "mix": None}),
        }
    )


def load_unlabelled(source: str | Path | Mapping[str, Any] | Experiment) -> Experiment:
    """As `spec.load`, without labels; a document may leave out its tasks.

    >>> list(load_unlabelled({"data": "t.csv", "inputs": {"age": "number"}}).tasks)
    ['reconstruction of age']
    """
    if isinstance(source, Experiment):
        return unlabelled(source)
    document = read_document(Path(source)) if isinstance(source, str | Path) else source
    if not isinstance(document, Mapping) or document.get("tasks"):
        return unlabelled(load(source))
    return unlabelled(load({**document, "tasks": {"any": "binary"}}))


def default_tasks(inputs: Mapping[str, InputSpec]) -> dict[str, TaskSpec]:
    """The tasks of inputs that say nothing of their own; no input can have their names, nor two of them the same.

    >>> from motet.inputs import Number, Text
    >>> {name: task.read for name, task in default_tasks({"note": Text(), "age": Number()}).items()}
    {'reconstruction of age': 'features', 'reconstruction of note': 'tokens'}
    """
    matched = [name for name in sorted(inputs) if inputs[name].kind in MATCHED]
    if len(matched) > 1:
        kinds = {name: inputs[name].kind for name in inputs}
        return {
            _free(f"matching of {one} and {other}", inputs): Matching(between=_in_order(one, other, kinds))
            for one, other in _pairs(matched)
        }
    able = [name for name in sorted(inputs) if inputs[name].kind in ABLE and not _read_by_others(inputs[name])]
    if not able:
        kinds = {name: spec.kind for name, spec in inputs.items()}
        raise SpecError(
            f"inputs: of kinds {', '.join(sorted(set(kinds.values())))} none can be reconstructed, so there is nothing "
            "to learn without labels; name a task of kind matching or reconstruction, or train with labels"
        )
    return {
        _free(f"reconstruction of {name}", inputs): Reconstruction(
            of=name, read="tokens" if inputs[name].kind == "text" else "features"
        )
        for name in able
    }


def _read_by_others(spec: InputSpec) -> bool:
    """Whether it is a text in the tokens of a pretrained model, which none of motet's heads can write."""
    return isinstance(spec, Text) and spec.pretrained is not None


def _pairs(names: list[str]) -> Iterator[tuple[str, str]]:
    if len(names) <= MOST_IN_ALL_PAIRS:
        return combinations(names, 2)
    return zip(names, [*names[1:], names[0]], strict=True)


def _in_order(one: str, other: str, kinds: Mapping[str, str]) -> tuple[str, str]:
    """As a matching task between these two alone would have them."""
    return Matching().reading({name: kinds[name] for name in (one, other)}).reads  # type: ignore[return-value]


def _free(name: str, taken: Mapping[str, object]) -> str:
    while name in taken:
        name += "'"
    return name


def _needs_no_label(task: TaskSpec) -> bool:
    return isinstance(task, Matching | Reconstruction)


def _without_labels(task: TaskSpec) -> TaskSpec:
    return task.model_copy(update={"column": None, "missing": ()}) if isinstance(task, Matching) else task


def _without_rule(fusion: FusionSpec) -> FusionSpec:
    """Rules join what streams say of labels; stacking would train models to find out."""
    if isinstance(fusion, Late):
        folds = Late.model_fields["folds"].default
        return fusion.model_copy(update={"rule": "mean", "separate": False, "folds": folds})
    return fusion.model_copy(update={"rule": "mean"}) if isinstance(fusion, Hybrid) else fusion
