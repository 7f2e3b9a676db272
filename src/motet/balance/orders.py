"""The random order in which each task meets the others: a function of the tasks' names and of what it is seeded with.

K tasks.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from motet.core.seed import generator


def random_orders(tasks: Sequence[str], *parts: str | int) -> npt.NDArray[np.int64]:
    """`[K, K-1]`: row i holds the places in `tasks` of all tasks but the i-th, in an order drawn for it alone.

    The orders depend on `parts` and on which tasks there are, not on how they are listed.

    >>> random_orders(["a", "b"], 0, "pcgrad", 7).tolist()
    [[1], [0]]
    """
    num_tasks = len(tasks)
    by_name = np.array(sorted(range(num_tasks), key=lambda place: tasks[place]), np.int64)
    drawn = generator(*parts).random((num_tasks, num_tasks))
    np.fill_diagonal(drawn, np.inf)  # none meets itself
    orders = np.empty((num_tasks, num_tasks - 1), np.int64)
    orders[by_name] = by_name[drawn.argsort(axis=1)[:, :-1]]
    return orders
