"""Whether those to whom it happens earlier had the higher risk. N rows."""

import numpy as np
from numpy.typing import NDArray

from motet.tasks.metrics import Floats

Numbers = NDArray[np.int64]


def concordance(risk: Floats, time: Floats, event: NDArray[np.bool_]) -> float:
    """Harrell's C: of all pairs of which it is known to whom it happened first, the share in which he had the higher
    risk; an equal risk counts one half. NaN without such a pair.

    A pair is known if one has an event before the other's time, or at the same time if the other has none (he lives
    longer); two events at the same time are no pair (Harrell et al., JAMA 1982; ties as in scikit-survival and
    lifelines). O(N log N).

    >>> concordance(np.array([3.0, 2.0, 1.0]), np.array([1.0, 2.0, 1.5]), np.array([True, True, False]))
    1.0
    """
    level = np.unique(risk, return_inverse=True)[1].reshape(-1)
    order = np.lexsort((level, ~event, time))
    level, time, event = level[order], time[order], event[order]
    start = np.append(True, (time[1:] != time[:-1]) | (event[1:] != event[:-1]))  # of those who are no pair with events
    after = np.append(np.flatnonzero(start)[1:], len(time))[np.cumsum(start) - 1]
    known = int((len(time) - after)[event].sum())
    equal = _behind(level) - _behind(level, start)
    return float((_lower_behind(level) + equal / 2)[event].sum() / known) if known else float("nan")


def _lower_behind(level: Numbers) -> Numbers:
    """For each place how many behind it hold a lower number.

    Bit by bit, the highest first: numbers that are alike so far stand together, in the order of their places, and of
    two of them the lower is the one with 0 where the other has 1.
    """
    count, place = np.zeros_like(level), np.arange(len(level))
    start, end, here = np.zeros_like(level), np.full_like(level, len(level)), np.arange(len(level))
    for bit in reversed(range(int(level.max(initial=0)).bit_length())):
        one = (level[place] >> bit & 1).astype(bool)
        zeros = np.append(0, np.cumsum(~one))
        before, middle = zeros[here] - zeros[start], start + zeros[end] - zeros[start]
        count[place[one]] += (zeros[end] - zeros[here])[one]
        moved = np.where(one, middle + here - start - before, start + before)
        place[moved], start[moved], end[moved] = place.copy(), np.where(one, middle, start), np.where(one, end, middle)
    return count


def _behind(level: Numbers, start: NDArray[np.bool_] | None = None) -> Numbers:
    """For each place how many behind it hold the same number, up to the next `start`."""
    block = np.zeros_like(level) if start is None else np.cumsum(start)
    order = np.lexsort((level, block))
    level, block = level[order], block[order]
    last = np.append((level[1:] != level[:-1]) | (block[1:] != block[:-1]), True)
    run = np.cumsum(last) - last
    behind = np.empty_like(order)
    behind[order] = np.flatnonzero(last)[run] - np.arange(len(order))
    return behind
