"""Search for the per-step thresholds that maximize value minus price times cost over the videos of a recorded trace.

Coordinate ascent, exact in each coordinate: with the other thresholds fixed, one sort of a step's scores and one
cumulative sum evaluate all its thresholds. The result is a local optimum fitted to these videos: evaluate it on others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NEVER = 1.0  # scores are in [0, 1], and a video exits only above the threshold


def search_thresholds(
    scores: Array, value: Array, cost: Array, price: float, start: Array, rounds: int = 20
) -> NDArray[np.float64]:
    """Return thresholds [S - 1] in [0, 1] that no single change would improve, provided that ``rounds`` suffices.

    A video exits at the first step t with scores[t] > threshold[t], else at the last step; a NaN score never exits.
    ``scores`` [S - 1, n] and ``start`` are in [0, 1], ``value`` [S, n] is the value of an exit at each step (1 if
    correct), ``cost`` [S] is its cost, and ``price`` is the value per unit of cost. Each threshold is the midpoint of
    the two scores it separates, or NEVER if no video exits there. A threshold changes only if the objective improves,
    so the result is never worse than ``start``; ties are resolved in favor of the fewest exits.

    Raises:
        ValueError: the shapes do not match.
    """
    steps, videos = value.shape
    if scores.shape != (steps - 1, videos) or cost.shape != (steps,) or start.shape != (steps - 1,):
        raise ValueError(
            f"inconsistent shapes: value {value.shape}, scores {scores.shape}, cost {cost.shape}, start {start.shape}"
        )
    known = np.where(np.isnan(scores), -1.0, scores)  # below every threshold
    orders = np.argsort(-known, axis=1, kind="stable")
    utility = value - price * cost[:, None]
    thresholds = start.astype(np.float64)
    for _ in range(rounds):
        if not _sweep(known, orders, utility, thresholds):
            break
    return thresholds


def objective(scores: Array, value: Array, cost: Array, price: float, thresholds: Array) -> float:
    """Return value minus price times cost, summed over the videos, if they exit according to these thresholds."""
    may_exit = np.vstack([scores > thresholds[:, None], np.ones((1, value.shape[1]), dtype=np.bool_)])
    exits = may_exit.argmax(axis=0)
    return float((value[exits, np.arange(value.shape[1])] - price * cost[exits]).sum())


def _sweep(scores: Array, orders: NDArray[np.intp], utility: Array, thresholds: Array) -> bool:
    """Set each threshold to its optimum in place, last step first; return whether any of them changed."""
    stays = scores <= thresholds[:, None]
    reaches = np.vstack([np.ones((1, scores.shape[1]), dtype=np.bool_), np.logical_and.accumulate(stays, axis=0)])
    continuing, moved = utility[-1], False
    # Go backward, so that the thresholds already set determine the utility of continuing. The thresholds of earlier
    # steps, which determine which videos reach a step, still have their values from the start of the sweep.
    for step in reversed(range(len(scores))):
        reached = orders[step][reaches[step][orders[step]]]
        gains = utility[step] - continuing
        best = _best(scores[step][reached], gains[reached], float(thresholds[step]))
        moved |= best != thresholds[step]
        thresholds[step] = best
        continuing = np.where(scores[step] > best, utility[step], continuing)
    return moved


def _best(ranked: Array, gains: Array, current: float) -> float:
    """Return the threshold with the largest gain, or ``current`` in case of a tie; ``scores`` are descending."""
    sums = np.concatenate([[0.0], np.cumsum(gains)])
    # The first k videos exit. Equal scores exit together, and a score of 0 exceeds no threshold.
    upper, lower = ranked, np.append(ranked[1:], -1.0)
    allowed = np.concatenate([[True], (upper > lower) & (upper > 0)])
    exits = int(np.where(allowed, sums, -np.inf).argmax())
    current_exits = int(np.count_nonzero(ranked > current))
    # Ignore gains below the rounding error of the sums, so that the search terminates.
    if sums[exits] - sums[current_exits] <= 1e-12 * np.abs(gains).sum():
        return current
    return _between(float(lower[exits - 1]), float(upper[exits - 1])) if exits else NEVER


def _between(low: float, high: float) -> float:
    """Return the midpoint, which ``high`` exceeds and ``low`` does not; 0 if ``low`` is negative (all exit)."""
    if low < 0:
        return 0.0
    middle = low + (high - low) / 2
    return middle if middle < high else low
