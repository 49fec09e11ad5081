"""Risk bound of early exits from a calibration set: "at most epsilon less accurate, with probability 1 - delta".

Learn-then-Test (Angelopoulos et al. 2021, arXiv:2110.01052) with the betting test of Waudby-Smith and Ramdas (2023,
arXiv:2010.09686). The loss of a video is 1{right with all steps} - 1{right with early exit}, which is -1, 0 or 1. The
guarantee holds for videos drawn independently from one population, at any sample size and without a normal
approximation. The betting test reads the losses sequentially: the caller permutes the videos once, with a seed and
before seeing any results; ordering them by class or date would violate independence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError

Losses = NDArray[np.number]


def drop_p_value(losses: Losses, epsilon: float, delta: float = 0.1) -> float:
    """Return the p-value of "accuracy drops by epsilon or more", 0..1, for losses [n] in random order; valid at any n.

    If the hypothesis is true, the wealth of a player betting against it is a non-negative supermartingale, so by
    Ville's inequality its maximum reaches 1 / p with probability at most p. epsilon is a fraction, 0.01 for one point.
    Bets are sized for a decision at delta; testing at another delta costs power, but never validity.

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
    """Return the number of leading candidates certified to lose less than epsilon; 0 for none.

    losses yields one [n] per candidate, over the same videos in the same order, from the most conservative candidate to
    the most aggressive; this order must not depend on these losses. Fixed-sequence testing: each candidate is tested at
    the full delta and the first failure ends the sequence, so with probability 1 - delta no certified candidate is
    unsafe. Candidates after the first failure are not evaluated.

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
    """Return the minimum number of videos for `largest_safe` to certify anything, if every loss is zero.

    It is slightly above log(1 / delta) / epsilon; several times as many are needed once early exits change predictions.

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
    """Return the logarithm of the maximum wealth, at least 0 (the initial stake of 1).

    With y = (loss + 1) / 2 in 0..1 and the mean m = (1 + epsilon) / 2, wealth is the product of 1 + bet (m - y). A bet
    may depend only on earlier losses: it is sqrt(2 log(1 / delta) / (n variance)) with the running variance, capped so
    that one loss of 1 takes at most three quarters of the wealth.
    """
    values, mean = (losses.astype(np.float64) + 1) / 2, (1 + epsilon) / 2
    seen = np.arange(1, len(values) + 1)
    # Prior: one observation with mean and standard deviation 1/2, the largest possible.
    averages = (0.5 + np.cumsum(values)) / (1 + seen)
    variances = (0.25 + np.cumsum((values - averages) ** 2)) / (1 + seen)
    before = np.concatenate([[0.25], variances[:-1]])[: len(values)]
    bets = np.minimum(np.sqrt(2 * math.log(1 / delta) / (len(values) * before)), 0.75 / (1 - mean))
    return float(np.cumsum(np.log1p(bets * (mean - values))).max(initial=0.0))


def _check_share(name: str, share: float) -> None:
    if not 0 < share < 1:
        raise UsageError(
            f"{name} must be between 0 and 1, exclusive, got {share}", f"pass {name} as a fraction: 0.01 is one point"
        )
