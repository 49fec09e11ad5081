"""Random halves of a trace: policies are chosen on one and measured on the other."""

from __future__ import annotations

import numpy as np

from .operating_points import ReplaySource
from .selection import subset


def halves(source: ReplaySource, seed: int) -> tuple[ReplaySource, ReplaySource]:
    """Return a random half of the videos to choose policies on, and the held-out half, both determined by ``seed``."""
    order = np.random.default_rng(seed).permutation(len(source.trace.videos))
    middle = len(order) // 2
    return subset(source, order[:middle]), subset(source, order[middle:])
