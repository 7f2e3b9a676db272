"""The scored rows of each of several tables by themselves."""

from collections.abc import Mapping

import torch

from motet.data import Table
from motet.model import Collected
from motet.tasks.base import Codec, TaskSpec

ByTask = dict[str, dict[str, float]]


def scores_by_table(
    table: Table, collected: Collected, tasks: Mapping[str, tuple[TaskSpec, Codec]]
) -> dict[str, ByTask]:
    """By table and task, every metric on those of the collected rows that are of the table and have the label.

    Empty where all rows are of one table; without the tasks that are labelled nowhere in a table.
    """
    places = table.by_table(collected.rows.numpy())
    if len(places) < 2:
        return {}
    found: dict[str, ByTask] = {}
    for name, own in places.items():
        here = torch.zeros(len(collected.rows), dtype=torch.bool)
        here[torch.from_numpy(own)] = True
        rows = {task: here & collected.labelled[task] for task in sorted(tasks) if task in collected.labelled}
        found[name] = {
            task: {
                one.name: one.compute(collected.outputs[task][which], collected.targets[task][which]) for one in metrics
            }
            for task, which in rows.items()
            if bool(which.any())
            for metrics in [tasks[task][1].metrics()]
        }
    return found
