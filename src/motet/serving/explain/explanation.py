"""One row, its answers, and why: contributions of inputs, and saliency within them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from motet.core.flow import Batch
from motet.data import Table, as_json, cells_as_read
from motet.inputs.base import InputSpec, Preparation
from motet.model import Network
from motet.model.columns import input_place
from motet.model.explain import Worth, explained
from motet.model.explain_saliency import saliency
from motet.serving.answer import answer_table
from motet.serving.explain.parts import Saliency, as_plain, part_weights
from motet.serving.explain.worth import worth_of
from motet.tasks import Codec
from motet.tasks.base import TaskSpec


@dataclass(frozen=True, slots=True)
class Explanation:
    """Of each task the answer, what each present input adds to it, and where within the inputs that comes from.

    Contributions are Shapley values of the probability of what is answered, or of the number in the user's units, and
    sum to what all inputs say less what is said without any (see `motet.model.explain.shares`). None: no one number
    speaks for the answer (several numbers, boxes, written text, ...). `saliency` is by task and input, of texts,
    pictures and sounds whose encoder motet trains from scratch (see `motet.model.explain_saliency.saliency`).
    """

    answers: Mapping[str, Any]
    contributions: Mapping[str, Mapping[str, float] | None]
    saliency: Mapping[str, Mapping[str, Saliency]]

    def to_json(self) -> str:
        """Everything as JSON: pieces of text as pairs of text and weight, heat as lists of rows."""
        parts = {task: {name: as_plain(one) for name, one in found.items()} for task, found in self.saliency.items()}
        plain = {"answers": as_json(dict(self.answers)), "contributions": self.contributions, "saliency": parts}
        return json.dumps(plain, ensure_ascii=False)


def worths_of(codecs: Mapping[str, Codec]) -> dict[str, Worth]:
    """What speaks for the answers, of the tasks that have it."""
    found = {task: worth_of(codec) for task, codec in codecs.items()}
    return {task: worth for task, worth in found.items() if worth is not None}


def explain_row(
    network: Network,
    batch: Batch,
    table: Table,
    *,
    inputs: Mapping[str, tuple[InputSpec, Preparation]],
    tasks: Mapping[str, tuple[TaskSpec, Codec]],
    root: Path | None,
) -> Explanation:
    """The explanation of the only row of a table, which is the only one of the batch."""
    worths = worths_of({task: codec for task, (_, codec) in tasks.items()})
    collected, shares = explained(network, [batch], worths)
    said = answer_table(table, collected, tasks=tasks, inputs=inputs, id_column=None, root=root).to_pylist()[0]
    found: dict[str, dict[str, Saliency]] = {task: {} for task in worths}
    for name in sorted(inputs) if worths else ():
        spec, preparation = inputs[name]
        if bool(collected.present[name][0]):
            cell = next(iter(cells_as_read(table, input_place(name, spec), np.array([0]), root=root)))
            for task, one in _saliency(network, batch, name, preparation, worths, cell).items():
                found[task][name] = one
    contributions = {task: _finite(shares[task]) if task in worths else None for task in tasks}
    return Explanation({name: value for name, value in said.items() if name != "row"}, contributions, found)


def _finite(shares: Mapping[str, np.ndarray]) -> dict[str, float]:
    return {name: float(one[0]) for name, one in shares.items() if np.isfinite(one[0])}


def _saliency(
    network: Network, batch: Batch, name: str, preparation: Preparation, worths: Mapping[str, Worth], cell: object
) -> dict[str, Saliency]:
    device = next(network.parameters()).device
    felt = saliency(network, batch.to(device).inputs, name, preparation=preparation, worths=worths)
    parts = {task: part_weights(preparation, cell, one[0]) for task, one in (felt or {}).items()}
    return {task: one for task, one in parts.items() if one is not None}
