"""Realized against theoretical speed-up, relative to a run over all frames.

Only runs in the same series and setting (machine, schedule, videos) are compared: a ratio to a baseline measured in
another setting is meaningless.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UsageError
from ..runs.operating_point import OperatingPoint
from ..runs.timing import require
from .latency import name_with_setting
from .series import by_series, draw_runs, label_decades, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_HINT = (
    "add a run with --first-threshold 1 --gate-threshold 1 (for a frame-flexible network: at its largest frame count)"
)
_MAX_ANNOTATED = 12
_LOG_RATIO = 3.0
_PANEL_INCHES = 4.2
_LEGEND_LINE_INCHES = 0.19


@dataclass(frozen=True)
class Speedup:
    """Speed-up of a run over its ``baseline``: theoretical (ratio of MACs) and realized (ratio of throughput)."""

    point: OperatingPoint
    baseline: OperatingPoint
    theoretical: float
    realized: float

    @property
    def realized_percent(self) -> float:
        """Realized share of the theoretical speed-up, in percent."""
        return 100 * self.realized / self.theoretical


def plot_speedup(points: Sequence[OperatingPoint], out: Path) -> list[Path]:
    """Draw the speed-ups of ``points`` and write the figure as PNG, SVG and PDF; return the three paths.

    Raises:
        UsageError: there is nothing to compare, the runs are not comparable, or ``out`` cannot be written.
        RunError: a run has no throughput.
    """
    from .style import save

    return save(speedup_figure(points), out)


def speedup_figure(points: Sequence[OperatingPoint]) -> Figure:
    """Build the figure that ``plot_speedup`` writes; up to 12 points are annotated with the realized share."""
    from matplotlib.figure import Figure

    from .style import WIDTH_INCHES, figure_style

    found = {id(entry.point): entry for entry in speedups(points)}
    lines = by_series(points, name_with_setting(points), with_metric=False)
    with figure_style():
        figure = Figure(figsize=(WIDTH_INCHES, _PANEL_INCHES))
        axes = figure.add_subplot()
        drawn = draw_runs(axes, lines, lambda p: found[id(p)].theoretical, lambda p: found[id(p)].realized)
        drawn += _draw_diagonal(axes, list(found.values()))
        _annotate(axes, list(found.values()))
        _scale(axes, list(found.values()))
        axes.set_xlabel("Theoretical speed-up (GMACs), relative to the run over all frames")
        axes.set_ylabel("Realized speed-up (videos/s)")
        figure.legend(handles=drawn, loc="outside lower center", ncols=1)
        text_lines = sum(len(str(line.get_label()).splitlines()) for line in drawn)
        figure.set_figheight(_PANEL_INCHES + _LEGEND_LINE_INCHES * text_lines)
    return figure


def speedups(points: Sequence[OperatingPoint]) -> list[Speedup]:
    """Compare every run, including the baseline, with the run over all frames in the same series and setting.

    Raises:
        UsageError: there are no points, there is no run over all frames or no other run, or runs to be compared differ
            in their number of videos.
        RunError: a run lacks its throughput or its number of videos.
    """
    if not points:
        raise UsageError("there are no runs to plot", "pass at least one run folder")

    def setting(point: OperatingPoint) -> tuple[str, str, str]:
        return point.series, point.setting.machine, point.setting.schedule

    found: list[Speedup] = []
    for _, group in groupby(sorted(points, key=setting), key=setting):
        members = list(group)
        baseline = _baseline(members)
        _check_videos(members, baseline)
        found += [_speedup(point, baseline) for point in members]
    return found


def _baseline(members: Sequence[OperatingPoint]) -> OperatingPoint:
    largest = max((count for point in members for count in point.frame_counts), default=0)
    over_all_frames = [point for point in members if _uses_all_frames(point, largest)]
    name = "; ".join(
        part for part in (members[0].series, members[0].setting.machine, members[0].setting.schedule) if part
    )
    if not over_all_frames:
        raise UsageError(f"{name}: there is no run over all frames to compare with", _HINT)
    if len(members) == 1:
        raise UsageError(f"{name}: there is no run to compare with the run over all frames", "add runs that exit early")
    return max(over_all_frames, key=lambda point: point.gmacs)


def _uses_all_frames(point: OperatingPoint, largest_count: int) -> bool:
    """Return whether every video of a run used all its frames."""
    if point.frame_counts:
        return point.frame_counts == (largest_count,)
    return bool(point.exit_counts) and point.exit_counts[-1] == sum(point.exit_counts)


def _check_videos(members: Sequence[OperatingPoint], baseline: OperatingPoint) -> None:
    def videos(point: OperatingPoint) -> int:
        return require(point.timing.videos, "number of videos", f"{point.series}, {point.label}")

    for point in members:
        if videos(point) != videos(baseline):
            counts = f"{videos(point)} videos, but the run over all frames has {videos(baseline)}"
            raise UsageError(
                f"{point.series}, {point.label}: the run has {counts}", "compare runs over the same videos"
            )


def _speedup(point: OperatingPoint, baseline: OperatingPoint) -> Speedup:
    def rate(of: OperatingPoint) -> float:
        return require(of.timing.videos_per_s or None, "throughput", f"{of.series}, {of.label}")

    if not point.gmacs:
        raise UsageError(f"{point.series}, {point.label}: the run has no MACs", "exclude it")
    return Speedup(point, baseline, baseline.gmacs / point.gmacs, rate(point) / rate(baseline))


def _draw_diagonal(axes: Axes, found: Sequence[Speedup]) -> list[Line2D]:
    """Draw y = x from just below the smallest value to just above the largest."""
    values = [value for entry in found for value in (entry.theoretical, entry.realized)]
    ends = [0.95 * min(values), 1.05 * max(values)]
    style = {"color": "#6E6E6E", "linestyle": "--", "linewidth": 1.0}
    return axes.plot(ends, ends, label="saving fully realized", zorder=1.5, **style)  # type: ignore[arg-type]


def _annotate(axes: Axes, found: Sequence[Speedup]) -> None:
    """Label each point with the realized share of the theoretical speed-up."""
    from matplotlib.patheffects import withStroke

    compared = [entry for entry in found if entry.point is not entry.baseline]
    if len(compared) > _MAX_ANNOTATED:
        return
    for entry in compared:
        axes.annotate(
            f"{entry.realized_percent:.0f} %",
            (entry.theoretical, entry.realized),
            xytext=(0, -12),
            textcoords="offset points",
            horizontalalignment="center",
            fontsize=7.5,
            # A white outline keeps the number legible where a line crosses it.
            path_effects=[withStroke(linewidth=2.0, foreground="white")],
        )


def _scale(axes: Axes, found: Sequence[Speedup]) -> None:
    """Make both axes logarithmic if the points would crowd near 1; y = x remains a straight line."""
    if spread([value for entry in found for value in (entry.theoretical, entry.realized)]) > _LOG_RATIO:
        for axis, set_scale in ((axes.xaxis, axes.set_xscale), (axes.yaxis, axes.set_yscale)):
            set_scale("log")
            label_decades(axis, subs=(1.0, 2.0, 3.0, 5.0, 7.0))
