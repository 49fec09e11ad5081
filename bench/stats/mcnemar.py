"""McNemar's test: whether two runs differ in accuracy on the same videos."""

from __future__ import annotations

import math

import numpy as np


def mcnemar_p(only_before: int, only_after: int) -> float:
    """Return the exact two-sided p-value of McNemar's test: how likely a fair coin is to be at least this unbalanced.

    ``only_before`` and ``only_after`` count the videos that only one of the runs got right. The smaller binomial tail
    is summed in log space, so large counts do not overflow.
    """
    count, fewer = only_before + only_after, min(only_before, only_after)
    if only_before == only_after:
        return 1.0
    taken = np.arange(1, fewer + 1)
    logs = np.concatenate(([0.0], np.cumsum(np.log((count - taken + 1) / taken))))
    tail = logs[-1] + math.log(np.exp(logs - logs[-1]).sum()) - count * math.log(2)
    return float(min(1.0, 2 * math.exp(tail)))
