"""Threshold grids for sweeps.

The thresholds are quantiles of the recorded scores. Gates and confidences cluster at 0 and 1, so most points on an
evenly spaced grid would not separate any videos.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DIGITS = 6  # decimals of a threshold: enough to separate scores, few enough to read
FEW_POINTS = 24  # grid size for groups whose points are expensive to compute


def quantiles(values: NDArray[np.float64], points: int) -> list[float]:
    """Return up to ``points`` (at least 2) ascending thresholds in [0, 1]: 0, 1, and quantiles of ``values``."""
    known = values[np.isfinite(values)]
    inner = np.quantile(known, np.linspace(0, 1, max(points, 2))[1:-1]) if known.size else np.empty(0)
    thresholds: list[float] = np.unique(np.round(np.clip([0.0, *inner, 1.0], 0, 1), DIGITS)).tolist()
    return thresholds
