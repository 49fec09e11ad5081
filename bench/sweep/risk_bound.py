"""What a calibration set can promise about early exits: "at most epsilon less accurate, with probability 1 - delta".

Learn-then-Test (Angelopoulos et al. 2021, arXiv:2110.01052) with the betting test of Waudby-Smith and Ramdas (2023,
arXiv:2010.09686). The loss of a video is 1{right with all steps} - 1{right with early exit}, one of -1, 0 and 1. The
promise holds for videos drawn independently from one population, at any sample size and without a normal approximation.
A betting test reads the losses one after the other: the caller permutes the videos once, with a seed and before any
result is seen; an order by class or by date would spoil the independence that the promise rests on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError

Losses = NDArray[np.number]


def drop_p_value(losses: Losses, epsilon: float, delta: float = 0.1) -> float:
    """P-value of "accuracy drops by epsilon or more", 0..1: valid at any n for losses [n] in the order they were drawn.

    The wealth of a player who bets against it is a non-negative supermartingale if it is true, so that by Ville's
    inequality its largest value reaches 1 / p with probability p at most. epsilon is a share, 0.01 for one point. The
    bets are sized for a decision at delta; another delta costs power, never validity.

    Raises:
        UsageError: epsilon or delta is not within (0, 1).
        ValueError: losses is not [n], or one is not within -1..1.
    """
    _check_share("epsilon", epsilon)
    _check_share("delta", delta)
    if losses.ndim != 1 or not np.all(np.abs(losses) <= 1):
        raise ValueError(f"losses {losses.shape} must be [n], each within -1..1")
    return math.exp(-_log_wealth(losses, epsilon, delta))


def largest_safe(losses: Iterable[Losses] | Losses, epsilon: float, delta: float) -> int:
    """How many candidates in a row, from the first on, are promised to lose less than epsilon; 0 for none.

    losses holds one [n] per candidate, all of the same videos in the same order, ordered from the most conservative
    candidate to the boldest: an order that must not come from these losses. Fixed-sequence testing: each is tested at
    the full delta and the first failure ends it, so that with probability 1 - delta none of those counted is unsafe.
    Candidates after the first failure are not asked for.

    Raises:
        UsageError: epsilon or delta is not within (0, 1).
    """
    _check_share("epsilon", epsilon)
    _check_share("delta", delta)
    safe = 0
    for candidate in losses:
        if drop_p_value(candidate, epsilon, delta) > delta:
            break
        safe += 1
    return safe


def videos_needed(epsilon: float, delta: float) -> int:
    """The fewest videos with which `largest_safe` can promise anything: that many losses of 0 are just enough.

    Somewhat over log(1 / delta) / epsilon, and several times as many once early exits change some answers.

    Raises:
        UsageError: epsilon or delta is not within (0, 1).
    """
    enough = 1
    while drop_p_value(np.zeros(enough), epsilon, delta) > delta:
        enough *= 2
    short = enough // 2
    while enough - short > 1:
        middle = (short + enough) // 2
        if drop_p_value(np.zeros(middle), epsilon, delta) > delta:
            short = middle
        else:
            enough = middle
    return enough


def _log_wealth(losses: Losses, epsilon: float, delta: float) -> float:
    """Logarithm of the largest wealth on the way, at least 0 (the stake of 1 before the first bet).

    On y = (loss + 1) / 2 in 0..1 against the mean m = (1 + epsilon) / 2, wealth is the product of 1 + bet (m - y). A
    bet may depend on the losses before it only: it is sqrt(2 log(1 / delta) / (n variance)) with the variance seen so
    far, cut so that one loss of 1 takes at most three quarters of the wealth.
    """
    values, mean = (losses.astype(np.float64) + 1) / 2, (1 + epsilon) / 2
    seen = np.arange(1, len(values) + 1)
    # Before any video: one observation of mean and standard deviation 1/2, the widest there is.
    averages = (0.5 + np.cumsum(values)) / (1 + seen)
    variances = (0.25 + np.cumsum((values - averages) ** 2)) / (1 + seen)
    before = np.concatenate([[0.25], variances[:-1]])[: len(values)]
    bets = np.minimum(np.sqrt(2 * math.log(1 / delta) / (len(values) * before)), 0.75 / (1 - mean))
    return float(np.cumsum(np.log1p(bets * (mean - values))).max(initial=0.0))


def _check_share(name: str, share: float) -> None:
    if not 0 < share < 1:
        raise UsageError(
            f"{name} is {share}", f"give {name} as a share between 0 and 1, both excluded: 0.01 is one point"
        )
