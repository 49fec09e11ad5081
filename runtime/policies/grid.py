"""Thresholds to try in a sweep.

They lie at quantiles of the recorded scores: a grid of equal distances would spend most of its points where no video
is, since gates and confidences crowd at 0 and 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DIGITS = 6  # of a threshold: enough to tell scores apart, few enough to be read
FEW_POINTS = 24  # of a group whose every point takes its time to find


def quantiles(values: NDArray[np.float64], points: int) -> list[float]:
    """Return up to ``points`` thresholds in [0, 1] (2 at least), ascending: 0, 1, and quantiles of ``values``."""
    known = values[np.isfinite(values)]
    inner = np.quantile(known, np.linspace(0, 1, max(points, 2))[1:-1]) if known.size else np.empty(0)
    found: list[float] = np.unique(np.round(np.clip([0.0, *inner, 1.0], 0, 1), DIGITS)).tolist()
    return found
