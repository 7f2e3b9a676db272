"""Can it be trusted: what the answers on the scored rows say of probabilities, of sets, and of weak spots."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from motet.evaluation.abstention import abstention
from motet.evaluation.calibration import calibration
from motet.evaluation.coverage import coverage
from motet.evaluation.rowwise import row_scores
from motet.evaluation.sampling import Sampling
from motet.evaluation.slices import slices
from motet.evaluation.subgroups import LEAST_ROWS, subgroups
from motet.evaluation.suspects import suspects
from motet.evaluation.values import values_of
from motet.model.columns import input_place
from motet.run.prepare import Prepared
from motet.run.scored import Scored
from motet.tasks.base import Codec
from motet.tasks.classes import ClassCodec

Cells = Sequence[object]
SLICED = ("category", "number")
"""The kinds of inputs whose columns slices are made of; of the others, whether the input is present."""


def trust_of(scored: Scored, *, place: Callable[[int], str]) -> dict[str, dict[str, Any]]:
    """By task what there is for its kind: "calibration", "coverage", "abstention", "suspects", "slices", "subgroups".

    `place` names a row of the table. Slices are of the inputs, and of the columns that `evaluation.subgroups` names, a
    task's own labels left out: how well each label is told is no weak spot among the rows.
    """
    fitted = scored.fitted
    asked = {name: fitted.table.cells((name,), rows=scored.rows) for name in scored.spec.subgroups}
    cells = _of_inputs(scored) | asked
    found, parts = {}, fitted_on(scored.prepared)
    for task, (spec, codec) in fitted.tasks.items():
        output, target = scored.scored(task)
        places = np.flatnonzero(scored.found.labelled[task].numpy())
        rows = scored.rows[places].tolist()
        own = of_answers(
            codec,
            output,
            target,
            sampling=Sampling(scored.seed, scored.spec.resamples, scored.spec.level, scored.groups_of(task)),
            fitted_on=parts[task],
            same_rows=scored.part == "valid",
            place=partial(_placed, place, rows),
        )
        told = set(fitted.columns[1][task].names)
        of_others = [{name: one for name, one in columns.items() if name not in told} for columns in (cells, asked)]
        found[task] = own | _weak_spots(scored, task, spec.primary, places, *of_others)
    return found


def of_answers(
    codec: Codec,
    output: Tensor,
    target: Tensor,
    *,
    sampling: Sampling,
    fitted_on: str | None,
    same_rows: bool | None,
    place: Callable[[int], str],
) -> dict[str, Any]:
    """What takes no more than the answers of N labelled rows, of which `place` names each."""
    found: dict[str, Any] = {
        "calibration": calibration(codec, output, target, fitted_on=fitted_on, same_rows=same_rows),
        "coverage": coverage(codec, output, target, sampling=sampling, same_rows=same_rows),
        "abstention": abstention(codec, output, target, sampling=sampling) or None,
    }
    if isinstance(codec, ClassCodec):
        found["suspects"] = suspects(codec, output, target, place=place)
    return {name: one for name, one in found.items() if one is not None}


def trust_of_table(
    codec: Codec,
    output: Tensor,
    target: Tensor,
    rows: Sequence[int],
    *,
    sampling: Sampling,
    fitted_on: str | None,
    place: Callable[[int], str],
) -> dict[str, Any]:
    """The same of another table, without slices; `rows` are the numbers of its labelled rows.

    Whether these are the rows that anything was fitted on, nobody knows.
    """
    placed = partial(_placed, place, rows)
    return of_answers(codec, output, target, sampling=sampling, fitted_on=fitted_on, same_rows=None, place=placed)


def facts_of(prepared: Prepared) -> dict[str, Any]:
    """What a bundle keeps, so that another table is scored alike: how intervals are found, and what was fitted on."""
    spec = prepared.fitted.experiment
    intervals: dict[str, Any] = {"group": spec.data.group, "seed": spec.training.seed}
    intervals |= {"resamples": spec.evaluation.resamples, "level": spec.evaluation.level}
    return {"intervals": intervals, "fitted_on": fitted_on(prepared)}


def fitted_on(prepared: Prepared) -> dict[str, str | None]:
    """By task the part of the table on whose labels its temperature and bounds were fitted; None: on none."""
    store, rows = prepared.dataset.store, prepared.fitted.splits.valid
    places = store.places(rows)
    labelled = {task: bool(store.columns[task].present[places].any()) for task in prepared.fitted.tasks}
    return {task: "valid" if there else None for task, there in labelled.items()}


def _placed(place: Callable[[int], str], rows: Sequence[int], row: int) -> str:
    return place(rows[row])


def _weak_spots(
    scored: Scored,
    task: str,
    metric: str,
    places: np.ndarray,
    cells: Mapping[str, Cells],
    asked: Mapping[str, Cells],
) -> dict[str, Any]:
    """Slices, where a metric can be said of single rows, and the subgroups asked for; `places` are labelled."""
    codec, (output, target) = scored.fitted.tasks[task][1], scored.scored(task)
    sampling = Sampling(scored.seed, scored.spec.resamples, scored.spec.level, scored.groups_of(task))
    columns = {name: values_of([own[place] for place in places], least=LEAST_ROWS) for name, own in cells.items()}
    scores = row_scores(codec, output, target)
    found: dict[str, Any] = {}
    if scores is not None:
        found["slices"] = slices(scores, columns, sampling=sampling)
    if asked and len(places):
        own = {name: columns[name] for name in asked}
        found["subgroups"] = subgroups(codec, metric, output, target, own, sampling=sampling)
    return found


def _of_inputs(scored: Scored) -> dict[str, Cells]:
    """By column the cells of inputs that slices are made of, and by input whether others are present."""
    cells: dict[str, Cells] = {}
    for name, (spec, _) in scored.fitted.inputs.items():
        columns = input_place(name, spec).names
        if spec.kind in SLICED and len(columns) == 1:
            column = columns[0]
            cells[column] = scored.fitted.table.cells((column,), missing=spec.missing, rows=scored.rows)
        else:
            cells[name] = ["present" if there else None for there in scored.found.present[name].tolist()]
    return cells
