"""Number of queries that LoadGen's early stopping needs.

LoadGen accepts a latency percentile only if the run shows with 99% confidence that more than this share of queries is
within the bound: if the share were exactly the percentile, the probability of no more misses than observed must be at
most 1% (see LoadGen's ``early_stopping.cc``).
"""

from __future__ import annotations

from bisect import bisect_left

_CONFIDENCE = 0.99
_MOST = 10**12


def queries_needed(share: float, misses: int) -> int:
    """Return how many queries it takes to show that more than ``share`` (in (0, 1)) of all queries meet the bound.

    ``misses`` (0 or 1) of them exceed the bound. For the 99th percentile, that is 459 queries, or 662 with one miss. In
    the single-stream scenario, LoadGen discards the slowest query, which corresponds to one miss.
    """

    def are_enough(queries: int) -> bool:
        none = share**queries
        one = queries * (1 - share) * share ** (queries - 1)
        return none + misses * one <= 1 - _CONFIDENCE

    return 1 + bisect_left(range(1, _MOST), True, key=are_enough)
