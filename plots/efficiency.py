"""Accuracy against compute: one line per network, engine and data set, over the published curve if asked for.

The papers call multiply-accumulates GFLOPs and count the backbone only, so the axis always says which of the two
numbers it shows, and the legend which data set and metric a line stands for. The figure is built apart from being
saved, so that what it shows can be tested.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import UsageError
from .lines import accuracy_label, by_series, draw_runs, limit_accuracy, scale_compute
from .points import METRICS, OperatingPoint
from .published import PublishedPoint, published_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

XAxis = Literal["auto", "gflops_paper", "gmacs", "frames"]
X_LABELS = {
    "gflops_paper": "GFLOPs as the paper counts them (MACs, {per_frame})",
    "gmacs": "GMACs counted over every part run",
    "frames": "Mean frames per video",
}
_PUBLISHED_MARKERS = {"ResNet-50": "o", "EfficientNet-B3": "v"}


def plot_efficiency(
    points: Sequence[OperatingPoint], out: Path, *, published: bool = False, x: XAxis = "auto"
) -> list[Path]:
    """Draw ``points`` and write the figure as PNG and SVG; return the two paths.

    Args:
        points: what to draw, in any order.
        out: path with or without .png or .svg.
        published: draw FrameExit's ten published points behind the runs.
        x: what the horizontal axis shows; auto takes the paper's count if every run has one, else the counted MACs.

    Raises:
        UsageError: no points, a point without the number that ``x`` asks for, or an ``out`` that cannot be written.
    """
    from .style import save

    return save(efficiency_figure(points, published=published, x=x), out)


def efficiency_figure(points: Sequence[OperatingPoint], *, published: bool = False, x: XAxis = "auto") -> Figure:
    """Build the figure that ``plot_efficiency`` writes."""
    from matplotlib.figure import Figure

    from .style import WIDTH_INCHES, figure_style

    kind = _x_kind(points, x)
    series = by_series(points, _line_name, with_metric=published)
    shown = published_points() if published else ()
    with figure_style():
        figure = Figure(figsize=(WIDTH_INCHES, 3.6 + 0.19 * (len(series) + bool(shown) * 2)))
        axes = figure.add_subplot()
        _draw_published(axes, shown, kind)
        draw_runs(axes, series, _x_of(kind))
        _label_axes(axes, points, shown, kind)
        scale_compute(axes)
        limit_accuracy(axes)
        figure.legend(loc="outside lower center", ncols=1)
    return figure


def _x_kind(points: Sequence[OperatingPoint], x: XAxis) -> str:
    if not points:
        raise UsageError("no run to plot", "give at least one run folder")
    without = [point for point in points if point.gflops_paper is None]
    if x == "gflops_paper" and without:
        raise UsageError(f"{without[0].series}: the paper gives no GFLOPs for this network", "use --x gmacs")
    if x == "auto":
        return "gmacs" if without else "gflops_paper"
    return x


def _line_name(point: OperatingPoint) -> str:
    # A cascade goes over several counts: it is no point of the line through the runs at one count each.
    return f"{point.series}, cascade" if len(point.frame_counts) > 1 else point.series


def _x_of(kind: str) -> Callable[[OperatingPoint], float]:
    if kind == "gflops_paper":
        return lambda point: point.gflops_paper or 0.0
    return (lambda point: point.gmacs) if kind == "gmacs" else (lambda point: point.mean_frames)


def _draw_published(axes: Axes, published: Sequence[PublishedPoint], kind: str) -> None:
    for backbone, group in groupby(published, key=lambda point: point.backbone):
        members = list(group)
        axes.plot(
            [point.mean_frames if kind == "frames" else point.gflops for point in members],
            [point.accuracy for point in members],
            color="#A6A6A6",
            markerfacecolor="#4D4D4D",
            markeredgewidth=0.0,
            marker=_PUBLISHED_MARKERS[backbone],
            linewidth=1.0,
            markersize=5.5,
            label=_published_label(members[0], kind),
            zorder=2,
        )


def _published_label(point: PublishedPoint, kind: str) -> str:
    counted = ", paper's GFLOPs" if kind == "gmacs" else ""
    return f"FrameExit {point.backbone}, published ({point.dataset} {METRICS[point.metric]}{counted})"


def _label_axes(axes: Axes, points: Sequence[OperatingPoint], shown: Sequence[PublishedPoint], kind: str) -> None:
    axes.set_xlabel(X_LABELS[kind].format(per_frame=_per_frame(points, shown)))
    axes.set_ylabel(accuracy_label({point.metric for point in points} | {point.metric for point in shown}))


def _per_frame(points: Sequence[OperatingPoint], shown: Sequence[PublishedPoint]) -> str:
    counted = [(point.gflops_paper, point.mean_frames) for point in points]
    costs = {f"{gflops / frames:.3g}" for gflops, frames in counted if gflops and frames}
    costs |= {f"{point.gflops / point.mean_frames:.3g}" for point in shown}
    return f"{' or '.join(sorted(costs))} per frame"
