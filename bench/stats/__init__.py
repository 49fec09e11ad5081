"""Statistics of accuracy: intervals, paired comparisons, and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_exports

if TYPE_CHECKING:
    from .accuracy import mean_average_precision as mean_average_precision
    from .intervals import Interval as Interval
    from .intervals import bootstrap_interval as bootstrap_interval
    from .intervals import proportion_intervals as proportion_intervals
    from .mcnemar import mcnemar_p as mcnemar_p

__getattr__ = lazy_exports(
    __name__,
    accuracy=("mean_average_precision",),
    intervals=(
        "Interval",
        "bootstrap_interval",
        "proportion_intervals",
    ),
    mcnemar=("mcnemar_p",),
)
