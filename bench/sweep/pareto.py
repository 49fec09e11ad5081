"""Pareto front of operating points (non-dominated set).

One array function handles the whole grid of a sweep, including ties and missing values, so tables and figures of the
same run always show the same front.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pareto_front(cost: NDArray[np.floating], accuracy: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which points are on the Pareto front, bool [m].

    A point dominates another if it costs at most as much, is at least as accurate, and is better in one of the two. Of
    several identical points, only the first is on the front. A point with a NaN is never on the front and dominates
    nothing.

    Raises:
        ValueError: cost and accuracy are not both [m].
    """
    if cost.ndim != 1 or cost.shape != accuracy.shape:
        raise ValueError(f"cost {cost.shape} and accuracy {accuracy.shape} must have the same shape [m]")
    known = np.flatnonzero(~(np.isnan(cost) | np.isnan(accuracy)))
    # By cost, then by descending accuracy; lexsort is stable, so identical points keep their order.
    order = known[np.lexsort((-accuracy[known], cost[known]))]
    ranked = accuracy[order]
    front = np.zeros(cost.shape, dtype=np.bool_)
    front[order[:1]] = True
    front[order[1:]] = ranked[1:] > np.maximum.accumulate(ranked)[:-1]
    return front
