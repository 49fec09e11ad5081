"""Published points of FrameExit, of the methods it compares with, and of later methods.

They are kept separate from measured points: their compute is the number a paper prints or draws, not one counted here.
The papers call it GFLOPs, but it counts multiply-accumulates. Each point keeps its source, and a line joins only points
from one paper, because the compute that papers report for the same method and accuracy differs by up to a factor of 5.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import UsageError
from .tables import read_rows

# GMACs per frame; the authors multiply them by the mean number of frames (script in their README).
_PAPER_GMACS_PER_FRAME = {"ResNet-50": 4.12, "EfficientNet-B3": 1.8, "X3D-S": 1.96 / 13}


@dataclass(frozen=True)
class PublishedPoint:
    """One published point; ``accuracy`` in percent, ``gflops`` for all views of a video, as published (MACs).

    ``accuracy_from`` and ``gflops_from`` are "printed", "figure" (read from a figure) or "quoted" (taken from a later
    paper's table).
    """

    series: str
    legend: str
    method: str
    backbone: str
    dataset: str
    metric: str
    accuracy: float
    gflops: float
    accuracy_from: str
    gflops_from: str
    source: str

    @property
    def paper(self) -> str:
        """Paper with venue and year, such as ``FrameExit (CVPR 2021)``, without the table or figure."""
        return self.source.split(",")[0]

    @property
    def mean_frames(self) -> float | None:
        """Mean number of frames used, derived from the authors' fixed cost per frame; None for other methods."""
        per_frame = _PAPER_GMACS_PER_FRAME.get(self.backbone)
        return self.gflops / per_frame if self.method == "FrameExit" and per_frame else None


@dataclass(frozen=True)
class PublishedLine:
    """Points of one paper under one legend name.

    ``beyond`` contains points to the right of the paper's figure, which cuts the line off at its edge; they come from
    another paper's figure.
    """

    points: tuple[PublishedPoint, ...]
    beyond: tuple[PublishedPoint, ...]


@dataclass(frozen=True)
class Axis:
    """Range and ticks of an axis."""

    low: float
    high: float
    first_tick: float
    step: float


@dataclass(frozen=True)
class Overlay:
    """Published lines of one data set and metric; ``joined`` is False for points from tables, which form no curve.

    ``x`` (GFLOPs) and ``y`` (percent) are the axes of the published figure, or None; ``left_out`` counts lines that
    cannot be placed on the axis in use.
    """

    dataset: str
    metric: str
    lines: tuple[PublishedLine, ...]
    joined: bool
    x: Axis | None = None
    y: Axis | None = None
    left_out: int = 0

    @property
    def papers(self) -> tuple[str, ...]:
        """Source papers of the points, in legend order."""
        return tuple(dict.fromkeys(line.points[0].paper for line in self.lines))


_OURS = ("anet_frameexit_r50", "anet_frameexit_effb3")
# In the legend order of FrameExit's figure.
_FIGURE = (
    "anetfig_adaframe5",
    "anetfig_marl_r101",
    "anetfig_arnet_resnet",
    "anetfig_arnet_effnet",
    "anetfig_l2l_iaia",
    "anetfig_l2l_mnet_r101",
    "anetfig_liteeval",
    "anetfig_scsampler",
)
_LATER = (
    "anetfig_ocsampler",
    "anetfig_videoiq",
    *(
        f"anetfig_{method}_p{size}"
        for method in ("adafocusv2plus", "adafocusv3", "uniadafocus")
        for size in (96, 128, 160)
    ),
    "anetfig_uniadafocus_static",
)
_MINIKINETICS = (
    "minik_table_frameexit",
    "minik_frameexit_released",
    "minik_table_adafocusv2",
    "minik_table_uniadafocus",
)
OVERLAYS = ("activitynet", "activitynet-modern", "activitynet-table", "minikinetics", "kinetics400", "hvu")


def published_overlay(name: str) -> Overlay:
    """Return the published lines for a name in ``OVERLAYS``.

    "activitynet" is FrameExit's figure; "activitynet-modern" combines later methods with FrameExit's own two curves,
    "activitynet-table" is FrameExit's table, with X3D-S; "kinetics400" is X3D with ten and thirty views per video.

    Raises:
        UsageError: the name is unknown.
    """
    if name == "activitynet":
        axes = (Axis(6, 96, 10, 10), Axis(60, 82.5, 60, 2.5))
        return Overlay("ActivityNet", "map", _lines((*_FIGURE, *_OURS)), True, *axes)
    if name == "activitynet-modern":
        axes = (Axis(5, 50, 5, 5), Axis(70, 82, 70, 2))
        return Overlay("ActivityNet", "map", _lines((*_OURS, *_LATER)), True, *axes)
    if name == "activitynet-table":
        return Overlay("ActivityNet", "map", _lines(("anet_table_frameexit",)), joined=False)
    if name == "kinetics400":
        return Overlay("Kinetics-400", "top1", _lines(("k400_x3d_zoo",)), joined=False)
    if name == "minikinetics":
        return Overlay("Mini-Kinetics", "top1", _lines(_MINIKINETICS), joined=False)
    if name == "hvu":
        return Overlay("HVU", "map", _lines(("hvu_table_frameexit",)), joined=False)
    raise UsageError(f"unknown published overlay {name!r}", f"choose one of {', '.join(OVERLAYS)}")


def published_points() -> tuple[PublishedPoint, ...]:
    """Return every point in the table."""
    return tuple(
        PublishedPoint(
            series=row["series"],
            legend=row["legend"],
            method=row["method"],
            backbone=row["backbone"],
            dataset=row["dataset"],
            metric=row["metric"],
            accuracy=float(row["accuracy"]),
            gflops=float(row["gflops"]),
            accuracy_from=row["accuracy_from"],
            gflops_from=row["gflops_from"],
            source=row["source"],
        )
        for row in read_rows("frameexit.csv")
    )


def _lines(series: tuple[str, ...]) -> tuple[PublishedLine, ...]:
    """Return one line per legend name within each series."""
    found: dict[tuple[str, str], list[PublishedPoint]] = {}
    points = published_points()
    for name in series:
        for point in points:
            if point.series == name:
                found.setdefault((name, point.legend), []).append(point)
    return tuple(_line(members) for members in found.values())


def _line(members: list[PublishedPoint]) -> PublishedLine:
    paper = members[0].paper
    ordered = sorted(members, key=lambda point: point.gflops)
    own, others = ([point for point in ordered if (point.paper == paper) is same] for same in (True, False))
    return PublishedLine(tuple(own), tuple(others))
