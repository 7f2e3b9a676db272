"""Temperature scaling: one number by which the logits of a task are divided, so that its probabilities can be believed.

A network trained to the end is mostly surer than it is right. Divided by a temperature T > 1 its logits say the same
answers less surely, by T < 1 more surely.
"""

import math
from collections.abc import Callable

MOST_EXTREME = 20.0
"""A temperature lies between 1 / 20 and 20."""
GOLDEN = (math.sqrt(5) - 1) / 2
CLOSE = 1e-7


def fit_temperature(loss: Callable[[float], float]) -> float:
    """The temperature T of the least `loss(T) + 1 / T - 1 + log T`; 1 where nothing is less than at 1.

    `loss(T)` is the negative log-likelihood, summed over rows that were not trained on, of logits divided by T (Guo et
    al., On Calibration of Modern Neural Networks, ICML 2017). It is convex in 1 / T, and so is the sum, which is
    searched by golden section. What is added, unlike in the paper, is 0 at T = 1 and grows on either side as if one row
    more had been seen there: without it a few rows that are all answered correctly would ask for boundless certainty.
    It can not raise the loss: what is least there is at most the loss at 1.

    >>> round(fit_temperature(lambda T: 1000 * math.log(1 + math.exp(-2 / T)) + 200 * 2 / T), 2)  # right in 80 %
    1.44
    """

    def penalised(log: float) -> float:
        found = loss(math.exp(log)) + math.expm1(-log) + log
        return found if math.isfinite(found) else math.inf

    low, high = -math.log(MOST_EXTREME), math.log(MOST_EXTREME)
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    of_left, of_right = penalised(left), penalised(right)
    while high - low > CLOSE:
        if of_left <= of_right:
            high, right, of_right = right, left, of_left
            left = high - GOLDEN * (high - low)
            of_left = penalised(left)
        else:
            low, left, of_left = left, right, of_right
            right = low + GOLDEN * (high - low)
            of_right = penalised(right)
    best = (low + high) / 2
    return math.exp(best) if penalised(best) < penalised(0.0) else 1.0
