"""Verdict on the difference in a metric between two runs.

A verdict is based on the interval for the difference, not on its point estimate. SAME requires the whole interval
within a practical-equivalence margin; BETTER and WORSE require all of it on one side of zero; anything else is
UNDECIDED. UNSTABLE is a time that would be BETTER or WORSE, but perhaps only because of the load on the machine; see
``unstable.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..stats.intervals import LEVEL, Interval

Verdict = Literal["SAME", "BETTER", "WORSE", "UNDECIDED", "UNSTABLE"]

ACCURACY_MARGIN = 0.5
"""Practical-equivalence margin for accuracy, in points."""
COST_MARGIN = 2.0
"""Practical-equivalence margin for time and cost, in percent."""
FEWEST = 6
"""Minimum number of videos for a verdict: five videos all favor one run by chance with probability 2 / 2^5 = 6 %."""


@dataclass(frozen=True)
class Discordant:
    """Videos that only one of the runs got right, and McNemar's exact p-value for the two counts."""

    only_before: int
    only_after: int
    p: float


@dataclass(frozen=True)
class MetricDelta:
    """A metric in both runs, over ``videos`` videos.

    Attributes:
        before, after: values in ``unit``.
        difference: after minus before; in points for an accuracy, otherwise in percent of ``before``.
        interval: 95 % interval for ``difference``.
        margin: practical-equivalence margin, in the unit of ``difference``.
        discordant: discordant videos; None for a metric that is not counted video by video.
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
        """Whether the interval includes zero."""
        return self.interval.low <= 0 <= self.interval.high


def verdict(interval: Interval, margin: float, more_is_better: bool, videos: int, p: float | None = None) -> Verdict:
    """Return the verdict, given the interval for a difference.

    An interval of exactly [0, 0] is SAME regardless of the number of videos. ``p`` is the p-value of a test of the same
    difference; if it is above 0.05, the verdict is UNDECIDED.
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
