"""Comparison of two independent proportions: Fisher's exact test and the interval for their difference."""

from __future__ import annotations

import math

import numpy as np

from .intervals import LEVEL, Interval, proportion_intervals

_ROUNDING = 1e-7


def fisher_p(hits: tuple[int, int], videos: tuple[int, int]) -> float:
    """Return the two-sided p-value of Fisher's exact test that two samples have the same proportion.

    Sums the probabilities of all tables with the same margins that are no more probable than the observed one (as R and
    SciPy do), in log space, so large counts do not overflow.
    """
    total, found = sum(videos), sum(hits)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, total + 1)))])
    first = np.arange(max(0, found - videos[1]), min(found, videos[0]) + 1)
    cells = (first, found - first, videos[0] - first, videos[1] - found + first)
    logs = -np.sum([factorials[cell] for cell in cells], axis=0)
    odds = np.exp(logs - logs.max())
    observed = odds[hits[0] - first[0]]
    return min(1.0, float(odds[odds <= observed * (1 + _ROUNDING)].sum() / odds.sum()))


def proportion_difference(hits: tuple[int, int], videos: tuple[int, int], level: float = LEVEL) -> Interval:
    """Return the interval for the difference between two proportions, second minus first, in -1..1.

    Newcombe's hybrid score interval (Newcombe 1998, method 10), from the Wilson intervals of both proportions; unlike
    the Wald interval, it has a positive width if no video, or every video, is a hit.
    """
    shares = [hit / count for hit, count in zip(hits, videos)]
    ends = [proportion_intervals(np.array([hit]), count, level)[0] for hit, count in zip(hits, videos)]
    difference = shares[1] - shares[0]
    low = math.hypot(shares[1] - ends[1][0], ends[0][1] - shares[0])
    high = math.hypot(ends[1][1] - shares[1], shares[0] - ends[0][0])
    return Interval(difference - low, difference + high)
