"""Thresholds of every step found by search: the most value less price times cost, over the videos of a recorded pass.

Coordinate ascent, exact in each coordinate: with the other thresholds fixed, one sort of a step's scores and one
running sum rate every threshold there is. What it finds is a local optimum, fitted to these videos: rate it on others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NEVER = 1.0  # scores lie in 0..1 and a video exits above the threshold only


def search_thresholds(
    scores: Array, value: Array, cost: Array, price: float, start: Array, rounds: int = 20
) -> NDArray[np.float64]:
    """Thresholds [S - 1], each in 0..1, that no change of a single one improves, if `rounds` sweeps get that far.

    A video exits at the first step t with scores[t] > threshold[t], else at the last; a NaN score never exits. Scores
    [S - 1, n] and start lie in 0..1, value [S, n] is what an exit at each step is worth (1 for right), cost [S] what it
    takes, and price exchanges both. A threshold lies midway between the scores it parts; NEVER if nothing shall exit
    there. It moves only for a gain, so the result is never worse than start; of equal gains the fewest exits are taken.

    Raises:
        ValueError: the shapes do not fit.
    """
    steps, videos = value.shape
    if scores.shape != (steps - 1, videos) or cost.shape != (steps,) or start.shape != (steps - 1,):
        raise ValueError(
            f"value {value.shape}, scores {scores.shape}, cost {cost.shape} and start {start.shape} differ"
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
    """Sum over the videos of value less price times cost where these thresholds let them exit."""
    leaves = np.vstack([scores > thresholds[:, None], np.ones((1, value.shape[1]), dtype=np.bool_)])
    exits = leaves.argmax(axis=0)
    return float((value[exits, np.arange(value.shape[1])] - price * cost[exits]).sum())


def _sweep(scores: Array, orders: NDArray[np.intp], utility: Array, thresholds: Array) -> bool:
    """Sets each threshold to its best, last step first, in place; False if none moved."""
    stays = scores <= thresholds[:, None]
    reaches = np.vstack([np.ones((1, scores.shape[1]), dtype=np.bool_), np.logical_and.accumulate(stays, axis=0)])
    going_on, moved = utility[-1], False
    # From the last step on, so that what going on is worth is known under thresholds already set; and thresholds
    # before a step, which decide who reaches it, are still those of the sweep's start.
    for step in reversed(range(len(scores))):
        reached = orders[step][reaches[step][orders[step]]]
        gains = utility[step] - going_on
        best = _best(scores[step][reached], gains[reached], float(thresholds[step]))
        moved |= best != thresholds[step]
        thresholds[step] = best
        going_on = np.where(scores[step] > best, utility[step], going_on)
    return moved


def _best(ranked: Array, gains: Array, current: float) -> float:
    """The threshold that gains most among scores ranked from high to low; current, unless another gains more."""
    sums = np.concatenate([[0.0], np.cumsum(gains)])
    # Exits are the first k: those of equal scores exit together, and a score of 0 exceeds no threshold.
    upper, lower = ranked, np.append(ranked[1:], -1.0)
    allowed = np.concatenate([[True], (upper > lower) & (upper > 0)])
    exits = int(np.where(allowed, sums, -np.inf).argmax())
    now = int(np.count_nonzero(ranked > current))
    # Sums in another order differ by rounding; a gain smaller than that is none, and would never end the search.
    if sums[exits] - sums[now] <= 1e-12 * np.abs(gains).sum():
        return current
    return _between(float(lower[exits - 1]), float(upper[exits - 1])) if exits else NEVER


def _between(low: float, high: float) -> float:
    """The threshold midway that high exceeds and low does not; 0 if none is low (all exit)."""
    if low < 0:
        return 0.0
    middle = low + (high - low) / 2
    return middle if middle < high else low
