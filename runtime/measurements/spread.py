"""Whether repetitions of a measurement differ so much that something must have disturbed it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PERCENT = 90
_SPREAD = 2.0  # slow repetitions that take this many times the median were disturbed
_LEAST_SPREAD_MS = 2.0  # a spread below this can be due to a single interruption by the system


def wide_spread(times_ms: Sequence[float]) -> str:
    """Describe how the repetitions differ, as a predicate; return "" if they do not differ too much."""
    middle, high = np.percentile(times_ms, [50, PERCENT])
    if high > _SPREAD * middle and high - middle > _LEAST_SPREAD_MS:
        return f"took {middle:.1f} ms in half of the repetitions, but up to {high:.1f} ms in others"
    return ""
