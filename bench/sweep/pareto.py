"""Which of many operating points are worth having: those that no other one beats.

An array function over the whole grid of a sweep; ties and missing values are settled here once, so that a table and a
figure of the same run can never show different fronts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pareto_front(cost: NDArray[np.floating], accuracy: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Where no other point costs at most as much, is at least as accurate, and is better in one of both, bool [m].

    Of points that agree in both only the first counts. A point with a NaN is never on the front and beats nothing.

    Raises:
        ValueError: cost and accuracy are not both [m].
    """
    if cost.ndim != 1 or cost.shape != accuracy.shape:
        raise ValueError(f"cost {cost.shape} and accuracy {accuracy.shape} must be the same [m]")
    known = np.flatnonzero(~(np.isnan(cost) | np.isnan(accuracy)))
    # Cheapest first, the most accurate of equal cost first; lexsort is stable, so equal points stay in their order.
    order = known[np.lexsort((-accuracy[known], cost[known]))]
    ranked = accuracy[order]
    front = np.zeros(cost.shape, dtype=np.bool_)
    front[order[:1]] = True
    front[order[1:]] = ranked[1:] > np.maximum.accumulate(ranked)[:-1]
    return front
