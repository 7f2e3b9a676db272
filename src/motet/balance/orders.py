"""The random order in which each task meets the others: a function of the task's name and of what it is seeded with.

K tasks.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from motet.core.seed import generator


def random_orders(tasks: Sequence[str], *parts: str | int) -> npt.NDArray[np.int64]:
    """`[K, K-1]`: row i holds the places in `tasks` of all tasks but the i-th, in an order drawn for it alone.

    The order depends on `parts`, on the name of task i and on which others there are, not on how they are listed.

    >>> random_orders(["a", "b"], 0, "pcgrad", 7).tolist()
    [[1], [0]]
    """
    num_tasks = len(tasks)
    by_name = np.tile(np.array(sorted(range(num_tasks), key=lambda place: tasks[place]), np.int64), (num_tasks, 1))
    others = by_name[by_name != np.arange(num_tasks)[:, None]].reshape(num_tasks, num_tasks - 1)
    return np.stack([generator(*parts, task).permutation(rest) for task, rest in zip(tasks, others, strict=True)])
