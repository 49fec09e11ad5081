"""Points that the authors of FrameExit and of the Frame Flexible Network (FFN) publish, for drawing behind runs.

Kept apart from measured points: their compute is the number that the authors print or draw, not one counted here. They
call it GFLOPs, and it counts multiply-accumulates. Curves of different papers never share a line.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError

FLEXIBLE_FAMILIES = {"tsm": "TSM", "tea": "TEA", "slowfast": "SlowFast", "uniformer": "Uniformer"}
# Giga multiply-accumulates per frame by which the authors multiply the mean number of frames (their README's script).
_PAPER_GMACS_PER_FRAME = {"ResNet-50": 4.12, "EfficientNet-B3": 1.8}


@dataclass(frozen=True)
class PublishedPoint:
    """One point of a FrameExit curve; ``accuracy`` in percent, ``gflops`` as printed (they are MACs, in 1e9)."""

    series: str
    backbone: str
    dataset: str
    metric: str
    accuracy: float
    gflops: float
    source: str

    @property
    def mean_frames(self) -> float:
        """Mean number of frames used, from the authors' fixed cost per frame."""
        return self.gflops / _PAPER_GMACS_PER_FRAME[self.backbone]


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


def published_points() -> tuple[PublishedPoint, ...]:
    """Return the ten points that FrameExit's README gives for plotting (six ResNet-50, four EfficientNet-B3)."""
    return tuple(
        PublishedPoint(
            series=row["series"],
            backbone=row["backbone"],
            dataset=row["dataset"],
            metric=row["metric"],
            accuracy=float(row["accuracy"]),
            gflops=float(row["gflops"]),
            source=row["source"],
        )
        for row in _rows("published_frameexit.csv")
    )


def flexible_points(dataset: str, family: str = "tsm") -> tuple[FlexiblePoint, ...]:
    """Return what the FFN paper gives for a network family on a data set, a training's points side by side.

    Raises:
        UsageError: it gives nothing for them.
    """
    points = [_flexible(row) for row in _rows("published_ffn.csv")]
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


def _rows(name: str) -> list[dict[str, str]]:
    with Path(__file__).with_name(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
