"""Published points of the Frame Flexible Network (FFN) paper, drawn behind runs.

They are kept separate from measured points: their compute was read from a figure, not counted here. The authors call
it GFLOPs, but it counts multiply-accumulates.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import UsageError
from .tables import read_rows

FLEXIBLE_FAMILIES = {"tsm": "TSM", "tea": "TEA", "slowfast": "SlowFast", "uniformer": "Uniformer"}


@dataclass(frozen=True)
class FlexiblePoint:
    """A top-1 accuracy from the FFN paper, in percent, at one frame count.

    ``training`` is "ffn" (one network for all counts), "separate" (one network trained at each count) or "largest"
    (one plain network, trained at the largest count only). ``gflops`` is the GMACs of one view, read from a figure
    for the plain network; None if not published.
    """

    series: str
    dataset: str
    family: str
    training: str
    frames: int
    accuracy: float
    accuracy_from: str
    gflops: float | None
    views: int

    @property
    def gflops_total(self) -> float | None:
        """GMACs over all views of a video."""
        return None if self.gflops is None else self.gflops * self.views


def flexible_points(dataset: str, family: str = "tsm") -> tuple[FlexiblePoint, ...]:
    """Return the FFN paper's points for a network family on a data set, grouped by training.

    Raises:
        UsageError: the paper has no such points.
    """
    points = [_flexible(row) for row in read_rows("ffn.csv")]
    found = tuple(point for point in points if (point.dataset, point.family) == (dataset, family))
    if not found:
        known: dict[str, set[str]] = {}
        for point in points:
            known.setdefault(point.dataset, set()).add(point.family)
        available = "; ".join(f"{name}: {', '.join(sorted(families))}" for name, families in known.items())
        raise UsageError(f"the FFN paper has no results for {family} on {dataset}", f"choose from {available}")
    return found


def _flexible(row: dict[str, str]) -> FlexiblePoint:
    return FlexiblePoint(
        series=row["series"],
        dataset=row["dataset"],
        family=row["family"],
        training=row["training"],
        frames=int(row["frames"]),
        accuracy=float(row["accuracy"]),
        accuracy_from=row["accuracy_from"],
        gflops=float(row["gflops"]) if row["gflops"] else None,
        views=int(row["views"]),
    )
