"""The point of least norm in the convex hull of K vectors, from their Gram matrix: exact, in float64, on the CPU.

Several balancing methods end in this quadratic programme.
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

RIDGE = 1e-12
SLACK = 1e-13


def min_norm_weights(gram: Array) -> Array:
    """`argmin_w w^T G w` over the simplex, for a positive semidefinite G `[K, K]`.

    The programme is solved as `min_v 1/2 v^T G v - 1^T v, v >= 0`, whose optimality conditions are the same up to the
    scale of v: w = v / sum(v). G is scaled to a unit diagonal first, so rows of very different length keep their
    digits, and a ridge of 1e-12 makes the answer unique and finite where rows are equal or opposed. Vectors of norm
    zero are themselves the point of least norm; the caller leaves them out if they are not meant to win.

    >>> min_norm_weights(np.array([[4.0, 0.0], [0.0, 1.0]])).round(6).tolist()
    [0.2, 0.8]
    """
    lengths = np.sqrt(np.diag(gram))
    if not lengths.all():
        shortest = lengths == 0
        return np.asarray(shortest / shortest.sum())
    cosines = gram / np.outer(lengths, lengths)
    weights = _nonnegative(_definite(cosines), lengths.min() / lengths) / lengths
    return np.asarray(weights / weights.sum())


def duality_gap(gram: Array, weights: Array) -> float:
    """`w^T G w - min_k (G w)_k`: zero at the optimum, and an upper bound of what is left to gain.

    >>> duality_gap(np.eye(2), np.array([0.5, 0.5]))
    0.0
    """
    slopes = gram @ weights
    return float(weights @ slopes - slopes.min())


def _definite(cosines: Array) -> Array:
    """The matrix with a ridge: a Gram of float32 products may be a little indefinite, and is lifted by that much."""
    ridged = cosines + RIDGE * np.eye(len(cosines))
    try:
        np.linalg.cholesky(ridged)
    except np.linalg.LinAlgError:
        ridged -= min(0.0, float(np.linalg.eigvalsh(cosines)[0])) * np.eye(len(cosines))
    return np.asarray(ridged)


def _nonnegative(matrix: Array, target: Array) -> Array:
    """`argmin_u 1/2 u^T M u - t^T u, u >= 0`, for M positive definite: the active set method of Lawson & Hanson (1974).

    If all coordinates are positive at the optimum, one solve finds it. Otherwise each round frees the coordinate with
    the steepest descent and moves to the optimum of the free ones, stopping at
    the first that would turn negative, which is then fixed at zero again.
    """
    u = np.linalg.solve(matrix, target)
    if (u > 0).all():
        return np.asarray(u)
    u = np.zeros(len(target))
    free = np.zeros(len(target), dtype=bool)
    for _ in range(3 * len(target)):
        descent = np.where(free, -np.inf, target - matrix @ u)
        steepest = int(descent.argmax())
        if descent[steepest] <= SLACK:
            break
        free[steepest] = True
        u = _advance(matrix, target, u, free)
    return u


def _advance(matrix: Array, target: Array, u: Array, free: npt.NDArray[np.bool_]) -> Array:
    """From u to the optimum of the `free` coordinates, fixing on the way those that reach zero."""
    while True:
        goal = np.zeros_like(u)
        goal[free] = np.linalg.solve(matrix[np.ix_(free, free)], target[free])
        blocked = free & (goal <= 0)
        if not blocked.any():
            return goal
        fall = np.maximum(u[blocked] - goal[blocked], np.finfo(np.float64).tiny)
        u = u + (u[blocked] / fall).min() * (goal - u)
        free &= ~(blocked & (u <= SLACK * np.abs(u).max()))
        u[~free] = 0.0
