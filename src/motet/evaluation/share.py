"""Bounds of a share of which one side was seldom or never seen: what was never seen may still be there.

Draws of n rows that were all answered rightly are all right too, and draws with one or two wrong ones know of few
others, so a bootstrap claims too much of shares near 0 or 1. Their bounds are those of the binomial distribution
(Clopper & Pearson, Biometrika 1934) with the mid-P correction (Berry & Armitage, The Statistician 1995): p with

    P(X > v n | p) + P(X = v n | p) / 2 = (1 - level) / 2,   and the same of the other tail,

v the share, n the effective number of rows v (1 - v) / (variance of the draws) (Korn & Graubard, Survey Methodology
1998), so that it serves means of values between 0 and 1, rows in groups, and scores such as AUROC alike. Deviations:
n need not be whole (tails are incomplete beta functions), and the variance of k = n min(v, 1 - v) seldom cases counts
as k / (k + 1) of what is known; the rest is said by a whole unit for each case, the least that units can tell.
"""

from collections.abc import Callable

SELDOM = 10.0
"""Fewer cases on one side than this are few, the usual condition for a normal approximation of a share."""


def effective(value: float, variance: float, num_units: int) -> float:
    """The rows without groups whose share would vary as much.

    >>> round(effective(0.9, 0.9 * 0.1 / 50, 50), 6), effective(1.0, 0.0, 20)
    (50.0, 20.0)
    """
    spread = value * (1 - value)
    if spread <= 1e-9 or variance <= 1e-18:
        return float(num_units)
    found = spread / variance
    known = found * min(value, 1 - value)
    return min(found, (known + 1) / (known / found + 1 / num_units))


def share_bounds(value: float, number: float, *, level: float) -> tuple[float, float]:
    """The bounds of a share `value` of so many rows.

    >>> low, high = share_bounds(1.0, 20.0, level=0.95)
    >>> round(low, 4) == round(0.05 ** (1 / 20), 4), high
    (True, 1.0)
    """
    hits, tail = value * number, (1 - level) / 2
    low = 0.0 if hits <= 0 else _solved(lambda p: _at_least(hits, number, p), tail)
    return low, 1.0 if hits >= number else 1 - _solved(lambda p: _at_least(number - hits, number, p), tail)


def _at_least(hits: float, number: float, p: float) -> float:
    """P(X > hits) + P(X = hits) / 2 of the binomial distribution."""
    from scipy.special import betainc

    more = betainc(hits + 1, number - hits, p) if number - hits > 1e-9 else 0.0
    return float(more + betainc(hits, number - hits + 1, p)) / 2


def _solved(rising: Callable[[float], float], aim: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < aim else (low, middle)
    return (low + high) / 2
