"""Points that the authors of the Frame Flexible Network (FFN) publish, for drawing behind runs.

Kept apart from measured points: their compute was read off a figure, and not counted here. The authors call it GFLOPs,
and it counts multiply-accumulates.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import UsageError
from .tables import read_rows

FLEXIBLE_FAMILIES = {"tsm": "TSM", "tea": "TEA", "slowfast": "SlowFast", "uniformer": "Uniformer"}


@dataclass(frozen=True)
class FlexiblePoint:
    """One top-1 accuracy of the FFN paper, in percent, at a number of frames.

    ``training`` is "ffn" (one network for all counts), "separate" (one network trained at each count) or "largest"
    (one plain network, trained at the largest count only). ``gflops`` are MACs of one view, in 1e9, read off a figure
    of the plain network; None where none were published.
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
        """MACs of all views of a video, in 1e9: what the accuracy took."""
        return None if self.gflops is None else self.gflops * self.views


def flexible_points(dataset: str, family: str = "tsm") -> tuple[FlexiblePoint, ...]:
    """Return what the FFN paper gives for a network family on a data set, a training's points side by side.

    Raises:
        UsageError: it gives nothing for them.
    """
    points = [_flexible(row) for row in read_rows("ffn.csv")]
    found = tuple(point for point in points if (point.dataset, point.family) == (dataset, family))
    if not found:
        known: dict[str, set[str]] = {}
        for point in points:
            known.setdefault(point.dataset, set()).add(point.family)
        there = "; ".join(f"{name}: {', '.join(sorted(families))}" for name, families in known.items())
        raise UsageError(f"the FFN paper has no {family} on {dataset}", f"it has {there}")
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
