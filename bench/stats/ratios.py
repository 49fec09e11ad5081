"""Interval for a ratio of paired positive measurements, such as the times of two contenders in the same repetitions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# The 0.975 quantiles of Student's t distribution for 1, 2, ... degrees of freedom; above the last, the normal quantile
# is close enough with a second-order correction (Abramowitz and Stegun, 26.7.5).
_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
_Z = 1.959964


class RatioInterval(NamedTuple):
    """A ratio, its 95 % interval, and the number of pairs behind it."""

    ratio: float
    low: float
    high: float
    pairs: int

    @property
    def half_width(self) -> float:
        """Half the width of the interval on a logarithmic scale: 0.03 is about 3 % to either side."""
        return math.log(self.high / self.low) / 2 if self.low > 0 else math.inf

    def divided_by(self, value: float) -> RatioInterval:
        """Return the ratio and its interval divided by a constant."""
        return RatioInterval(self.ratio / value, self.low / value, self.high / value, self.pairs)


def ratio_interval(above: Sequence[float], below: Sequence[float]) -> RatioInterval:
    """Return the geometric mean of ``above / below`` over pairs, with Student's t interval for the mean logarithm.

    Pairing removes noise that affects both members of a pair, and logarithms make the interval the same for a ratio
    and its inverse. With fewer than two pairs, the interval is unbounded.

    Raises:
        ValueError: a value is not positive, or the numbers of values differ.
    """
    if len(above) != len(below):
        raise ValueError(f"{len(above)} values cannot be paired with {len(below)}")
    if not all(value > 0 and math.isfinite(value) for value in (*above, *below)):
        raise ValueError("a ratio needs finite values > 0")
    if not above:
        return RatioInterval(math.nan, 0.0, math.inf, 0)
    logs = np.log(np.asarray(above, np.float64)) - np.log(np.asarray(below, np.float64))
    mean, pairs = float(logs.mean()), len(logs)
    if pairs == 1:
        return RatioInterval(math.exp(mean), 0.0, math.inf, 1)
    half = t_quantile(pairs - 1) * float(logs.std(ddof=1)) / math.sqrt(pairs)
    return RatioInterval(math.exp(mean), math.exp(mean - half), math.exp(mean + half), pairs)


def t_quantile(freedom: int) -> float:
    """Return the 0.975 quantile of Student's t distribution with ``freedom`` degrees of freedom."""
    if freedom <= len(_T):
        return _T[freedom - 1]
    return _Z + (_Z**3 + _Z) / (4 * freedom)
