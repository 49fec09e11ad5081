"""What an estimate may be as well: an interval, and the level at which intervals are given."""

from __future__ import annotations

from typing import NamedTuple

LEVEL = 0.95


class Interval(NamedTuple):
    """Both ends of an interval, in the unit of what it is of."""

    low: float
    high: float
