"""What the difference of a quantity between two runs says.

A verdict is about the interval of a difference, not about the difference alone: SAME needs the whole interval within
a margin that nobody would mind, BETTER and WORSE need all of it on one side of zero, and anything else is UNDECIDED.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..stats.bootstrap import LEVEL, Interval

Verdict = Literal["SAME", "BETTER", "WORSE", "UNDECIDED"]

ACCURACY_MARGIN = 0.5
"""Points of accuracy that make no difference."""
COST_MARGIN = 2.0
"""Percent of time or cost that make no difference."""
FEWEST = 6
"""With fewer videos nothing is decided: even if all of them point the same way, chance does that in 2 / 2^5 = 6 %."""


@dataclass(frozen=True)
class Discordant:
    """Videos that only one of the runs got right, and McNemar's exact p-value of their counts."""

    only_before: int
    only_after: int
    p: float


@dataclass(frozen=True)
class MetricDelta:
    """A quantity in both runs, over ``videos`` of them.

    Attributes:
        before, after: in ``unit``.
        difference: after minus before; points of an accuracy, percent of ``before`` for anything else.
        interval: 95 % interval of ``difference``.
        margin: differences up to this, in its unit, make no difference.
        discordant: of an accuracy that is counted video by video.
    """

    name: str
    unit: str
    before: float
    after: float
    difference: float
    difference_unit: str
    interval: Interval
    margin: float
    verdict: Verdict
    videos: int
    discordant: Discordant | None = None

    @property
    def includes_zero(self) -> bool:
        """Whether there may be no difference at all."""
        return self.interval.low <= 0 <= self.interval.high


def verdict(interval: Interval, margin: float, more_is_better: bool, videos: int, p: float | None = None) -> Verdict:
    """Return what the interval of a difference says.

    Exactly nothing is SAME whatever the number of videos. ``p`` is a test of the same difference: if chance does as
    much too often (in 5 %), nothing is decided.
    """
    low, high = interval
    if low == high == 0:
        return "SAME"
    if videos < FEWEST:
        return "UNDECIDED"
    if -margin <= low and high <= margin:
        return "SAME"
    if low <= 0 <= high or (p is not None and p > 1 - LEVEL):
        return "UNDECIDED"
    return "BETTER" if (low > 0) == more_is_better else "WORSE"
